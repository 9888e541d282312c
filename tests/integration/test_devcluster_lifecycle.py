"""The development cluster as a whole: bursts, restarts, neighbours, the end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from integration.devcluster_support import (
    Kubectl,
    agent_pid,
    condition,
    container,
    eventually,
    finished,
    is_running,
    job,
    pod,
    pod_spec,
    web,
)

from devcluster.cluster import REPOSITORY, Cluster
from devcluster.errors import DevclusterError


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace)


def test_two_hundred_jobs_in_a_burst_all_complete(kubectl: Kubectl) -> None:
    kubectl.create(*[job(f"burst-{n}", pod_spec(container("true"))) for n in range(200)])

    def complete() -> bool:
        jobs = json.loads(kubectl("get", "jobs", "-o", "json"))["items"]
        return len([j for j in jobs if condition(j, "Complete").get("status") == "True"]) == 200

    eventually(complete, limit=180)


def test_an_agent_that_was_killed_adopts_its_pods(kubectl: Kubectl, cluster: Cluster) -> None:
    kubectl.create(
        pod("ends", pod_spec(container("sh", "-c", "sleep 3; exit 7"))),
        pod("stays", pod_spec(container("sh", "-c", "echo $$$$; exec sleep 600"))),
    )
    eventually(lambda: all(is_running(kubectl, n) for n in ("ends", "stays")))
    before = agent_pid(cluster)
    assert before

    os.kill(before, signal.SIGKILL)

    state = finished(kubectl, "ends")
    assert (state["exitCode"], state["reason"]) == (7, "Error")
    assert agent_pid(cluster) != before
    stays = kubectl.get("pod", "stays")
    assert stays["status"]["phase"] == "Running"
    assert stays["status"]["containerStatuses"][0]["restartCount"] == 0
    assert Path(f"/proc/{kubectl('logs', 'stays').strip()}").exists()


def test_a_namespace_ends_with_everything_in_it(kubectl: Kubectl, cluster: Cluster, namespace: str) -> None:
    kubectl("create", "namespace", f"{namespace}-gone")
    inside = Kubectl(cluster, f"{namespace}-gone")
    inside.create(
        *web("runs", "x"),
        job("ends", pod_spec(container("true"))),
        pod("unknown", pod_spec({**container("true"), "image": "unknown:1"})),
    )
    inside("rollout", "status", "deployment/runs", "--timeout=60s")

    kubectl("delete", "namespace", f"{namespace}-gone", "--timeout=60s")

    assert not kubectl.get("namespace", f"{namespace}-gone")


def test_two_clusters_run_side_by_side(cluster: Cluster, tmp_path: Path) -> None:
    other = Cluster.start(tmp_path / "other", gateway=False)
    try:
        kubectl = Kubectl(other, "default")
        kubectl.create(pod("elsewhere", pod_spec(container("true"))))
        assert finished(kubectl, "elsewhere")["exitCode"] == 0
        address = kubectl.get("pod", "elsewhere")["status"]["podIP"]
        # Clusters of ordinary users have a network each, and may use the same addresses.
        assert os.geteuid() != 0 or address.rpartition(".")[0] != node_address(cluster).rpartition(".")[0]
        assert not Kubectl(cluster, "default").get("pod", "elsewhere")
    finally:
        other.stop()


def test_a_cluster_ends_with_its_caller_and_comes_back_with_its_objects(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from devcluster.cluster import Cluster;"
        "Cluster.start(pathlib.Path(sys.argv[1]), gateway=False); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=REPOSITORY, check=False)
    eventually(lambda: not processes_naming(str(tmp_path)))

    again = Cluster.start(tmp_path, gateway=False)
    try:
        assert Kubectl(again, "default").get("node", "devcluster")
        kubectl = Kubectl(again, "default")
        main = container("sh", "-c", "echo $$$$; exec sleep 600")
        kubectl.create(pod("lasts", {**pod_spec(main), "restartPolicy": "Always"}))
        eventually(lambda: is_running(kubectl, "lasts"))
    finally:
        again.stop()
    assert not processes_naming(str(tmp_path))


def test_a_second_start_in_the_same_directory_is_refused(cluster: Cluster) -> None:
    with pytest.raises(DevclusterError, match="already runs"):
        Cluster.start(cluster.state_dir)


def node_address(cluster: Cluster) -> str:
    addresses = Kubectl(cluster, "default").get("node", "devcluster")["status"]["addresses"]
    return str(addresses[0]["address"])


def processes_naming(text: str) -> list[str]:
    """Command lines of processes that belong to a state directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found

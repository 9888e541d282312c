"""Smaller parts of the cluster: certificates, logs, caches, the command line's words."""

import json
import ssl
from pathlib import Path

import pytest

from devcluster import build, kubeconfig
from devcluster.agent.logs import tail_offset
from devcluster.agent.storage import volume_for
from devcluster.cluster import Cluster
from devcluster.control_plane import prepare
from devcluster.errors import DevclusterError
from devcluster.layout import Facts, Layout
from devcluster.network import free_ports
from devcluster.pki import Authority
from devcluster.ports import choose_facts


def facts() -> Facts:
    return Facts(1, 2, 3, 4, 5, 6, 7, 8, pod_range=9)


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, ""), (1, "c\n"), (2, "b\nc\n"), (3, "a\nb\nc\n"), (9, "a\nb\nc\n")]
)
def test_the_tail_of_a_log(tmp_path: Path, lines: int, expected: str) -> None:
    path = tmp_path / "log"
    path.write_text("a\nb\nc\n")

    assert path.read_bytes()[tail_offset(path, lines) :].decode() == expected


def test_the_tail_of_a_log_without_a_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 200_000 + "\nlast")

    assert path.read_bytes()[tail_offset(path, 1) :] == b"last"


def test_certificates_are_signed_by_the_authority_that_stays(tmp_path: Path) -> None:
    Authority(tmp_path).issue_server("server", ["127.0.0.1"], ["localhost"])
    first = (tmp_path / "ca.crt").read_bytes()
    Authority(tmp_path).issue_client("client", "somebody", "some:group")

    assert (tmp_path / "ca.crt").read_bytes() == first
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    for name in ("server", "client"):
        context.load_cert_chain(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    assert (tmp_path / "client.key").stat().st_mode & 0o777 == 0o600


def test_the_plan_keeps_everything_on_loopback(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.create()

    plan = json.loads(prepare(layout, facts()).read_text())

    assert "--bind-address=127.0.0.1" in plan["apiServer"]
    assert plan["apiServerAddress"] == "127.0.0.1:1"
    assert plan["etcd"]["clientURL"].startswith("http://127.0.0.1:")
    assert "--authorization-mode=RBAC" in plan["apiServer"]
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_kubeconfigs_verify_the_server_and_are_private(tmp_path: Path) -> None:
    Authority(tmp_path)
    path = tmp_path / "kubeconfig"
    kubeconfig.write_token_kubeconfig(path, "https://127.0.0.1:1", tmp_path / "ca.crt", "t", "chat")

    document = json.loads(path.read_text())

    assert document["clusters"][0]["cluster"]["certificate-authority-data"]
    assert document["contexts"][0]["context"]["namespace"] == "chat"
    assert path.stat().st_mode & 0o777 == 0o600


def test_addresses_stay_the_same_while_they_are_free(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first = choose_facts(layout, 3)
    first.write(layout.facts)

    assert choose_facts(layout, 3) == first
    assert choose_facts(layout, 4) != first


def test_an_unreadable_state_means_new_addresses(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.facts.write_text('{"api_port": 1}')

    assert set(choose_facts(layout, 0).ports).isdisjoint({1})
    assert len(free_ports(1)) == 1


def test_the_cache_depends_on_sources_and_settings(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    first = build.source_hash(tmp_path, "-s")

    assert build.source_hash(tmp_path, "-s") == first
    assert build.source_hash(tmp_path, "-w") != first
    (tmp_path / "go.mod").write_text("module x")
    assert build.source_hash(tmp_path, "-s") != first


def test_without_go_the_message_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(DevclusterError, match="or newer, or use a cluster of your own"):
        build.control_plane()


def test_attaching_to_nothing_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DevclusterError, match="python -m devcluster up"):
        Cluster.attach(tmp_path)


def test_purging_touches_only_what_is_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    Cluster.purge_state(tmp_path)

    assert (tmp_path / "precious").exists()


def test_a_volume_is_made_for_one_claim() -> None:
    claim = {
        "metadata": {"name": "c", "namespace": "n", "uid": "u"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }

    volume = volume_for(claim, "/somewhere")

    assert volume["metadata"]["name"] == "pvc-u"
    assert volume["spec"]["claimRef"]["uid"] == "u"
    assert volume["spec"]["storageClassName"] == ""

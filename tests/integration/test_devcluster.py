"""The development cluster behaves like a Kubernetes cluster: containers, probes, volumes, routes, deletion."""

import json
import math
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from devcluster.cluster import Cluster

T = TypeVar("T")
Object = dict[str, Any]
LIMIT = 60.0
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        body = os.environ["ANSWER"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


class Kubectl:
    """`kubectl` in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._prefix = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]

    def __call__(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        command = [*self._prefix, *arguments]
        completed = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
        assert completed.returncode == 0 or not check, completed.stderr
        return completed.stdout

    def create(self, *objects: Object) -> None:
        self("create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, kind: str, name: str) -> Object:
        """The object, or an empty one when it does not exist."""
        answer = self("get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(answer)) if answer.strip() else {}

    def pods(self, selector: str) -> list[Object]:
        items: list[Object] = json.loads(self("get", "pods", "-l", selector, "-o", "json"))["items"]
        return items


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace)


def eventually(read: Callable[[], T], limit: float = LIMIT) -> T:
    """The first true value that `read` returns."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        value = read()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not so after {limit:.0f} s")


def container(*command: str, **fields: Any) -> Object:
    return {"name": "main", "image": "retrainer/shell:test", "command": list(command), **fields}


def pod_spec(main: Object, **fields: Any) -> Object:
    return {"restartPolicy": "Never", "containers": [main], **fields}


def job(name: str, spec: Object, **fields: Any) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template, **fields},
    }


def pod(name: str, spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def web(name: str, answer: str, replicas: int = 1) -> list[Object]:
    """A Deployment that answers every request with a fixed text, and its Service."""
    address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    main = container(
        "python",
        "-c",
        SERVER,
        env=[address, {"name": "ANSWER", "value": answer}],
        ports=[{"name": "http", "containerPort": 8080}],
        readinessProbe={"httpGet": {"port": "http"}, "periodSeconds": 1},
    )
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [main]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    return [deployment, service]


def terminated(status: Object) -> Object:
    """The terminated state of a pod's only container, or an empty one."""
    statuses = status.get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state", {}).get("terminated") or {})


def waiting(status: Object) -> Object:
    statuses = status.get("status", {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state", {}).get("waiting") or {})


def finished(kubectl: Kubectl, name: str) -> Object:
    """The terminated state of a pod, once it has one."""
    return eventually(lambda: terminated(kubectl.get("pod", name)))


def is_running(kubectl: Kubectl, name: str) -> bool:
    return bool(kubectl.get("pod", name).get("status", {}).get("phase") == "Running")


def condition(thing: Object, kind: str) -> Object:
    return next((c for c in thing.get("status", {}).get("conditions") or [] if c["type"] == kind), {})


def request(cluster: Cluster, host: str, headers: dict[str, str] | None = None) -> str:
    """The answer through the gateway; empty while there is none."""
    asked = urllib.request.Request(cluster.gateway_url + "/", headers={"Host": host, **(headers or {})})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=10) as response:
            return str(response.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return ""


def agent_pid(cluster: Cluster) -> int | None:
    """Process id of the node agent of this cluster."""
    wanted = f"devcluster.agent\0{cluster.state_dir}\0".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_bytes():
                return int(path.parent.name)
        except OSError:
            continue
    return None


def test_a_job_ends_with_its_exit_code_and_termination_message(kubectl: Kubectl) -> None:
    script = "echo working; printf '{\"reason\":\"SchemaMismatch\"}' > /dev/termination-log; exit 64"
    kubectl.create(job("fails", pod_spec(container("sh", "-c", script))))

    eventually(lambda: condition(kubectl.get("job", "fails"), "Failed").get("status") == "True")
    state = terminated(kubectl.pods("app=fails")[0])

    assert (state["exitCode"], state["reason"]) == (64, "Error")
    assert state["message"] == '{"reason":"SchemaMismatch"}'
    assert kubectl("logs", "job/fails") == "working\n"


def test_a_job_that_succeeds_completes(kubectl: Kubectl) -> None:
    kubectl.create(job("works", pod_spec(container("true"))))

    eventually(lambda: condition(kubectl.get("job", "works"), "Complete").get("status") == "True")

    assert terminated(kubectl.pods("app=works")[0])["reason"] == "Completed"


def test_the_termination_message_path_is_honoured_and_in_the_environment(kubectl: Kubectl) -> None:
    script = 'printf "$1" > "$2"; test "$2" = "$TERMINATION_MESSAGE_PATH"'
    main = container("sh", "-c", script, "sh", "done", "/run/result", terminationMessagePath="/run/result")
    kubectl.create(pod("told", pod_spec(main)))

    state = finished(kubectl, "told")

    assert (state["exitCode"], state["message"]) == (0, "done")


def test_an_unexplained_sigkill_is_a_lack_of_memory(kubectl: Kubectl) -> None:
    kubectl.create(pod("big", pod_spec(container("sh", "-c", "kill -9 $$$$"))))

    state = finished(kubectl, "big")

    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")


def test_a_program_that_does_not_exist_is_a_start_error(kubectl: Kubectl) -> None:
    kubectl.create(pod("absent", pod_spec(container("no-such-program"))))

    state = finished(kubectl, "absent")

    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert "no-such-program" in state["message"]


def test_logs_can_be_cut_and_followed_and_the_previous_ones_read(kubectl: Kubectl) -> None:
    script = "for n in 1 2 3 4 5; do echo line $n; done; echo >> /keep/starts; [ $(wc -l < /keep/starts) = 2 ]"
    main = container("sh", "-c", script, volumeMounts=[{"name": "keep", "mountPath": "/keep"}])
    spec = pod_spec(main, restartPolicy="OnFailure", volumes=[{"name": "keep", "emptyDir": {}}])
    kubectl.create(pod("talks", spec))

    eventually(lambda: kubectl.get("pod", "talks")["status"].get("phase") == "Succeeded")

    assert kubectl("logs", "talks", "--tail=2") == "line 4\nline 5\n"
    assert kubectl("logs", "talks", "--limit-bytes=6") == "line 1"
    assert kubectl("logs", "talks", "-f") == "".join(f"line {n}\n" for n in range(1, 6))
    assert kubectl("logs", "talks", "--previous", "--tail=1") == "line 5\n"
    assert kubectl.get("pod", "talks")["status"]["containerStatuses"][0]["restartCount"] == 1


def test_following_shows_lines_as_they_come(kubectl: Kubectl, cluster: Cluster, namespace: str) -> None:
    kubectl.create(pod("slow", pod_spec(container("sh", "-c", "echo first; sleep 1; echo last"))))
    eventually(lambda: is_running(kubectl, "slow"))

    assert kubectl("logs", "slow", "-f") == "first\nlast\n"


def test_config_maps_secrets_and_the_downward_api_reach_the_container(kubectl: Kubectl) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"token": "s3cret"}}
    script = (
        'cat /conf/app.json; echo "$COLOR $SIZE $NAME $MISSING."; cat /keys/token; '
        "stat -c ' %a' /keys/token; test -d $(sed 's/.*:\"file:..//; s/\"}//' /conf/app.json) && echo found"
    )
    main = container(
        "sh",
        "-c",
        script,
        envFrom=[{"configMapRef": {"name": "conf"}}],
        env=[
            {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "COLOR"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        volumeMounts=[
            {"name": "conf", "mountPath": "/conf"},
            {"name": "keys", "mountPath": "/keys"},
            {"name": "data", "mountPath": "/data"},
        ],
    )
    volumes = [
        {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "app.json", "path": "app.json"}]}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "data", "emptyDir": {}},
    ]
    conf = config_map("conf", COLOR="blue", **{"app.json": '{"uri":"file:///data"}'})
    kubectl.create(conf, secret, pod("reads", pod_spec(main, volumes=volumes)))

    assert finished(kubectl, "reads")["exitCode"] == 0
    lines = kubectl("logs", "reads").splitlines()
    assert "file:///data" not in lines[0]
    assert "blue blue reads ." in lines[0]
    assert lines[1:] == ["s3cret 400", "found"]


def test_a_pod_waits_for_its_config_map(kubectl: Kubectl) -> None:
    main = container("sh", "-c", "echo $COLOR", envFrom=[{"configMapRef": {"name": "later"}}])
    kubectl.create(pod("patient", pod_spec(main)))
    eventually(lambda: waiting(kubectl.get("pod", "patient")).get("reason") == "CreateContainerConfigError")

    kubectl.create(config_map("later", COLOR="green"))

    assert finished(kubectl, "patient")["exitCode"] == 0
    assert kubectl("logs", "patient") == "green\n"


def test_a_claim_is_a_directory_that_outlives_its_pods(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    resources = {"requests": {"storage": "1Gi"}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources},
    }
    mounts = [{"name": "models", "mountPath": "/models"}]
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    writer = container("sh", "-c", "echo weights > $0", "/models/a.bin", volumeMounts=mounts)
    reader = container("cat", "/models/a.bin", volumeMounts=mounts)
    kubectl.create(claim, pod("writes", pod_spec(writer, volumes=volumes)))

    assert finished(kubectl, "writes")["exitCode"] == 0
    assert kubectl.get("pvc", "models")["status"]["phase"] == "Bound"
    assert (cluster.volumes_dir(namespace, "models") / "a.bin").read_text() == "weights\n"
    kubectl("delete", "pod", "writes")
    kubectl.create(pod("reads", pod_spec(reader, volumes=volumes)))
    assert finished(kubectl, "reads")["exitCode"] == 0
    assert kubectl("logs", "reads") == "weights\n"


def test_the_service_account_token_opens_the_api(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={namespace}:default")
    main = container("kubectl", "get", "configmaps", "--output=name")
    kubectl.create(pod("asks", pod_spec(main)))

    assert finished(kubectl, "asks")["exitCode"] == 0
    assert "configmap/kube-root-ca.crt" in kubectl("logs", "asks")


def test_a_service_account_kubeconfig_is_bound_by_rbac(
    kubectl: Kubectl, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    kubectl("create", "serviceaccount", "limited")

    path = cluster.service_account_kubeconfig(namespace, "limited", tmp_path / "kubeconfig")

    command = ["kubectl", "--kubeconfig", str(path), "get", "pods"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"system:serviceaccount:{namespace}:limited" in refused.stderr


def test_init_containers_run_first_and_their_failure_fails_the_pod(kubectl: Kubectl) -> None:
    mounts = [{"name": "work", "mountPath": "/work"}]
    volumes = [{"name": "work", "emptyDir": {}}]
    first = {**container("sh", "-c", "echo ready > /work/state", volumeMounts=mounts), "name": "first"}
    main = container("grep", "ready", "/work/state", volumeMounts=mounts)
    broken = {**container("false"), "name": "broken"}
    kubectl.create(
        pod("ordered", pod_spec(main, volumes=volumes, initContainers=[first])),
        pod("stuck", pod_spec(container("true"), initContainers=[broken])),
    )

    assert finished(kubectl, "ordered")["exitCode"] == 0
    eventually(lambda: kubectl.get("pod", "stuck")["status"].get("phase") == "Failed")
    assert waiting(kubectl.get("pod", "stuck"))["reason"] == "PodInitializing"


def test_an_unknown_image_is_reported_with_the_remedy(kubectl: Kubectl) -> None:
    main = {**container("true"), "image": "registry.example/unknown:1"}
    kubectl.create(pod("unknown", pod_spec(main)))

    reasons = {"ErrImagePull", "ImagePullBackOff"}
    eventually(lambda: waiting(kubectl.get("pod", "unknown")).get("reason") in reasons)

    assert "image table" in waiting(kubectl.get("pod", "unknown"))["message"]


def test_pods_queue_for_the_only_gpu(kubectl: Kubectl) -> None:
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    hold = container("sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait", resources=resources)
    kubectl.create(pod("holds", pod_spec(hold)))
    eventually(lambda: is_running(kubectl, "holds"))
    kubectl.create(pod("queues", pod_spec(container("true", resources=resources))))

    scheduled = eventually(lambda: condition(kubectl.get("pod", "queues"), "PodScheduled"))
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert "nvidia.com/gpu" in scheduled["message"]
    kubectl("delete", "pod", "holds", "--wait=false")
    assert finished(kubectl, "queues")["exitCode"] == 0


def test_termination_sends_sigterm_and_waits_for_the_grace_period(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    """The container is given the time that it asked for, and what it leaves behind is killed."""
    mounts = [{"name": "out", "mountPath": "/out"}]
    script = "trap 'sleep 1; echo saved > /out/checkpoint; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    spec = pod_spec(
        container("sh", "-c", script, volumeMounts=mounts),
        terminationGracePeriodSeconds=20,
        volumes=[{"name": "out", "hostPath": {"path": str(cluster.volumes_dir(namespace, "out"))}}],
    )
    cluster.volumes_dir(namespace, "out").mkdir(parents=True)
    kubectl.create(pod("saves", spec))
    eventually(lambda: kubectl("logs", "saves", check=False) == "up\n")

    kubectl("delete", "pod", "saves")

    assert (cluster.volumes_dir(namespace, "out") / "checkpoint").read_text() == "saved\n"


def test_a_suspended_job_ends_its_pod_and_resumes(kubectl: Kubectl) -> None:
    spec = pod_spec(container("sleep", "600"), terminationGracePeriodSeconds=1)
    kubectl.create(job("pausable", spec))
    eventually(lambda: kubectl.get("job", "pausable")["status"].get("ready") == 1)

    kubectl("patch", "job", "pausable", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    eventually(lambda: not kubectl.pods("app=pausable"))
    kubectl("patch", "job", "pausable", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    eventually(lambda: kubectl.get("job", "pausable")["status"].get("ready") == 1)


def test_two_hundred_jobs_in_a_burst_all_complete(kubectl: Kubectl) -> None:
    kubectl.create(*[job(f"burst-{n}", pod_spec(container("true"))) for n in range(200)])

    def complete() -> bool:
        jobs = json.loads(kubectl("get", "jobs", "-o", "json"))["items"]
        return sum(condition(j, "Complete").get("status") == "True" for j in jobs) == 200

    eventually(complete, limit=180)


def test_a_deployment_becomes_available_and_rolls_without_a_lost_request(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    host = f"{namespace}.example"
    kubectl.create(*web("tutor", "one", replicas=2), route("tutor", host, [("tutor", 1)]))
    kubectl("rollout", "status", "deployment/tutor", "--timeout=60s")
    eventually(lambda: request(cluster, host) == "one")

    kubectl("set", "env", "deployment/tutor", "ANSWER=two")
    answers: Counter[str] = Counter()

    def rolled() -> bool:
        answers.update(request(cluster, host) for _ in range(20))
        return len(kubectl.pods("app=tutor")) == 2 and request(cluster, host) == "two"

    eventually(rolled)
    assert set(answers) <= {"one", "two"}, answers


def test_the_gateway_honours_weights_and_headers(kubectl: Kubectl, cluster: Cluster, namespace: str) -> None:
    host, total, share = f"{namespace}.example", 2000, 0.2
    kubectl.create(
        *web("champion", "champion"),
        *web("candidate", "candidate"),
        route("split", host, [("champion", 80), ("candidate", 20)], header="candidate"),
    )
    for name in ("champion", "candidate"):
        kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    eventually(lambda: request(cluster, host) and request(cluster, host, {"x-arm": "b"}) == "candidate")

    answers = Counter(request(cluster, host) for _ in range(total))

    assert set(answers) == {"champion", "candidate"}
    tolerance = 4 * math.sqrt(total * share * (1 - share))
    assert abs(answers["candidate"] - total * share) <= tolerance
    assert {request(cluster, host, {"x-arm": "b"}) for _ in range(50)} == {"candidate"}


def route(name: str, host: str, backends: list[tuple[str, int]], header: str | None = None) -> Object:
    """An HTTPRoute with weights; requests with the header `x-arm: b` all go to one Service."""
    rules: list[Object] = [{"backendRefs": [{"name": n, "port": 80, "weight": w} for n, w in backends]}]
    if header:
        matches = [{"headers": [{"name": "x-arm", "value": "b"}]}]
        rules.insert(0, {"matches": matches, "backendRefs": [{"name": header, "port": 80}]})
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "gateway-system"}],
            "hostnames": [host],
            "rules": rules,
        },
    }


def test_a_failing_liveness_probe_restarts_the_container(kubectl: Kubectl) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    main = container("sleep", "600", livenessProbe=probe)
    spec = {**pod_spec(main, terminationGracePeriodSeconds=1), "restartPolicy": "Always"}
    kubectl.create(pod("sick", spec))

    def restarted() -> bool:
        statuses = kubectl.get("pod", "sick")["status"].get("containerStatuses") or [{}]
        return bool(statuses[0].get("restartCount", 0) >= 1)

    eventually(restarted)


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

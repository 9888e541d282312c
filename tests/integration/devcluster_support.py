"""Words of the development cluster's integration tests: kubectl, waiting, and small manifests."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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
        self(
            "create", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        )

    def get(self, kind: str, name: str) -> Object:
        """The object, or an empty one when it does not exist."""
        answer = self("get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(answer)) if answer.strip() else {}

    def pods(self, selector: str) -> list[Object]:
        items: list[Object] = json.loads(self("get", "pods", "-l", selector, "-o", "json"))["items"]
        return items


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
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


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

"""A real API server with the CRDs of Istio and KServe, for the contract of the traffic providers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crd.definitions import install
from routing_contract import GATEWAY, TRAFFIC, inference_service, inference_status, kserve_acts, spec

from devcluster import build
from devcluster.cluster import Cluster
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.kube.carry_out import carry_out
from retrainer.kube.client import Client
from retrainer.kube.errors import Conflict
from retrainer.kube.resources import AB_EXPERIMENT, resource_of
from retrainer.plan import Object, Plan, Ref
from retrainer.routing.carrier import Change
from retrainer.routing.gateways import acceptance

_LIMIT_SECONDS = 30.0
WANTED = ("inferenceservices.serving.kserve.io", "virtualservices.networking.istio.io")


def install_everything(cluster: Cluster, folder: Path) -> None:
    """Our CRDs, and the two of others that are not there of themselves; all established."""
    install(cluster.kubeconfig)
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    get = [*kubectl, "get", "crd", "--ignore-not-found", "-o", "name", *WANTED]
    found = subprocess.run(get, check=True, capture_output=True, text=True)
    if len(found.stdout.split()) < len(WANTED):
        manifest = folder / "traffic-crds.yaml"
        manifest.write_text("\n---\n".join(_wanted_definitions()))
        apply = [*kubectl, "apply", "--server-side", "-f", str(manifest)]
        subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
    wait = [*kubectl, "wait", "--for=condition=Established", "--timeout=5s", "crd", *WANTED]
    # kubectl gives up at once while there are no conditions at all.
    until(lambda: subprocess.run(wait, capture_output=True, check=False).returncode == 0, 60)


def _wanted_definitions() -> list[str]:
    """The two documents out of some megabytes of YAML, which is not parsed for it."""
    documents = [d for path in build.traffic_manifests() for d in re.split(r"^---\n", path.read_text(), flags=re.M)]
    chosen = [d for d in documents if any(f"\n  name: {name}\n" in d for name in WANTED)]
    assert len(chosen) == len(WANTED)
    return chosen


class Api:
    """Our client, used without awaiting."""

    def __init__(self, cluster: Cluster) -> None:
        self.runner = asyncio.Runner()
        self.client: Client = self.run(Client.connect(str(cluster.kubeconfig)))

    def run(self, awaitable: Any) -> Any:
        return self.runner.run(awaitable)

    def close(self) -> None:
        self.run(self.client.close())
        self.runner.close()


class RealBench:
    """One experiment `x` in a namespace of its own."""

    def __init__(self, api: Api, traffic: Object, unit: str = "Request", **more: Any) -> None:
        self.api = api
        self.namespace = f"routing-{uuid.uuid4().hex[:8]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        api.run(api.client._json("POST", "/api/v1/namespaces", {}, body))
        if "httpRoute" in traffic:
            # Two routes with one host name would compete.
            traffic = {"httpRoute": {**traffic["httpRoute"], "hostnames": [f"{self.namespace}.example"]}}
        for name in ("tutor-r3", "tutor-r4"):
            self.create(service(self.namespace, name))
        meta = {"name": "x", "namespace": self.namespace}
        self.experiment = self.create(
            {
                "apiVersion": AB_EXPERIMENT.api_version,
                "kind": AB_EXPERIMENT.kind,
                "metadata": meta,
                "spec": spec(traffic, unit, **more),
            }
        )
        if "inferenceService" in traffic:
            created = self.create(inference_service(self.namespace))
            api.run(api.client.put_status(created, inference_status()))

    @classmethod
    def of(cls, api: Api, name: str, unit: str) -> RealBench:
        """The case of the contract."""
        return cls(api, TRAFFIC[name], unit)

    def read(self, ref: Ref) -> Object | None:
        found: Object | None = self.api.run(
            self.api.client.get(resource_of(ref.api_version, ref.kind), ref.namespace, ref.name)
        )
        return found

    def create(self, obj: Object) -> Object:
        meta = {"namespace": self.namespace, **obj["metadata"]}
        created: Object = self.api.run(self.api.client.create({**obj, "metadata": meta}))
        return created

    def carry_out(self, change: Change) -> None:
        plan = Plan(applies=change.applies, merges=change.merges)
        now = datetime.now(UTC)
        run = carry_out(self.api.client, self.experiment, plan, now, lambda _: None, _may_write)
        self.api.run(run)

    def edit(self, ref: Ref, edit: Callable[[Object], Any]) -> None:
        """Again when a gateway wrote its status in between."""

        def once() -> bool:
            obj = self.read(ref)
            assert obj is not None
            edit(obj)
            try:
                self.api.run(self.api.client.replace(obj))
            except Conflict:
                return False
            return True

        until(once)

    def others(self) -> None:
        """The gateway takes up the routes there are; KServe, whom we play, the InferenceService."""
        traffic = self.experiment["spec"]["traffic"]
        if "httpRoute" in traffic:
            ref = Ref("gateway.networking.k8s.io/v1", "HTTPRoute", self.namespace, traffic["httpRoute"]["name"])
            until(lambda: _taken_up(self.read(ref)))
        if "inferenceService" in traffic:
            ref = Ref("serving.kserve.io/v1beta1", "InferenceService", self.namespace, "tutor")
            obj = self.read(ref)
            assert obj is not None
            kserve_acts(obj)
            self.api.run(self.api.client.put_status(obj, obj["status"]))

    def remove(self) -> None:
        self.api.run(self.api.client._json("DELETE", f"/api/v1/namespaces/{self.namespace}"))


def until(holds: Callable[[], Any], limit: float = _LIMIT_SECONDS) -> None:
    """Return when it holds; fails when it never does."""
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline, f"not so after {limit:.0f} s"
        time.sleep(0.02)


def service(namespace: str, name: str) -> Object:
    """A Service without pods: enough for a gateway to resolve it."""
    spec = {"selector": {"app": name}, "ports": [{"port": 8080}]}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def _taken_up(route: Object | None) -> bool:
    assert route is not None
    said = acceptance(route, (ParentRef.model_validate(GATEWAY),))
    return said.refused or said.message is None


async def _may_write() -> None:
    return None

"""The world of `--cluster current`: the cluster that kubectl talks to, with the project's images.

Needed there: the Gateway API with a Gateway that takes routes from the namespace `demo`, the images
retrainer/operator:0.1.0 and retrainer/trainer:0.1.0, and volumes that several pods can share (one node, or a
default storage class with ReadWriteMany on which SQLite's locks work). GATEWAY=<namespace>/<name> chooses among
several Gateways; GATEWAY_URL says how this machine reaches it where its status does not.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from demo import access
from demo.desk import Desk
from demo.kube import MANIFESTS, Api, ApiError, Object, read_manifest
from demo.pod_desk import MOUNT, PodDesk
from demo.sight import NAMESPACE
from demo.world import FEEDBACK_CLAIM, Doors, WorldError

_GATEWAYS = "/apis/gateway.networking.k8s.io/v1/gateways"
_NAMESPACE_PATH = f"/api/v1/namespaces/{NAMESPACE}"
_PATIENCE_SECONDS = 180


class CurrentWorld:
    """A cluster of the user's own; everything of the demo lies in the namespace `demo` and goes with it."""

    doors: Doors
    desk: Desk
    greeting = "Looking for a Gateway in the cluster that kubectl talks to …"

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._entered = False

    def start(self) -> None:
        """Finds the Gateway, and removes an earlier demo. Raises WorldError with the remedy."""
        try:
            asyncio.run(self._look_around())
        except (ApiError, TimeoutError) as error:
            raise WorldError(f"the cluster that kubectl talks to does not help: {error}") from error

    async def _look_around(self) -> None:
        api = await Api.connect(None)
        try:
            listed = await api.get(_GATEWAYS)
            self.doors = choose_gateway(listed.get("items") or [], self._environment)
            await _remove_namespace(api)
        finally:
            await api.close()

    async def install(self, api: Api) -> None:
        self._entered = True
        self.desk = PodDesk(api)
        for obj in access.definitions():
            await api.apply(obj)
        for name in ("namespace.yaml", "volumes.yaml"):
            for obj in read_manifest(MANIFESTS / name):
                await api.apply(obj)
        for obj in (*access.operator_access(NAMESPACE), with_feedback(access.operator_deployment(NAMESPACE))):
            await api.apply(obj)

    def trouble(self) -> str | None:
        return None

    def where_to_look(self) -> list[str]:
        return [f"kubectl -n {NAMESPACE} logs deployment/retrainer-operator"]

    def how_to_stop(self) -> str:
        return f"kubectl delete namespace {NAMESPACE}"

    def stop(self) -> None:
        """The namespace and all that lies in it; the CRDs stay, since others may use them."""
        if self._entered:
            asyncio.run(self._clean_up())

    async def _clean_up(self) -> None:
        api = await Api.connect(None)
        try:
            await _remove_namespace(api)
        finally:
            await api.close()


def choose_gateway(gateways: list[Object], environment: Mapping[str, str]) -> Doors:
    """The Gateway that GATEWAY names, or the only one, and its address. Raises WorldError with the remedy."""
    wanted = environment.get("GATEWAY")
    named = {f"{g['metadata']['namespace']}/{g['metadata']['name']}": g for g in gateways}
    found = [named[wanted]] if wanted in named else [] if wanted else list(named.values())
    if len(found) != 1:
        raise WorldError(f"set GATEWAY=<namespace>/<name> to one of: {', '.join(sorted(named)) or '(there is none)'}")
    url = environment.get("GATEWAY_URL") or _url_of(found[0])
    if url is None:
        raise WorldError("the Gateway's status has no address: set GATEWAY_URL=http://<host>:<port>")
    meta = found[0]["metadata"]
    return Doors(url.rstrip("/"), meta["namespace"], meta["name"], None)


def _url_of(gateway: Object) -> str | None:
    addresses = (gateway.get("status") or {}).get("addresses") or []
    ports = [x["port"] for x in gateway["spec"].get("listeners") or () if x.get("protocol") == "HTTP"]
    return f"http://{addresses[0]['value']}:{ports[0]}" if addresses and ports else None


def with_feedback(deployment: Object) -> Object:
    """The operator's Deployment with the feedback volume, read-only, as its data root."""
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    (operator,) = pod["containers"]
    claim = {"claimName": FEEDBACK_CLAIM}
    mounted = {
        **operator,
        "env": [*operator.get("env", ()), {"name": "RETRAINER_DATA_ROOT", "value": MOUNT}],
        "volumeMounts": [*operator.get("volumeMounts", ()), {"name": FEEDBACK_CLAIM, "mountPath": MOUNT}],
    }
    volumes = [*pod.get("volumes", ()), {"name": FEEDBACK_CLAIM, "persistentVolumeClaim": claim}]
    template = {**deployment["spec"]["template"], "spec": {**pod, "containers": [mounted], "volumes": volumes}}
    return {**deployment, "spec": {**deployment["spec"], "template": template}}


async def _remove_namespace(api: Api) -> None:
    """Delete the demo's namespace and wait until it is gone."""
    try:
        await api.delete(_NAMESPACE_PATH)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                await api.get(_NAMESPACE_PATH)
                await asyncio.sleep(1)
    except ApiError as error:
        if error.status != 404:
            raise

"""Binds pending pods to the node while its capacity lasts, oldest first."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterable

import aiohttp

from devcluster.agent.quantity import Quantities
from devcluster.api import Api, ApiError, Object

NODE = "devcluster"
# Amounts are a pretence: pods of a development cluster ask for what production needs.
CAPACITY = {
    "cpu": str(max(16, os.cpu_count() or 1)),
    "memory": "64Gi",
    "ephemeral-storage": "200Gi",
    "pods": "240",
    "nvidia.com/gpu": "1",
}
NODE_LABELS = {
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64" if os.uname().machine == "x86_64" else "arm64",
    "node.kubernetes.io/instance-type": "devcluster",
}
PARALLEL_BINDS = 8
RETRY_SECONDS = 0.5


def requests_of(pod: Object) -> Quantities:
    """What a pod takes from the node: its containers together, or its largest init container."""

    def of(container: Object) -> Quantities:
        return Quantities.of((container.get("resources") or {}).get("requests"))

    spec = pod["spec"]
    main = Quantities.total(of(c) for c in spec["containers"])
    largest = Quantities.most([main, *(of(c) for c in spec.get("initContainers", []))])
    overhead = Quantities.of(spec.get("overhead"))
    return Quantities.total([largest, overhead, Quantities.of({"pods": "1"})])


def obstacle(pod: Object, wanted: Quantities, free: Quantities) -> str | None:
    """Why the pod does not fit now, in the words of the scheduler; None when it fits."""
    selector = pod["spec"].get("nodeSelector") or {}
    if any(NODE_LABELS.get(key) != value for key, value in selector.items()):
        return "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    lacking = free.lacking(wanted)
    if not lacking:
        return None
    text = ", ".join("Too many pods" if name == "pods" else f"Insufficient {name}" for name in lacking)
    return f"0/1 nodes are available: 1 {text}."


def occupies(pod: Object) -> bool:
    """Whether a bound pod still holds its share of the node."""
    return pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}


def is_waiting(pod: Object) -> bool:
    spec = pod["spec"]
    gated = bool(spec.get("schedulingGates"))
    return not spec.get("nodeName") and not gated and not pod["metadata"].get("deletionTimestamp")


class Scheduler:
    """Looks at all pods whenever one has changed."""

    def __init__(self, api: Api, pods: Callable[[], Iterable[Object]]) -> None:
        self._api = api
        self._pods = pods
        self._changed = asyncio.Event()
        self._requests: dict[str, Quantities] = {}
        # Bound by us, but not yet seen as bound.
        self._assumed: set[str] = set()
        self._told: dict[str, str] = {}
        self._capacity = Quantities.of(CAPACITY)

    def look(self) -> None:
        """Something has changed."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._pass()
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                print(f"scheduler: {error!r}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def _pass(self) -> None:
        pods = list(self._pods())
        uids = {p["metadata"]["uid"] for p in pods}
        self._forget(uids)
        waiting = [p for p in pods if is_waiting(p) and p["metadata"]["uid"] not in self._assumed]
        if not waiting:
            return
        free = self._capacity.less(Quantities.total(self._wanted(p) for p in pods if self._holds(p)))
        chosen = []
        for pod in sorted(waiting, key=lambda p: (p["metadata"]["creationTimestamp"], p["metadata"]["name"])):
            reason = obstacle(pod, self._wanted(pod), free)
            if reason is None:
                free = free.less(self._wanted(pod))
                self._assumed.add(pod["metadata"]["uid"])
                chosen.append(pod)
            else:
                await self._tell(pod, reason)
        limit = asyncio.Semaphore(PARALLEL_BINDS)
        await asyncio.gather(*(self._bind(pod, limit) for pod in chosen))

    def _forget(self, uids: set[str]) -> None:
        self._assumed &= uids
        self._requests = {uid: wanted for uid, wanted in self._requests.items() if uid in uids}
        self._told = {uid: text for uid, text in self._told.items() if uid in uids}

    def _holds(self, pod: Object) -> bool:
        if pod["metadata"]["uid"] in self._assumed:
            return occupies(pod)
        return pod["spec"].get("nodeName") == NODE and occupies(pod)

    def _wanted(self, pod: Object) -> Quantities:
        uid = pod["metadata"]["uid"]
        if uid not in self._requests:
            self._requests[uid] = requests_of(pod)
        return self._requests[uid]

    async def _bind(self, pod: Object, limit: asyncio.Semaphore) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE},
        }
        try:
            async with limit:
                await self._api.create(path, body)
        except ApiError as error:
            # Deleted or bound in the meantime: the watch will tell.
            if error.status not in {404, 409}:
                self._assumed.discard(metadata["uid"])
                raise
        except (aiohttp.ClientError, TimeoutError):
            self._assumed.discard(metadata["uid"])
            raise

    async def _tell(self, pod: Object, message: str) -> None:
        """Write the reason where `kubectl describe` and controllers look for it, once."""
        metadata = pod["metadata"]
        if self._told.get(metadata["uid"]) == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": metadata["creationTimestamp"],
        }
        others = [c for c in pod.get("status", {}).get("conditions") or [] if c["type"] != "PodScheduled"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        try:
            await self._api.merge(path, {"status": {"conditions": [*others, condition]}})
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
        self._told[metadata["uid"]] = message

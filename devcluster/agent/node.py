"""Registers the node and keeps it alive: status and Lease."""

import asyncio
import os
import sys
import time

import aiohttp

from devcluster.agent.logs import PORT
from devcluster.agent.scheduler import CAPACITY, NODE, NODE_LABELS
from devcluster.agent.status import timestamp
from devcluster.api import Api, ApiError, Object
from devcluster.layout import Facts

RENEW_SECONDS = 10.0
NODES = f"/api/v1/nodes/{NODE}"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NODE}"


async def register(api: Api, facts: Facts) -> None:
    """Create the node or take over the one of an earlier agent."""
    node = node_object(facts.node_address, PORT, time.time())
    try:
        await api.create("/api/v1/nodes", node)
    except ApiError as error:
        if error.status != 409:
            raise
    await api.merge(f"{NODES}/status", {"status": node["status"]})


async def keep_alive(api: Api, facts: Facts) -> None:
    """Renew Lease and conditions for ever."""
    while True:
        try:
            await _renew(api, facts)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            print(f"node: {error!r}", file=sys.stderr, flush=True)
        await asyncio.sleep(RENEW_SECONDS)


async def _renew(api: Api, facts: Facts) -> None:
    now = time.time()
    renewed = timestamp(now)[:-1] + ".000000Z"
    spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": renewed}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NODE}, "spec": spec}
    await api.apply(LEASES, lease)
    conditions = node_object(facts.node_address, PORT, now)["status"]["conditions"]
    await api.merge(f"{NODES}/status", {"status": {"conditions": conditions}})


def node_object(address: str, port: int, now: float) -> Object:
    """The node as it registers itself."""
    conditions = [
        _condition("Ready", "True", "KubeletReady", "devcluster agent is ready", now),
        _condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "", now),
        _condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "", now),
        _condition("PIDPressure", "False", "KubeletHasSufficientPID", "", now),
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "labels": NODE_LABELS},
        "status": {
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "conditions": conditions,
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": NODE},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": _node_info(),
        },
    }


def _condition(kind: str, status: str, reason: str, message: str, now: float) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": timestamp(now),
        "lastTransitionTime": timestamp(now),
    }


def _node_info() -> Object:
    machine = os.uname()
    return {
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
        "kernelVersion": machine.release,
        "osImage": "devcluster",
        "containerRuntimeVersion": "devcluster://1",
        "kubeletVersion": "v1.36.3",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": NODE_LABELS["kubernetes.io/arch"],
    }

"""Registers the node and keeps it alive: status and Lease."""

import asyncio
import sys
import time

import aiohttp

from devcluster.agent.logs import PORT
from devcluster.agent.scheduler import NODE, node_object
from devcluster.agent.status import timestamp
from devcluster.api import Api, ApiError
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

"""Puts the node agent together: watches, scheduler, storage, log endpoint and one worker per pod."""

import asyncio
import json
import shutil
import sys
import time

import aiohttp

from devcluster import network
from devcluster.agent import logs, node
from devcluster.agent.addresses import AddressPool
from devcluster.agent.attempt import Attempt
from devcluster.agent.environment import ConfigProblem
from devcluster.agent.informer import Informer
from devcluster.agent.launcher import Machine, PodLauncher
from devcluster.agent.pod import PodWorker
from devcluster.agent.scheduler import NODE, Scheduler, occupies
from devcluster.agent.storage import Storage
from devcluster.agent.volumes import Context
from devcluster.api import Api, ApiError, Object
from devcluster.layout import write_json

REFRESH_SECONDS = 15.0
SANDBOX = "sandbox.json"


class PodSources:
    """ConfigMaps, Secrets, tokens and claims as one pod sees them."""

    def __init__(self, api: Api, pod: Object) -> None:
        self._api = api
        self._pod = pod
        self._namespace = f"/api/v1/namespaces/{pod['metadata']['namespace']}"
        self._tokens: dict[str, tuple[str, float]] = {}

    async def config_map(self, name: str) -> Object | None:
        return await self._get(f"configmaps/{name}")

    async def secret(self, name: str) -> Object | None:
        return await self._get(f"secrets/{name}")

    async def claim_is_bound(self, name: str) -> bool:
        claim = await self._get(f"persistentvolumeclaims/{name}")
        return claim is not None and claim.get("status", {}).get("phase") == "Bound"

    async def token(self, audience: str, seconds: int) -> str:
        """A token bound to the pod; asked for anew when four fifths of its time are over."""
        text, until = self._tokens.get(audience, ("", 0.0))
        if time.time() >= until:
            text = await self._request_token(audience, seconds)
            self._tokens[audience] = (text, time.time() + seconds * 0.8)
        return text

    async def _request_token(self, audience: str, seconds: int) -> str:
        metadata = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName") or "default"
        reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {
            "audiences": [audience] if audience else [],
            "expirationSeconds": seconds,
            "boundObjectRef": reference,
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._api.create(f"{self._namespace}/serviceaccounts/{account}/token", body)
        return str(answer["status"]["token"])

    async def _get(self, path: str) -> Object | None:
        try:
            return await self._api.get(f"{self._namespace}/{path}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise


class Agent:
    """One node."""

    def __init__(self, api: Api, machine: Machine) -> None:
        self._api = api
        self._machine = machine
        self._facts = machine.facts
        self._pods_directory = machine.layout.pods
        self._addresses = AddressPool(network.network(machine.facts.pod_range))
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._launchers: dict[str, PodLauncher] = {}
        self._pods = Informer(api, "/api/v1/pods", self._on_pod)
        self._scheduler = Scheduler(api, lambda: self._pods.objects.values())
        self._storage = Storage(api, machine.layout)
        self._claims = Informer(api, "/api/v1/persistentvolumeclaims", self._storage.observe)

    async def run(self) -> None:
        """For ever; raises when one of its parts does."""
        self._reserve_addresses()
        endpoint = await logs.serve(self._facts, self._machine.layout.pki, self._find_log)
        await node.register(self._api, self._facts)
        parts = [
            self._pods.run(),
            self._claims.run(),
            self._scheduler.run(),
            self._storage.run(),
            node.keep_alive(self._api, self._facts),
            self._refresh(),
            self._sweep(),
        ]
        try:
            await asyncio.gather(*parts)
        finally:
            await endpoint.cleanup()

    def _reserve_addresses(self) -> None:
        """Pods of an earlier agent keep their addresses."""
        for path in self._pods_directory.glob(f"*/{SANDBOX}"):
            self._addresses.reserve([json.loads(path.read_text())["address"]])

    def _on_pod(self, pod: Object, exists: bool) -> None:
        self._scheduler.look()
        if pod["spec"].get("nodeName") != NODE:
            return
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if not exists:
            if worker is not None:
                worker.disappear()
        elif worker is not None:
            worker.observe(pod)
        elif uid not in self._tasks:
            self._tasks[uid] = asyncio.create_task(self._work(pod))

    async def _work(self, pod: Object) -> None:
        """The whole life of one pod; a mistake in one must not end the others."""
        uid = pod["metadata"]["uid"]
        try:
            worker = await self._open(pod)
            launcher = self._launchers[uid]
            await worker.run(launcher)
        except Exception as error:
            # Reported, and the pod stays as it is: a person has to look.
            print(f"pod {pod['metadata']['name']}: {error!r}", file=sys.stderr, flush=True)
            raise
        finally:
            self._launchers.pop(uid, None)
        self._close(worker)

    async def _open(self, pod: Object) -> PodWorker:
        uid = pod["metadata"]["uid"]
        directory = self._pods_directory / uid
        address = await self._address_for(pod)
        worker = PodWorker(pod, address, self._facts.node_address, directory, self._api, self._release)
        self._workers[uid] = worker
        sources = PodSources(self._api, pod)
        context = Context(
            pod=pod,
            address=address,
            pod_directory=directory,
            claims=self._machine.layout.volumes,
            sources=sources,
            token=sources.token,
            claim_is_bound=sources.claim_is_bound,
        )
        self._launchers[uid] = PodLauncher(self._machine, context)
        return worker

    async def _address_for(self, pod: Object) -> str:
        """The pod's address: kept in its sandbox file, as long as it is of this cluster's range."""
        if not occupies(pod):
            return str(pod["status"].get("podIP", ""))
        path = self._pods_directory / pod["metadata"]["uid"] / SANDBOX
        if path.exists():
            known = str(json.loads(path.read_text())["address"])
            if known in self._addresses:
                return known
        while (address := self._addresses.take()) is None:
            await asyncio.sleep(0.1)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"address": address, "name": pod["metadata"]["name"]})
        return address

    def _release(self, worker: PodWorker) -> None:
        """The pod's containers have ended: its address is free, its logs stay."""
        (worker.directory / SANDBOX).unlink(missing_ok=True)
        self._addresses.give_back(worker.address)

    def _close(self, worker: PodWorker) -> None:
        self._workers.pop(worker.uid, None)
        worker.clean_up()

    def _find_log(self, namespace: str, name: str, container: str, previous: bool) -> Attempt | None:
        for worker in self._workers.values():
            if worker.key == (namespace, name):
                return worker.log_of(container, previous)
        return None

    async def _refresh(self) -> None:
        """Carry changes of ConfigMaps, Secrets and tokens into running pods."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for launcher in list(self._launchers.values()):
                try:
                    await launcher.refresh()
                except (ApiError, ConfigProblem, aiohttp.ClientError, TimeoutError, OSError) as error:
                    print(f"refresh: {error!r}", file=sys.stderr, flush=True)

    async def _sweep(self) -> None:
        """End what belongs to pods that were deleted while no agent ran."""
        await self._pods.synced.wait()
        for directory in self._pods_directory.iterdir():
            if directory.name in self._pods.objects:
                continue
            for container in directory.glob("containers/*"):
                attempt = Attempt.latest(container)
                if attempt and not attempt.is_finished:
                    attempt.kill()
                    await attempt.wait()
            shutil.rmtree(directory, ignore_errors=True)

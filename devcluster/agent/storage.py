"""Gives every PersistentVolumeClaim a directory and a PersistentVolume that is made for it."""

import asyncio
import shutil
import sys

import aiohttp

from devcluster.api import Api, ApiError, Object
from devcluster.layout import Layout

VOLUMES = "/api/v1/persistentvolumes"
RETRY_SECONDS = 0.5


def volume_for(claim: Object, directory: str) -> Object:
    """A volume that only this claim can bind to; the upstream volume controller does the binding."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim)},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "storageClassName": spec.get("storageClassName") or "",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": directory},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }


def volume_name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


class Storage:
    """Takes claims from a queue, so that a failed request is tried again."""

    def __init__(self, api: Api, layout: Layout) -> None:
        self._api = api
        self._layout = layout
        self._queue: asyncio.Queue[tuple[Object, bool]] = asyncio.Queue()

    def observe(self, claim: Object, exists: bool) -> None:
        if not exists or not claim["spec"].get("volumeName"):
            self._queue.put_nowait((claim, exists))

    async def run(self) -> None:
        while True:
            claim, exists = await self._queue.get()
            try:
                await (self._provide(claim) if exists else self._remove(claim))
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                print(f"claim {claim['metadata']['name']}: {error!r}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_SECONDS)
                self._queue.put_nowait((claim, exists))

    async def _provide(self, claim: Object) -> None:
        metadata = claim["metadata"]
        directory = self._layout.claim(metadata["namespace"], metadata["name"])
        directory.mkdir(parents=True, exist_ok=True)
        try:
            await self._api.create(VOLUMES, volume_for(claim, str(directory)))
        except ApiError as error:
            if error.status != 409:
                raise

    async def _remove(self, claim: Object) -> None:
        """As a storage class with the policy Delete: the data goes with the claim."""
        metadata = claim["metadata"]
        try:
            await self._api.delete(f"{VOLUMES}/{volume_name(claim)}")
        except ApiError as error:
            if error.status != 404:
                raise
        shutil.rmtree(self._layout.claim(metadata["namespace"], metadata["name"]), ignore_errors=True)

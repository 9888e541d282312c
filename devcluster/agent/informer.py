"""Keeps a local copy of one kind of object by list and watch, and tells of every change."""

import asyncio
import sys
from collections.abc import Callable

import aiohttp

from devcluster.api import Api, ApiError, Object

RETRY_SECONDS = 0.5
GONE = 410


class Informer:
    """Objects of one collection by uid. `on_change(object, exists)` runs for every difference."""

    def __init__(self, api: Api, path: str, on_change: Callable[[Object, bool], None]) -> None:
        self.objects: dict[str, Object] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._path = path
        self._on_change = on_change
        self._version = ""

    async def run(self) -> None:
        """For ever; a lost connection resumes where it was, an expired one lists again."""
        while True:
            try:
                if not self._version:
                    await self._list()
                async for event in self._api.watch(self._path, self._version):
                    self._take(event)
            except ApiError as error:
                if error.status != GONE:
                    print(f"watch {self._path}: {error}", file=sys.stderr, flush=True)
                    await asyncio.sleep(RETRY_SECONDS)
                self._version = ""
            except (aiohttp.ClientError, TimeoutError) as error:
                print(f"watch {self._path}: {error!r}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self) -> None:
        answer = await self._api.get(self._path)
        found = {item["metadata"]["uid"]: item for item in answer.get("items", [])}
        for uid in list(self.objects):
            if uid not in found:
                self._on_change(self.objects.pop(uid), False)
        for uid, item in found.items():
            self.objects[uid] = item
            self._on_change(item, True)
        self._version = answer["metadata"]["resourceVersion"]
        self.synced.set()

    def _take(self, event: Object) -> None:
        thing = event["object"]
        self._version = thing["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        exists = event["type"] != "DELETED"
        uid = thing["metadata"]["uid"]
        if exists:
            self.objects[uid] = thing
        else:
            self.objects.pop(uid, None)
        self._on_change(thing, exists)

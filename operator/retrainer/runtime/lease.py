"""Leader election by a Lease: at most one process works; expiry is judged on the monotonic clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from retrainer.kube.client import Client
from retrainer.kube.errors import AlreadyExists, ApiError, Conflict
from retrainer.kube.resources import LEASE
from retrainer.plan import Object

_log = logging.getLogger(__name__)


class NotLeader(Exception):
    """This process must not write: its lease has run out."""


class LeaderLease:
    """Acquires a Lease and keeps it; `check` is cheap and is asked before every write."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        seconds: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._monotonic = monotonic
        self._valid_until = float("-inf")
        self._seen: tuple[Any, float] | None = None

    @property
    def held(self) -> bool:
        return self._monotonic() < self._valid_until

    async def check(self) -> None:
        """Raises NotLeader when the lease is not surely ours."""
        if not self.held:
            raise NotLeader(f"the lease {self._namespace}/{self._name} has run out")

    async def acquire(self) -> None:
        """Wait until this process leads; an API server that does not answer is asked again."""
        while not await self._attempt():
            await asyncio.sleep(self._seconds / 6)

    async def keep(self) -> None:
        """Renew for ever; returns when the lease is lost, upon which the process must end."""
        while True:
            await asyncio.sleep(self._seconds / 5)
            await self._attempt()
            if not self.held:
                _log.error("the lease %s/%s is lost; ending", self._namespace, self._name)
                return

    async def release(self) -> None:
        """Hand the lease over at a clean stop, so that the next process need not wait."""
        if not self.held:
            return
        self._valid_until = float("-inf")
        lease = await self._client.get(LEASE, self._namespace, self._name)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"]["holderIdentity"] = None
            await self._client.replace(lease)

    async def _attempt(self) -> bool:
        try:
            return await self._try()
        except ApiError as error:
            _log.warning("lease neither acquired nor renewed: %s", error)
            return False

    async def _try(self) -> bool:
        started = self._monotonic()
        try:
            lease = await self._client.get(LEASE, self._namespace, self._name)
            if lease is None:
                await self._client.create(self._desired(None))
            elif self._may_take(lease):
                await self._client.replace(self._desired(lease))
            else:
                return False
        except (Conflict, AlreadyExists):
            return False
        # Counted from before the request: the server may have written it at once and answered late.
        self._valid_until = started + self._seconds * 0.8
        return True

    def _may_take(self, lease: Object) -> bool:
        """Ours, free, or unchanged for longer than its duration as seen by our own clock."""
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        fingerprint = (holder, spec.get("renewTime"))
        now = self._monotonic()
        if self._seen is None or self._seen[0] != fingerprint:
            self._seen = (fingerprint, now)
            return False
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._seconds)

    def _desired(self, lease: Object | None) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((lease or {}).get("spec") or {})
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if lease else 0)
        spec.update(holderIdentity=self._identity, renewTime=now, leaseDurationSeconds=self._seconds)
        meta = {"namespace": self._namespace, "name": self._name}
        if lease is not None:
            meta["resourceVersion"] = lease["metadata"]["resourceVersion"]
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}

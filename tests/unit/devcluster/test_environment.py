"""Environment and volumes of a container from API objects."""

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from devcluster.agent import volumes
from devcluster.agent.environment import ConfigProblem, expand, resolve
from devcluster.agent.rewriting import Rewriter

Object = dict[str, Any]
POD: Object = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}},
    "spec": {"serviceAccountName": "runner", "containers": []},
}


class Sources:
    def __init__(self, config: Mapping[str, str], secret: Mapping[str, str]) -> None:
        self._config = {"data": dict(config)}
        self._secret = {"data": {k: base64.b64encode(v.encode()).decode() for k, v in secret.items()}}

    async def config_map(self, name: str) -> Object | None:
        return self._config if name == "conf" else None

    async def secret(self, name: str) -> Object | None:
        return self._secret if name == "keys" else None


SOURCES = Sources({"COLOR": "blue", "app.json": '{"path": "/data/x"}'}, {"token": "s3cret"})


def environment(**container: Any) -> dict[str, str]:
    return asyncio.run(resolve(POD, container, "10.244.0.9", SOURCES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("kill $$", "kill $")],
)
def test_references_expand_as_in_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_later_variables_may_use_earlier_ones() -> None:
    found = environment(
        envFrom=[{"configMapRef": {"name": "conf"}, "prefix": "C_"}],
        env=[{"name": "ALL", "value": "is $(C_COLOR)"}],
    )
    assert found["ALL"] == "is blue"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.labels['app']", "x"),
        ("status.podIP", "10.244.0.9"),
        ("spec.serviceAccountName", "runner"),
    ],
)
def test_fields_of_the_pod(path: str, expected: str) -> None:
    assert environment(env=[{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}}]) == {"F": expected}


def test_limits_are_rounded_up_to_the_divisor() -> None:
    reference = {"resource": "limits.memory", "divisor": "1Mi"}
    found = environment(
        resources={"limits": {"memory": "1500Ki"}},
        env=[{"name": "M", "valueFrom": {"resourceFieldRef": reference}}],
    )
    assert found == {"M": "2"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "absent", "key": "k"}}, 'secret "absent" not found'),
        ({"configMapKeyRef": {"name": "conf", "key": "absent"}}, "couldn't find key absent in configmap conf"),
    ],
)
def test_what_is_missing_is_named_unless_it_is_optional(source: Object, message: str) -> None:
    with pytest.raises(ConfigProblem, match=message):
        environment(env=[{"name": "V", "valueFrom": source}])
    optional = {kind: {**reference, "optional": True} for kind, reference in source.items()}
    assert environment(env=[{"name": "V", "valueFrom": optional}]) == {}


def context(directory: Path, volume: Object) -> volumes.Context:
    async def token(audience: str, seconds: int) -> str:
        return f"{audience or 'api'} for {seconds}"

    async def bound(name: str) -> bool:
        return name == "models"

    pod = {**POD, "spec": {**POD["spec"], "volumes": [{"name": "v", **volume}]}}
    return volumes.Context(pod, "10.244.0.9", directory / "pod", directory / "claims", SOURCES, token, bound)


def mounted(directory: Path, volume: Object, **mount: Any) -> volumes.Mount:
    """Mount a volume at /data and fill it."""
    container = {"volumeMounts": [{"name": "v", "mountPath": "/data", **mount}]}
    made = context(directory, volume)

    async def fill() -> volumes.Mount:
        found = await volumes.places(made, container, directory / "container")
        await volumes.fill(made, found, container, Rewriter({"/data": str(found[0].real)}))
        return found[0]

    return asyncio.run(fill())


def test_config_map_files_name_the_real_place(tmp_path: Path) -> None:
    mount = mounted(tmp_path, {"configMap": {"name": "conf"}})

    assert (mount.real / "app.json").read_text() == f'{{"path": "{mount.real}/x"}}'


def test_secret_files_have_their_mode_and_are_not_changed(tmp_path: Path) -> None:
    mount = mounted(tmp_path, {"secret": {"secretName": "keys", "defaultMode": 0o400}})

    assert (mount.real / "token").read_text() == "s3cret"
    assert (mount.real / "token").stat().st_mode & 0o777 == 0o400


def test_items_choose_and_rename_keys(tmp_path: Path) -> None:
    items = [{"key": "COLOR", "path": "sub/color"}]
    mount = mounted(tmp_path, {"configMap": {"name": "conf", "items": items}})

    assert [p.relative_to(mount.real).as_posix() for p in mount.real.rglob("*") if p.is_file()] == ["sub/color"]


def test_a_sub_path_is_one_file_of_the_volume(tmp_path: Path) -> None:
    assert mounted(tmp_path, {"configMap": {"name": "conf"}}, subPath="COLOR").real.read_text() == "blue"


def test_projected_tokens_and_fields(tmp_path: Path) -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    ]
    mount = mounted(tmp_path, {"projected": {"sources": sources}})

    assert (mount.real / "token").read_text() == "api for 600"
    assert (mount.real / "labels").read_text() == 'app="x"'
    assert volumes.token_file([mount]) == mount.real / "token"


def test_claims_are_shared_directories_and_must_be_bound(tmp_path: Path) -> None:
    claim = {"persistentVolumeClaim": {"claimName": "models"}}

    assert mounted(tmp_path, claim).real == tmp_path / "claims" / "n" / "models"
    with pytest.raises(ConfigProblem, match="to be bound"):
        mounted(tmp_path, {"persistentVolumeClaim": {"claimName": "other"}})


def test_unsupported_volumes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblem, match="nfs is not supported"):
        mounted(tmp_path, {"nfs": {"server": "s", "path": "/"}})

"""What is installed is what is checked in, reaches Argo CD's ConfigMap, and is tried on objects that can exist."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from retrainer.api.v1alpha1 import KINDS as MODELS
from retrainer.requests import parse_request
from tests.unit.argocd.argo_lua import NOW, ScriptError, merge_patch, run
from tests.unit.argocd.customizations import ARGOCD, KINDS, PATCH, SCRIPTS, actions, fixture, fixtures, installed

BY_KIND = {kind.kind: kind for kind in MODELS}


def builder() -> Any:
    spec = importlib.util.spec_from_file_location("argocd_build", ARGOCD / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The ConfigMap


def test_the_patch_is_what_the_scripts_say() -> None:
    assert PATCH.read_text(encoding="utf-8") == builder().render(), "run python manifests/argocd/build.py"


def test_every_kind_has_health_and_actions_and_there_are_no_other_keys() -> None:
    parts = ("health", "actions")
    keys = {f"resource.customizations.{part}.retrainer.dev_{kind}" for part in parts for kind in BY_KIND}
    assert set(installed()) == keys
    assert set(KINDS) == set(BY_KIND)


def test_a_script_arrives_as_it_was_written() -> None:
    for kind in KINDS:
        assert installed()[f"resource.customizations.health.retrainer.dev_{kind}"] == (
            SCRIPTS / kind / "health.lua"
        ).read_text(encoding="utf-8")
        stored = yaml.safe_load(installed()[f"resource.customizations.actions.retrainer.dev_{kind}"])
        folder = SCRIPTS / kind / "actions"
        assert stored["discovery.lua"] == (folder / "discovery.lua").read_text(encoding="utf-8")
        files = {path.parent.name: path.read_text(encoding="utf-8") for path in folder.glob("*/action.lua")}
        assert {d["name"]: d["action.lua"] for d in stored["definitions"]} == files


def test_the_component_adds_our_keys_and_keeps_those_that_are_there(tmp_path: Path) -> None:
    url = {"url": "https://cd.example"}
    mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": url}
    other = {**mine, "metadata": {"name": "argocd-rbac-cm"}}
    component = os.path.relpath(ARGOCD, tmp_path)
    layer = {"namespace": "argocd", "resources": ["cm.yaml"], "components": [component]}
    (tmp_path / "cm.yaml").write_text(yaml.safe_dump_all([mine, other]), encoding="utf-8")
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(layer), encoding="utf-8")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {obj["metadata"]["name"]: obj for obj in yaml.safe_load_all(done.stdout)}
    assert built["argocd-cm"]["data"] == {**url, **installed()}
    assert built["argocd-rbac-cm"]["data"] == url


def test_the_patch_alone_can_be_applied_to_argo_cds_own_config_map() -> None:
    patch = yaml.safe_load(PATCH.read_text(encoding="utf-8"))
    assert (patch["kind"], patch["metadata"]["name"]) == ("ConfigMap", "argocd-cm")
    assert patch["metadata"]["labels"]["app.kubernetes.io/part-of"] == "argocd"
    assert "namespace" not in patch["metadata"]


# The sandbox is no wider than Argo CD's


@pytest.mark.parametrize(
    "script",
    [
        "return io.open('/etc/passwd')",
        "return os.getenv('HOME')",
        "return string.format('%d', 1)",
        "return ('x'):upper()",
        "return math.floor(1.5)",
        "return require('io')",
        "return require('string')",
        "return loadstring('return 1')()",
        "return debug.getinfo(1)",
        "return python.eval('1')",
        "return package.loaded.io",
        "return require('os').getenv('HOME')",
    ],
)
def test_what_argo_cd_lacks_is_not_there(script: str) -> None:
    with pytest.raises(ScriptError):
        run(script, {})


def test_what_argo_cd_has_is_there() -> None:
    assert run("return require('os').time()", {}) == NOW
    assert run("return table.getn({1, 2})", {}) == 2
    assert run("return actionParams == nil", {}) is True
    assert run("return actionParams['n']", {}, {"n": "7"}) == "7"
    obj = {"a": [1, "2"], "n": None}
    assert run("return {{}, {x = true}, obj.a, obj.n == nil}", obj) == [[], {"x": True}, [1, "2"], True]


def test_nothing_remains_of_an_earlier_script() -> None:
    run("leaked = 1 return leaked", {})
    assert run("return leaked == nil", {}) is True


def test_a_merge_patch_says_what_was_added_changed_and_removed() -> None:
    assert merge_patch({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]}, {"a": 1, "b": {"c": 4}, "e": [1], "f": 5}) == {
        "b": {"c": 4, "d": None},
        "f": 5,
    }
    assert merge_patch({"a": 1}, {"a": 1}) == {}


# The fixtures are objects that can exist


def paths(value: Any, at: str = "") -> Iterator[str]:
    """Every field, by its path; what is null is not there."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, f"{at}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from paths(item, f"{at}[{number}]")
    if value not in (None, {}):
        yield at


def assert_understood(model: type[BaseModel], content: Any) -> None:
    """Valid, and no field of it is unknown to the model."""
    parsed = model.model_validate(content)
    understood = parsed.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert set(paths(content)) <= set(paths(understood))


@pytest.mark.parametrize(("kind", "name"), fixtures(), ids=lambda part: part)
def test_a_fixture_is_valid(kind: str, name: str) -> None:
    obj, known = fixture(kind, name), BY_KIND[kind]
    assert (obj["apiVersion"], obj["kind"]) == (known.api_version, kind)
    assert_understood(known.spec, obj["spec"])
    assert_understood(known.status, obj["status"])
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", obj["metadata"]["name"])


    assert_left_by_the_operator(obj)


def assert_left_by_the_operator(obj: dict[str, Any]) -> None:
    """What holds of the status after every pass."""
    status, conditions = obj["status"], obj["status"]["conditions"]
    assert status["observedGeneration"] == obj["metadata"]["generation"]
    assert len({c["type"] for c in conditions}) == len(conditions)
    assert not {"Stalled", "Reconciling"} <= {c["type"] for c in conditions}
    for stated in conditions:
        assert stated["status"] in {"True", "False", "Unknown"}
        assert re.fullmatch("[A-Z][A-Za-z]+", stated["reason"])
        datetime.fromisoformat(stated["lastTransitionTime"])
    asked = obj["metadata"].get("annotations", {}).get("retrainer.dev/request")
    if asked is not None:
        assert parse_request(asked) is not None
        assert status["lastHandledRequest"] == asked


def test_an_unknown_field_in_a_fixture_would_be_noticed() -> None:
    obj = fixture("ABExperiment", "running")
    obj["status"]["windows"]["length"] = 3
    with pytest.raises(AssertionError):
        assert_understood(BY_KIND["ABExperiment"].status, obj["status"])


# The page


def documented_actions() -> dict[str, set[str]]:
    """Kind → actions, by the table in docs/argocd.md; an empty first cell repeats the kind above."""
    text = (ARGOCD.parents[1] / "docs" / "argocd.md").read_text(encoding="utf-8")
    table = text.split("## Actions", 1)[1].split("\n## ", 1)[0]
    found: dict[str, set[str]] = {}
    kind = ""
    for first, second in re.findall(r"^\| (\w*) ?\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE):
        kind = first or kind
        found.setdefault(kind, set()).update(re.findall(r"\w+", second))
    return found


def test_the_page_lists_the_actions_that_there_are() -> None:
    assert documented_actions() == {kind: set(actions(kind)[1]) for kind in KINDS}

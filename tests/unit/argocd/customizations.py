"""The scripts as they are installed (the keys of argocd-cm), and the objects that they are tried on."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ARGOCD = Path(__file__).parents[3] / "manifests" / "argocd"
SCRIPTS = ARGOCD / "resource_customizations" / "retrainer.dev"
PATCH = ARGOCD / "patches" / "argocd-cm.yaml"
KINDS = sorted(path.name for path in SCRIPTS.iterdir())
_PREFIX = "resource.customizations"


@cache
def installed() -> dict[str, str]:
    """The data of argocd-cm."""
    return dict(_load(PATCH)["data"])


def health_script(kind: str) -> str:
    return installed()[f"{_PREFIX}.health.retrainer.dev_{kind}"]


@cache
def actions(kind: str) -> tuple[str, dict[str, str]]:
    """The discovery script, and the scripts of the actions by name."""
    parsed = yaml.safe_load(installed()[f"{_PREFIX}.actions.retrainer.dev_{kind}"])
    return parsed["discovery.lua"], {d["name"]: d["action.lua"] for d in parsed["definitions"]}


def fixtures() -> list[tuple[str, str]]:
    """Kind and name of every object to try the scripts on."""
    return [(kind, path.stem) for kind in KINDS for path in sorted((SCRIPTS / kind / "testdata").glob("*.yaml"))]


def fixture(kind: str, name: str) -> Object:
    """A copy of one of them."""
    return copy.deepcopy(_load(SCRIPTS / kind / "testdata" / f"{name}.yaml"))


def expectations(kind: str, file: str) -> Object:
    """health_test.yaml or actions/action_test.yaml of a kind."""
    return _load(SCRIPTS / kind / file)


@cache
def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

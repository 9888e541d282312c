"""The tutorial's files fit one another: table, mapping, policy and application."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.mapping import resolve

TUTORIAL = Path(__file__).resolve().parents[3] / "docs" / "tutorial"


def load(name: str) -> dict[str, Any]:
    """The last object of a file."""
    return list(yaml.safe_load_all((TUTORIAL / name).read_text(encoding="utf-8")))[-1]


@pytest.fixture(scope="module")
def application() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tutorial_application", TUTORIAL / "application.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def columns() -> list[str]:
    table = (TUTORIAL / "database.sql").read_text(encoding="utf-8").split("CREATE TABLE", 1)[1].split("\n);", 1)[0]
    return re.findall(r"^  ([a-z_]+) [A-Z]", table, re.MULTILINE)


def test_every_mapped_column_is_in_the_table():
    mapping = resolve(FeedbackSourceSpec.model_validate(load("feedback.yaml")["spec"]), columns())
    assert {*mapping.columns, *mapping.feature_columns} <= set(columns())


def test_the_application_sends_the_features_that_the_source_maps(application: ModuleType):
    mapped = load("feedback.yaml")["spec"]["record"]["features"]["columns"]
    ticket = application.invent(random.Random(1), "old")
    assert [f["name"] for f in mapped] == list(ticket.features)
    assert ticket.plan in next(f["categories"] for f in mapped if f["name"] == "plan")


def test_the_application_writes_columns_that_the_table_has(application: ModuleType):
    written = [c.strip() for c in application.COLUMNS.split(",")]
    assert set(written) <= set(columns())
    assert len(written) == len(application.invent(random.Random(1), "old").values)


def test_the_policy_trains_what_is_labelled_and_asks_for_a_signal_that_exists():
    source, policy = load("feedback.yaml"), load("policy.yaml")
    labels = {label["name"] for label in source["spec"]["record"]["labels"]}
    signals = {s["name"] for s in source["spec"]["signals"] if "thumbs" in s}
    spec = policy["spec"]
    assert {t["name"] for t in spec["training"]["method"]["xgboost"]["targets"]} <= labels
    assert {m["source"]["feedback"]["signal"] for m in spec["promotion"]["experiment"]["metrics"]} <= signals
    assert {r["name"] for r in spec["sourceRefs"]} == {source["metadata"]["name"]}
    assert spec["serving"]["podTemplateRef"]["name"] == load("server.yaml")["metadata"]["name"]


def test_the_history_alone_makes_the_first_run_start(application: ModuleType):
    spec = load("policy.yaml")["spec"]
    assert spec["triggers"][0]["newSamples"]["atLeast"] <= application.HISTORY
    # The second run learns from nothing but the new world.
    assert spec["training"]["data"]["maximumSamples"] <= spec["triggers"][0]["newSamples"]["atLeast"]


def test_what_is_right_in_the_old_world_is_often_wrong_in_the_new_one(application: ModuleType):
    def teams(world: str) -> list[str]:
        chance = random.Random(7)
        return [application.invent(chance, world).team for _ in range(2000)]

    old, new = teams("old"), teams("new")
    assert 0.1 < sum(a != b for a, b in zip(old, new, strict=True)) / 2000 < 0.4
    assert min(Counter(new).values()) > 200, "every team has enough tickets to be learnt"

"""What every schema we ship must have: bounds, list types, descriptions, and no default below a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from retrainer.api.v1alpha1 import KINDS
from retrainer.crdgen.crd import custom_resource_definition

Schema = dict[str, Any]


@dataclass(frozen=True)
class Place:
    path: str
    schema: Schema
    below_list: bool
    name: str
    """Last part of the path; empty for items."""


def walk(schema: Schema, path: str, below_list: bool = False, name: str = "") -> Iterator[Place]:
    yield Place(path, schema, below_list, name)
    for key, value in schema.get("properties", {}).items():
        yield from walk(value, f"{path}.{key}", below_list, key)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]", True)
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}", True)


def places() -> list[Place]:
    found = []
    for kind in KINDS:
        root = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            found.extend(walk(root["properties"][part], f"{kind.kind}.{part}", name=part))
    return found


PLACES = places()
LISTS = [p for p in PLACES if p.schema.get("type") == "array"]
STRINGS = [p for p in PLACES if p.schema.get("type") == "string"]
INTEGERS = [p for p in PLACES if p.schema.get("type") == "integer"]
LONG_LISTS = {
    "FeedbackSource.spec.record.features.columns": 512,
    "RetrainPolicy.status.revisions": 128,
    "FeedbackSource.spec.record.features.columns[].categories": 64,
}


def paths(wrong: list[Place]) -> list[str]:
    return [place.path for place in wrong]


def test_the_walk_sees_lists_strings_and_integers_of_every_kind() -> None:
    for found in (LISTS, STRINGS, INTEGERS):
        assert {place.path.split(".")[0] for place in found} == {kind.kind for kind in KINDS}


def test_every_list_says_how_it_merges() -> None:
    assert paths([p for p in LISTS if p.schema.get("x-kubernetes-list-type") not in ("map", "atomic")]) == []


def test_the_keys_of_a_map_list_are_required_fields_of_its_items() -> None:
    maps = [p for p in LISTS if p.schema["x-kubernetes-list-type"] == "map"]
    assert maps
    wrong = [
        p for p in maps if not set(p.schema["x-kubernetes-list-map-keys"]) <= set(p.schema["items"].get("required", ()))
    ]
    assert paths(wrong) == []


def test_a_spec_list_whose_items_have_a_name_merges_by_it_unless_it_only_refers() -> None:
    """References are few and ordered; everything else with a name may be owned item by item."""
    wrong = [
        p
        for p in LISTS
        if ".spec" in p.path
        and "name" in p.schema["items"].get("properties", {})
        and not p.name.endswith("Refs")
        and p.schema["x-kubernetes-list-type"] != "map"
    ]
    assert paths(wrong) == []


def test_lists_are_bounded_by_32_unless_stated() -> None:
    beyond = {p.path: p.schema["maxItems"] for p in LISTS if p.schema["maxItems"] > 32}
    assert beyond == LONG_LISTS


def test_every_string_is_bounded() -> None:
    wrong = [
        p for p in STRINGS if not {"maxLength", "enum"} & p.schema.keys() and p.schema.get("format") != "date-time"
    ]
    assert paths(wrong) == []


def test_every_number_of_a_spec_is_a_bounded_integer() -> None:
    wrong = [p for p in INTEGERS if ".spec" in p.path and not {"minimum", "maximum"} <= p.schema.keys()]
    assert paths(wrong) == []
    assert paths([p for p in PLACES if p.schema.get("type") == "number"]) == []


def test_nothing_has_a_default_below_a_list() -> None:
    assert paths([p for p in PLACES if p.below_list and "default" in p.schema]) == []


def test_nothing_in_a_status_has_a_default() -> None:
    """The API server would write it into a status that says nothing yet."""
    assert paths([p for p in PLACES if ".status" in p.path and "default" in p.schema]) == []


def test_every_field_says_what_it_means() -> None:
    wrong = [p for p in PLACES if p.name and p.schema.get("description", "").strip() == ""]
    assert paths(wrong) == []


def test_no_rule_is_a_bare_pattern() -> None:
    """A pattern prints a regular expression at people; a rule has a message."""
    assert paths([p for p in PLACES if "pattern" in p.schema]) == []


def test_every_rule_has_a_message_without_a_regular_expression() -> None:
    rules = [(p.path, rule) for p in PLACES for rule in p.schema.get("x-kubernetes-validations", ())]
    assert rules
    assert [path for path, rule in rules if len(rule["message"]) < 10 or "[a-z" in rule["message"]] == []


def test_no_rule_is_attached_twice() -> None:
    for place in PLACES:
        rules = [rule["rule"] for rule in place.schema.get("x-kubernetes-validations", ())]
        assert len(rules) == len(set(rules)), place.path


def test_durations_say_their_unit() -> None:
    wrong = [
        p
        for p in PLACES
        if any(word in p.name.lower() for word in ("duration", "interval", "deadline", "cooldown", "timeout", "ttl"))
        and not any(unit in p.name for unit in ("Seconds", "Days"))
        # A confidence interval is no duration.
        and not p.path.endswith("effects[].interval")
    ]
    assert paths(wrong) == []


@pytest.mark.parametrize("word", ["phase", "podSpec", "replicasCount"])
def test_there_is_no_field_of_that_name(word: str) -> None:
    assert paths([p for p in PLACES if p.name == word]) == []


def test_one_object_stays_far_below_what_etcd_stores() -> None:
    """The largest status anybody can write must fit into a request (1.5 MiB), or it can never be updated."""
    for kind in KINDS:
        root = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert worst_size(root["properties"]["status"]) < 1_500_000, kind.kind


def worst_size(schema: Schema) -> int:
    """Bytes of the longest value, in characters of one byte."""
    kind = schema.get("type", "object")
    if kind == "string":
        return 2 + int(schema.get("maxLength", max((len(v) for v in schema.get("enum", ["x" * 32])), default=32)))
    if kind == "array":
        return 2 + int(schema["maxItems"]) * (worst_size(schema["items"]) + 1)
    if kind == "object":
        return 2 + sum(len(k) + 4 + worst_size(v) for k, v in schema.get("properties", {}).items())
    return 20

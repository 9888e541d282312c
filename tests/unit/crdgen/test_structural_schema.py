"""From pydantic to a structural schema: references resolved, bounds demanded, rules kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.schema import Atomic, ListMap, Rule, SpecModel, cel, validations
from retrainer.crdgen.schema import structural_schema


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


Short = Annotated[str, Field(max_length=8), cel("self != 'x'", "must not be x")]


class Inner(SpecModel):
    """Inner."""

    model_config = ConfigDict(json_schema_extra=validations(Rule("has(self.a)", "set a")))

    a: Short = "a"
    """A."""


class Outer(SpecModel):
    """Outer."""

    inner: Inner = Inner()
    """Its inner part."""
    colour: Colour = Colour.RED
    """Its colour."""
    kind: Literal["Only"]
    """Its kind."""
    narrow: Annotated[Short, cel("self != 'y'", "must not be y")]
    """Narrowed."""
    maybe: Short | None = None
    """Perhaps."""
    items: Annotated[tuple[Inner, ...], Field(max_length=3), ListMap("a")] = ()
    """Some."""
    words: Annotated[tuple[Short, ...], Field(max_length=2), Atomic()] | None = None
    """Words."""
    labels: Annotated[dict[str, Short], Field(max_length=4)] | None = None
    """Labels."""


OUTER = structural_schema(Outer)["properties"]


def test_references_are_resolved_and_rules_of_the_target_kept() -> None:
    assert OUTER["inner"]["properties"]["a"]["maxLength"] == 8
    assert OUTER["inner"]["x-kubernetes-validations"] == [{"rule": "has(self.a)", "message": "set a"}]
    assert "$ref" not in str(OUTER)


def test_the_description_beside_a_reference_wins() -> None:
    assert OUTER["inner"]["description"] == "Its inner part."


def test_an_object_that_has_only_defaults_is_defaulted_as_empty() -> None:
    assert OUTER["inner"]["default"] == {}
    assert OUTER["inner"]["properties"]["a"]["default"] == "a"


def test_an_enumeration_keeps_its_values_and_default() -> None:
    assert (OUTER["colour"]["enum"], OUTER["colour"]["default"]) == (["Red", "Blue"], "Red")


def test_a_single_literal_is_an_enumeration_of_one() -> None:
    assert (OUTER["kind"]["type"], OUTER["kind"]["enum"]) == ("string", ["Only"])


def test_a_narrowed_type_keeps_the_rules_it_had() -> None:
    messages = [rule["message"] for rule in OUTER["narrow"]["x-kubernetes-validations"]]
    assert messages == ["must not be x", "must not be y"]


def test_an_optional_field_is_neither_null_nor_defaulted_but_keeps_its_rules() -> None:
    assert OUTER["maybe"]["type"] == "string"
    assert "default" not in OUTER["maybe"] and "nullable" not in OUTER["maybe"]
    assert OUTER["maybe"]["x-kubernetes-validations"][0]["message"] == "must not be x"


def test_lists_say_how_they_merge_and_their_items_lose_defaults() -> None:
    assert OUTER["items"]["x-kubernetes-list-map-keys"] == ["a"]
    assert "default" not in OUTER["items"]
    assert "default" not in OUTER["items"]["items"]["properties"]["a"]
    assert OUTER["words"]["x-kubernetes-list-type"] == "atomic"


def test_a_map_is_bounded_and_its_values_too() -> None:
    assert OUTER["labels"]["maxProperties"] == 4
    assert OUTER["labels"]["additionalProperties"]["maxLength"] == 8


def test_only_fields_without_default_are_required() -> None:
    assert sorted(structural_schema(Outer)["required"]) == ["kind", "narrow"]


def test_names_are_camel_case() -> None:
    class Wide(SpecModel):
        minimum_units: Annotated[int, Field(ge=1)]
        """Units."""

    assert list(structural_schema(Wide)["properties"]) == ["minimumUnits"]


class FreeText(SpecModel):
    text: str


class FreeList(SpecModel):
    items: tuple[int, ...]


class FreeMap(SpecModel):
    labels: dict[str, Short]


class Either(SpecModel):
    value: int | Short


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (FreeText, "FreeText.text: a string needs max_length"),
        (FreeList, "FreeList.items: a list needs max_length"),
        (FreeMap, "FreeMap.labels: a map needs max_length"),
        (Either, "only optional types are supported"),
    ],
)
def test_what_the_api_server_could_not_bound_is_refused_with_its_place(model: type[SpecModel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        structural_schema(model)

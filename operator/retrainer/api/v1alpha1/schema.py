"""Building blocks of the models: base classes, CEL rules, list types and the bounded scalar types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Rule:
    """One CEL rule for the API server, with the message a person reads when it is broken."""

    rule: str
    message: str

    def to_schema(self) -> dict[str, str]:
        return {"rule": self.rule, "message": self.message}


@dataclass(frozen=True)
class Cel:
    """Annotation: attaches CEL rules to the schema of the annotated type."""

    rules: tuple[Rule, ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = dict(handler(core))
        # A type that is narrowed keeps the rules it had.
        inherited = schema.get("x-kubernetes-validations", [])
        schema["x-kubernetes-validations"] = [*inherited, *(r.to_schema() for r in self.rules)]
        return schema


@dataclass(frozen=True)
class ListMap:
    """Annotation: a list whose items are identified by `key`, so that appliers may own single items."""

    key: str = "name"

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = dict(handler(core))
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = [self.key]
        return schema


@dataclass(frozen=True)
class Atomic:
    """Annotation: a list that is replaced as a whole."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = dict(handler(core))
        schema["x-kubernetes-list-type"] = "atomic"
        return schema


def cel(rule: str, message: str) -> Cel:
    """Annotation for a single rule."""
    return Cel((Rule(rule, message),))


def validations(*rules: Rule) -> dict[str, Any]:
    """`json_schema_extra` of an object with CEL rules."""
    return {"x-kubernetes-validations": [r.to_schema() for r in rules]}


def exactly_one(*fields: str) -> Rule:
    """The object must set exactly one of its optional sub-objects."""
    tests = ", ".join(f"has(self.{field})" for field in fields)
    if len(fields) == 1:
        return Rule(f"has(self.{fields[0]})", f"set {fields[0]}")
    return Rule(
        f"[{tests}].filter(x, x).size() == 1",
        f"set exactly one of {', '.join(fields[:-1])} and {fields[-1]}",
    )


def immutable(model: type[BaseModel], *, after_start: bool, except_for: tuple[str, ...] = ()) -> Rule:
    """Root rule that freezes a kind's spec: field by field, which keeps within the API server's cost budget."""
    terms: list[str] = []
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias in except_for:
            continue
        old, new = f"oldSelf.spec.{alias}", f"self.spec.{alias}"
        if field.is_required() or field.default is not None:
            terms.append(f"{new} == {old}")
        else:
            terms.append(f"has({new}) == has({old}) && (!has({new}) || {new} == {old})")
    frozen = " && ".join(f"({t})" for t in terms)
    kept = ", ".join(except_for) or "nothing"
    message = f"spec cannot be changed once created (except {kept}); create a new object instead"
    if after_start:
        frozen = f"!has(oldSelf.status) || !has(oldSelf.status.startTime) || ({frozen})"
        message = f"spec cannot be changed after the start (except {kept}); create a new object instead"
    return Rule(frozen, message)


class SpecModel(BaseModel):
    """What a user writes: unknown fields are errors."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


class StatusModel(BaseModel):
    """What the operator writes: unknown fields (of a newer operator) are ignored when read."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    cel(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be the name of a Kubernetes object: lower case letters, digits and '-', "
        "beginning and ending with a letter or digit",
    ),
]
"""Name of an object in the same namespace."""

ItemName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    cel(
        "self.matches('^[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$')",
        "must begin with a letter and contain only letters, digits, '-', '_' and '.'",
    ),
]
"""Name of an item in a list: trigger, metric, target, signal, parameter."""

Fraction = Annotated[
    str,
    Field(min_length=1, max_length=16),
    cel(
        "self.matches('^[0-9]+([.][0-9]+)?$') && double(self) <= 1.0",
        'must be a decimal string between 0 and 1, for example "0.85"',
    ),
]
"""A number between 0 and 1 as a decimal string."""

ErrorRate = Annotated[
    str,
    Field(min_length=1, max_length=16),
    cel(
        "self.matches('^0[.][0-9]+$') && double(self) > 0.0 && double(self) <= 0.5",
        'must be a decimal string above 0 and at most 0.5, for example "0.05"',
    ),
]
"""A probability of error as a decimal string."""

PositiveDecimal = Annotated[
    str,
    Field(min_length=1, max_length=16),
    cel(
        "self.matches('^[0-9]{1,6}([.][0-9]{1,9})?(e-?[0-9]{1,2})?$') && double(self) > 0.0",
        'must be a positive decimal string, for example "2e-5" or "0.8"',
    ),
]
"""A positive number as a decimal string."""

Decimal = Annotated[
    str,
    Field(min_length=1, max_length=24),
    cel(
        "self.matches('^-?[0-9]{1,9}([.][0-9]{1,9})?(e-?[0-9]{1,2})?$')",
        'must be a decimal string, for example "0.75"',
    ),
]
"""Any number as a decimal string."""

Digest = Annotated[
    str,
    Field(max_length=71),
    cel("self.matches('^sha256:[0-9a-f]{64}$')", "must be 'sha256:' and 64 hexadecimal digits"),
]
"""SHA-256 of an artifact or snapshot."""

ArtifactUri = Annotated[
    str,
    Field(min_length=1, max_length=512),
    cel("self.startsWith('file:///')", "must begin with file:///"),
    # Other schemes enter with the issue that brings their output.
]
"""Where an artifact or snapshot lies."""


def _timestamp(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[datetime, PlainSerializer(_timestamp, return_type=str, when_used="json")]
"""A point in time, UTC, to the second."""

MicroTime = Annotated[
    datetime,
    PlainSerializer(lambda v: v.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), return_type=str, when_used="json"),
]
"""A point in time, UTC, to the microsecond (windows of a few seconds need it)."""

Column = Annotated[str, Field(min_length=1, max_length=128)]
"""A column of the source, or a dotted path into a JSON column."""


class ObjectRef(SpecModel):
    """Names an object in the same namespace."""

    name: ObjectName
    """Name of the object."""


class SecretKeyRef(SpecModel):
    """Names one key of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key within the Secret."""


class Condition(StatusModel):
    """The standard condition of Kubernetes objects."""

    type: Annotated[str, Field(max_length=63)]
    """What is stated, PascalCase."""
    status: Annotated[str, Field(max_length=7)]
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=63)]
    """Why, one word, PascalCase; a documented constant."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, for people; names the remedy where one is needed."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: int | None = None
    """Generation of the spec that this was decided on."""


class ObjectStatus(StatusModel):
    """What the status of every kind begins with."""

    observed_generation: int | None = None
    """Generation of the spec that this status was decided on."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), ListMap("type")] = ()
    """What is true of this object now, and why."""
    last_handled_request: Annotated[str, Field(max_length=253)] | None = None
    """The request (annotation retrainer.dev/request) that was last acknowledged."""
    handled_requests: Annotated[
        tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=16), Atomic()
    ] | None = None
    """Ids of earlier requests, the latest last: none of them is executed again."""

"""Checks a spec as the API server would, and says of every mistake where it is and what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from retrainer.crdgen.schema import Schema, structural_schema
from retrainer.experiment_tool.cel import RuleError, holds
from retrainer.experiment_tool.failure import InputError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], value: Any, place: str) -> Model:
    """`value` as `model`; raises InputError with one line per mistake, each with its field and the remedy."""
    schema = _schema_of(model)
    try:
        # From JSON, as the API server sees it: text is no number, and a number is no text.
        parsed = model.model_validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise InputError("\n".join(_sentence(e, schema, place) for e in error.errors())) from error
    plain = parsed.model_dump(mode="json", by_alias=True, exclude_none=True)
    broken = list(dict.fromkeys(_broken(schema, plain, place)))
    if broken:
        raise InputError("\n".join(broken))
    return parsed


@lru_cache(maxsize=8)
def _schema_of(model: type[BaseModel]) -> Schema:
    return structural_schema(model)


def _sentence(error: ErrorDetails, schema: Schema, place: str) -> str:
    location = [part for part in error["loc"] if not str(part).startswith(("constrained-", "function-"))]
    path = place + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{path}: {_remedy(error, _schema_at(schema, location[:-1]), str(location[-1]) if location else '')}"


def _remedy(error: ErrorDetails, around: Schema, name: str) -> str:
    context: Mapping[str, Any] = error.get("ctx") or {}
    kind = error["type"]
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return _unknown(name, sorted(around.get("properties", {})))
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "string_type":
        return 'must be text; put it in quotes, for example "0.05"'
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    return _TYPES.get(kind, error["msg"].removeprefix("Value error, "))


_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "too_short": "needs at least {min_length} of them",
    "too_long": "may have at most {max_length} of them",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}

_TYPES = {
    "int_type": "must be a whole number, without quotes",
    "int_parsing": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false, without quotes",
    "tuple_type": "must be a list (lines that begin with '- ')",
    "model_type": "must be an object with fields of its own",
    "model_attributes_type": "must be an object with fields of its own",
}


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"is not a field here; did you mean {near[0]}?"
    return f"is not a field here; known are {', '.join(known)}" if known else "is not a field here; remove it"


def _schema_at(schema: Schema, location: list[Any]) -> Schema:
    """The schema of the object or list at a location; empty where there is none."""
    for part in location:
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    return schema


def _broken(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """Sentences of the rules that a value and all within it break, from the outside in."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _obeyed(rule["rule"], value):
            yield f"{path}: {rule['message']}"
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _broken(inner, value[name], f"{path}.{name}")
    if isinstance(value, list):
        yield from _doubles(schema, value, path)
        for number, item in enumerate(value):
            yield from _broken(schema.get("items", {}), item, f"{path}[{number}]")


def _obeyed(rule: str, value: Any) -> bool:
    try:
        return holds(rule, value)
    except RuleError:
        return False


def _doubles(schema: Schema, items: list[Any], path: str) -> Iterator[str]:
    """Items of a list by name that bear the name of an earlier one."""
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen: set[tuple[Any, ...]] = set()
    for number, item in enumerate(items):
        identity = tuple(item.get(key) for key in keys)
        if keys and identity in seen:
            yield f"{path}[{number}]: bears the {', '.join(keys)} of an earlier item; give each its own"
        seen.add(identity)

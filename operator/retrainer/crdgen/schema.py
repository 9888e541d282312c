"""Turns a pydantic model into a structural schema that the API server accepts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """Schema of `model` with references resolved, nullability dropped and no default below a list.

    Raises ValueError when a list, map or string of the model is unbounded: the API server could then not
    bound the cost of rules, and a user could store megabytes.
    """
    raw = model.model_json_schema(by_alias=True)
    return _convert(raw, raw.get("$defs", {}), below_list=False, path=model.__name__)


def _convert(raw: Schema, definitions: Schema, *, below_list: bool, path: str) -> Schema:
    raw = _resolve(raw, definitions)
    schema: Schema = {key: raw[key] for key in _KEPT if key in raw}
    if below_list:
        schema.pop("default", None)
    if "const" in raw:
        schema.update(type="string", enum=[raw["const"]])
    _tidy_default(schema)
    if "properties" in raw:
        schema["properties"] = {
            name: _convert(value, definitions, below_list=below_list, path=f"{path}.{name}")
            for name, value in raw["properties"].items()
        }
    if "items" in raw:
        schema["items"] = _convert(raw["items"], definitions, below_list=True, path=f"{path}[]")
    if isinstance(raw.get("additionalProperties"), dict):
        schema["additionalProperties"] = _convert(
            raw["additionalProperties"], definitions, below_list=True, path=f"{path}{{}}"
        )
    _require_bounds(schema, path)
    return schema


def _tidy_default(schema: Schema) -> None:
    """No null defaults; an object's default is empty, so that the defaults of its fields fill it."""
    default = schema.get("default")
    if default is None or default in ([], ()):
        schema.pop("default", None)
    elif isinstance(default, dict):
        schema["default"] = {}


def _resolve(raw: Schema, definitions: Schema) -> Schema:
    """Follow references and drop the null of optional fields, keeping what stands beside them."""
    beside = {k: v for k, v in raw.items() if k not in ("$ref", "anyOf", "allOf")}
    if "$ref" in raw:
        target = _resolve(definitions[raw["$ref"].rsplit("/", 1)[1]], definitions)
        return _merge(target, beside)
    if "anyOf" in raw:
        options = [option for option in raw["anyOf"] if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"only optional types are supported, not unions: {raw['anyOf']}")
        return _merge(_resolve(options[0], definitions), beside)
    return raw


def _merge(inner: Schema, beside: Schema) -> Schema:
    rules = [*inner.get("x-kubernetes-validations", ()), *beside.get("x-kubernetes-validations", ())]
    merged = {**inner, **beside}
    if rules:
        merged["x-kubernetes-validations"] = rules
    return merged


def _require_bounds(schema: Schema, path: str) -> None:
    kind = schema.get("type")
    if kind == "string" and not ({"maxLength", "enum", "format"} & schema.keys()):
        raise ValueError(f"{path}: a string needs max_length")
    if kind == "array" and "maxItems" not in schema:
        raise ValueError(f"{path}: a list needs max_length")
    if kind == "object" and "additionalProperties" in schema and "maxProperties" not in schema:
        raise ValueError(f"{path}: a map needs max_length")

"""Builds the CustomResourceDefinition of a kind."""

from __future__ import annotations

from typing import Any

from retrainer.api.v1alpha1.kind import GROUP, NAME_RULE, VERSION, Column, Kind
from retrainer.crdgen.schema import structural_schema


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """The CRD of `kind`: structural schema, CEL rules, columns, short name, category, status subresource."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["retrainer"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(c) for c in kind.columns],
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }


def _root_schema(kind: Kind) -> dict[str, Any]:
    return {
        "type": "object",
        "description": (kind.spec.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(kind.spec),
            "status": structural_schema(kind.status),
        },
        "x-kubernetes-validations": [r.to_schema() for r in (NAME_RULE, *kind.root_rules)],
    }


def _column(column: Column) -> dict[str, Any]:
    built: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.wide:
        built["priority"] = 1
    return built

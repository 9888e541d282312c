"""What the generator and the clients need to know about a custom resource."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from retrainer.api.v1alpha1.schema import Rule

GROUP = "retrainer.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

REQUEST_ANNOTATION = f"{GROUP}/request"
"""A person's request: `<action>[:<argument>]/<id>`; executed at most once per id."""

MANAGED_LABEL = f"{GROUP}/managed-by"
"""Label that every child of ours carries (value `retrainer`); the operator watches only objects with it."""
MANAGED_VALUE = "retrainer"
OWNER_KIND_LABEL = f"{GROUP}/owner-kind"
"""Label with the kind of the owner, lower case."""
OWNER_NAME_LABEL = f"{GROUP}/owner-name"
"""Label with the name of the owner."""

ALLOW_OPERATOR_LABEL = f"{GROUP}/allow-operator"
ALLOWED_HOSTS_ANNOTATION = f"{GROUP}/allowed-hosts"

NAME_RULE = Rule(
    "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name must be at most 40 characters: lower case letters, digits and '-', beginning with a "
    "letter and ending with a letter or digit (objects created from it add a suffix)",
)


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    type: str
    json_path: str
    wide: bool = False


@dataclass(frozen=True)
class Kind:
    """One custom resource: names, models, columns and rules at the root of the object."""

    kind: str
    plural: str
    short: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    root_rules: tuple[Rule, ...] = ()
    api_version: str = API_VERSION

"""Who carries an experiment's weights: the arms, and one traffic provider each."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.schema import (
    Atomic,
    Digest,
    ObjectName,
    ObjectRef,
    Rule,
    SpecModel,
    cel,
    exactly_one,
    validations,
)


class ServiceRef(SpecModel):
    """A Service of the same namespace."""

    name: ObjectName
    """Its name."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Its port."""


class ModelVersion(SpecModel):
    """What an arm answers with; outcomes are attributed by it."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "has(self.revision) || has(self.digest)",
                "set revision or digest: outcomes are attributed by what their record names",
            )
        )
    )

    revision: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Revision of the policy."""
    uri: Annotated[str, Field(max_length=1024)] | None = None
    """Where the artifact lies."""
    digest: Digest | None = None
    """Digest of the artifact."""


class Arm(SpecModel):
    """One side of the experiment."""

    service_ref: ServiceRef | None = None
    """The Service that gets its share of the traffic; with traffic.inferenceService the arms are its revisions."""
    model: ModelVersion
    """What answers there."""


class ParentRef(SpecModel):
    """A Gateway."""

    name: ObjectName
    """Its name."""
    namespace: ObjectName | None = None
    """Its namespace; the route's own if unset."""
    section_name: ObjectName | None = None
    """One of its listeners; all if unset."""


Hostname = Annotated[
    str,
    Field(min_length=1, max_length=253),
    cel(
        "self.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "must be a host name in lower case, optionally beginning with '*.'",
    ),
]

PathPrefix = Annotated[str, Field(max_length=255), cel("self.startsWith('/')", "must begin with '/'")]


class RouteAttachment(SpecModel):
    """How an HTTPRoute attaches to the world."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8), Atomic()]
    """The Gateways."""
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16), Atomic()] | None = None
    """Host names; those of the Gateway if unset."""
    path_prefix: PathPrefix = "/"
    """Requests whose path begins with this."""


class StandaloneRoute(RouteAttachment):
    """An HTTPRoute that this experiment owns."""

    name: ObjectName
    """Name of the HTTPRoute to create."""


class AssignmentConfigMap(SpecModel):
    """A ConfigMap that this experiment owns; the application reads weight and salt from it and divides the
    traffic itself."""

    name: ObjectName
    """Name of the ConfigMap to create."""


IstioGateway = Annotated[
    str,
    Field(min_length=1, max_length=127),
    cel(
        "self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "must be the name of an Istio Gateway, `namespace/name`, or `mesh`",
    ),
]


class StandaloneVirtualService(SpecModel):
    """An Istio VirtualService that this experiment owns."""

    name: ObjectName
    """Name of the VirtualService to create."""
    hosts: Annotated[tuple[Hostname, ...], Field(min_length=1, max_length=16), Atomic()]
    """Host names to which it applies."""
    gateways: Annotated[tuple[IstioGateway, ...], Field(max_length=8), Atomic()] | None = None
    """Istio Gateways; the mesh if unset."""
    path_prefix: PathPrefix = "/"
    """Requests whose path begins with this."""


class Traffic(SpecModel):
    """Who carries the weights."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            exactly_one("policyRef", "httpRoute", "virtualService", "inferenceService", "configMap")
        )
    )

    policy_ref: ObjectRef | None = None
    """A RetrainPolicy with `serving`; it writes its own route from status.weightPercent."""
    http_route: StandaloneRoute | None = None
    """An HTTPRoute of this experiment (Gateway API)."""
    virtual_service: StandaloneVirtualService | None = None
    """A VirtualService of this experiment (Istio)."""
    inference_service: ObjectRef | None = None
    """A KServe InferenceService whose latest revision is the candidate; only its canaryTrafficPercent is written."""
    config_map: AssignmentConfigMap | None = None
    """A ConfigMap of this experiment; the application divides the traffic."""

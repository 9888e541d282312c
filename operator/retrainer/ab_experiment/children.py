"""Objects that an experiment owns: its ledger and, standalone, its HTTPRoute."""

from __future__ import annotations

from retrainer.ab_experiment.ledger import Ledger
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.kind import (
    API_VERSION,
    MANAGED_LABEL,
    MANAGED_VALUE,
    OWNER_KIND_LABEL,
    OWNER_NAME_LABEL,
)
from retrainer.plan import Object
from retrainer.routing import httproute
from retrainer.routing.httproute import Backend


def ledger_name(experiment: Object) -> str:
    """Name of the experiment's ledger."""
    return f"{experiment['metadata']['name']}-ledger"


def ledger_object(experiment: Object, ledger: Ledger, stored: Object | None) -> Object:
    """The ConfigMap to create or, where `stored` is given, to put in its place if it did not change meanwhile."""
    metadata = {
        "name": ledger_name(experiment),
        "namespace": experiment["metadata"]["namespace"],
        "labels": labels(experiment),
        "ownerReferences": [owner_reference(experiment)],
    }
    if stored is not None:
        metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": ledger.data}


def route_object(experiment: Object, spec: ABExperimentSpec, weight: int) -> Object:
    """The HTTPRoute of a standalone experiment at this candidate weight."""
    route = spec.traffic.http_route
    if route is None:
        raise ValueError("this experiment has no route of its own")
    return httproute.build(
        route.name,
        experiment["metadata"]["namespace"],
        parent_refs=route.parent_refs,
        hostnames=route.hostnames,
        path_prefix=route.path_prefix,
        backends=backends(spec, weight),
        owner=owner_reference(experiment),
        labels=labels(experiment),
    )


def route_to_apply(
    experiment: Object, spec: ABExperimentSpec, observed: Object | None, weight: int
) -> tuple[Object, ...]:
    """The route of a standalone experiment where it does not say this weight; nothing in a policy."""
    if spec.traffic.http_route is None:
        return ()
    desired = route_object(experiment, spec, weight)
    return () if httproute.up_to_date(observed, desired) else (desired,)


def backends(spec: ABExperimentSpec, weight: int) -> tuple[Backend, Backend]:
    """Both arms at this candidate weight; also what a policy puts on its own route while this runs."""
    baseline, candidate = spec.baseline.service_ref, spec.candidate.service_ref
    return (
        Backend(baseline.name, baseline.port, 100 - weight, "baseline"),
        Backend(candidate.name, candidate.port, weight, "candidate"),
    )


def labels(experiment: Object) -> dict[str, str]:
    """Labels by which the operator finds its children."""
    return {
        MANAGED_LABEL: MANAGED_VALUE,
        OWNER_KIND_LABEL: "abexperiment",
        OWNER_NAME_LABEL: experiment["metadata"]["name"],
    }


def owner_reference(experiment: Object) -> Object:
    """Controller reference, so that children go with the experiment."""
    metadata = experiment["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "ABExperiment",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }

"""Objects that an experiment owns: its ledger, and what carries its weights."""

from __future__ import annotations

from collections.abc import Sequence

from retrainer.ab_experiment.ledger import Ledger
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.kind import (
    API_VERSION,
    MANAGED_LABEL,
    MANAGED_VALUE,
    OWNER_KIND_LABEL,
    OWNER_NAME_LABEL,
)
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Object
from retrainer.routing.provider import Routing, routing_of


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


def routing_for(experiment: Object, spec: ABExperimentSpec, parent_refs: Sequence[ParentRef]) -> Routing:
    """What carries the experiment's weights; `parent_refs` are the gateways of its policy's route, if it has one."""
    return routing_of(
        experiment, spec, owner=owner_reference(experiment), labels=labels(experiment), parent_refs=parent_refs
    )


def is_ours(experiment: Object, child: Object) -> bool:
    """Whether the experiment controls this object."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(o.get("controller") and o.get("uid") == experiment["metadata"]["uid"] for o in owners)


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

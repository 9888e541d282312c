"""Names, labels and ownership of what a policy creates."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Any

from retrainer.api.v1alpha1.kind import (
    API_VERSION,
    GROUP,
    MANAGED_LABEL,
    MANAGED_VALUE,
    OWNER_KIND_LABEL,
    OWNER_NAME_LABEL,
)
from retrainer.api.v1alpha1.retrain_policy import RETRAIN_POLICY
from retrainer.plan import Object, Ref

OWNER_KIND = RETRAIN_POLICY.kind.lower()
POLICY_LABEL = f"{GROUP}/policy"
"""Our own selector label: the policy whose model a pod serves."""
REVISION_LABEL = f"{GROUP}/revision"
"""Our own selector label: the revision a pod serves; on a run, the revision that it may become."""


class Ownership(Enum):
    """Whose an object is that bears the name of a child."""

    OURS = "ours"
    REMAINS = "remains"
    """Of a policy of this name that was deleted: garbage collection is about to remove it."""
    FOREIGN = "foreign"


def champion_name(policy: str) -> str:
    """The ConfigMap with the champion and the revisions."""
    return f"{policy}-champion"


def run_name(policy: str, revision: int) -> str:
    """The run that may become this revision."""
    return f"{policy}-{revision}"


def requested_run_name(policy: str, request_id: str) -> str:
    """The run that a person asked for: a crash before the acknowledgement lands on the same name."""
    return f"{policy}-{hashlib.sha256(request_id.encode()).hexdigest()[:8]}"


def experiment_name(policy: str, revision: int) -> str:
    """The experiment of this revision against the champion."""
    return f"{policy}-{revision}"


def serving_name(policy: str, revision: int) -> str:
    """Deployment and Service of this revision."""
    return f"{policy}-r{revision}"


def labels(policy: str) -> dict[str, str]:
    """What every child carries."""
    return {MANAGED_LABEL: MANAGED_VALUE, OWNER_KIND_LABEL: OWNER_KIND, OWNER_NAME_LABEL: policy}


def owner_reference(policy: Object) -> Object:
    """The controller reference to the policy."""
    return {
        "apiVersion": API_VERSION,
        "kind": RETRAIN_POLICY.kind,
        "name": policy["metadata"]["name"],
        "uid": policy["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(policy: Object, name: str, extra_labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Metadata of a child that goes with its policy."""
    return {
        "name": name,
        "namespace": policy["metadata"]["namespace"],
        "labels": {**labels(policy["metadata"]["name"]), **(extra_labels or {})},
        "ownerReferences": [owner_reference(policy)],
    }


def ownership(obj: Object, policy: Object) -> Ownership:
    """Whose the object is; only its controller reference counts, by uid."""
    controller = next(
        (r for r in obj["metadata"].get("ownerReferences") or () if r.get("controller")), None
    )
    if controller is None:
        return Ownership.FOREIGN
    if controller.get("uid") == policy["metadata"]["uid"]:
        return Ownership.OURS
    same_name = (controller.get("kind"), controller.get("name")) == (
        RETRAIN_POLICY.kind,
        policy["metadata"]["name"],
    )
    return Ownership.REMAINS if same_name else Ownership.FOREIGN


def is_ours(obj: Object | None, policy: Object) -> bool:
    """Whether the object exists and belongs to this very policy."""
    return obj is not None and ownership(obj, policy) is Ownership.OURS


def revision_of(obj: Object) -> int | None:
    """The revision that a child's label names."""
    text = (obj["metadata"].get("labels") or {}).get(REVISION_LABEL, "")
    return int(text) if text.isdigit() else None


def ref(obj: Object) -> Ref:
    """Names the object, with its uid as precondition."""
    meta = obj["metadata"]
    return Ref(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], meta.get("uid"))

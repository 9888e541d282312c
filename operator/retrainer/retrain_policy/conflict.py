"""An object that is not ours bears the name of a child: it is never taken over, and the policy says so."""

from __future__ import annotations

from dataclasses import replace

from retrainer.api.v1alpha1.retrain_policy import PolicyReason
from retrainer.plan import Object
from retrainer.retrain_policy import children
from retrainer.retrain_policy.draft import Draft

_COLLECTED_SOON = 2.0
_PERSON_NEEDED = 30.0
"""Objects that are not ours are not watched: somebody has to look whether they are still there."""


def is_taken(obj: Object | None, draft: Draft) -> bool:
    """Whether the name is borne by an object that is not ours."""
    return obj is not None and not children.is_ours(obj, draft.facts.policy)


def in_the_way(draft: Draft, found: Object) -> Draft:
    """Wait for garbage collection where the object is left from an earlier policy, else ask a person."""
    described = f"{found['kind']} {found['metadata']['name']}"
    if children.ownership(found, draft.facts.policy) is children.Ownership.REMAINS:
        return replace(draft, remains=(*draft.remains, described)).look_in(_COLLECTED_SOON)
    return draft.trouble(
        PolicyReason.NAME_CONFLICT,
        f"{described} exists and does not belong to this policy; rename or delete it, or rename the policy",
    ).look_in(_PERSON_NEEDED)

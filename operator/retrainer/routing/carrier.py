"""What every traffic provider answers: which object to read, what to write for a weight, what a read one carries.

One experiment has one `Routing` (provider.py: `routing_of`), made of one or two carriers:

    routing = routing_of(experiment, spec, owner=…, labels=…, parent_refs=…)   # pure and cheap: make it in every pass
    seen = {ref: <live GET of ref, or None> for ref in routing.refs}           # observe.py
    routing.services            # {"baseline": ServiceRef, "candidate": ServiceRef}: check their endpoints; {} where
                                # the provider itself knows its arms (InferenceService): ask routing.arm_problem
    routing.arm_problem(seen, "candidate")   # sentence or None, from the read objects alone
    routing.foreign(seen, uid)               # sentence or None: an object that is not ours bears a name of ours
    routing.change(seen, weight)             # Change(applies, merges) that make it carry `weight`; empty if it says so
    routing.observe(seen).carries(weight)    # whether traffic is divided so, as far as anybody can tell
    routing.exclusive                        # False: the object is a user's (see below)
    settle_seconds(spec)                     # windows are transitional for so long after `carries` became true

Weights are the candidate's share in per cent, 0 … 100. Put `change.applies` and `change.merges` into the plan.
A plan's merges are carried out after its replaces: where a weight is lowered and there are merges, leave the
ledger's line to the next pass, so that an emergency stop does not wait for it.

Where `routing.exclusive` is False (InferenceService) nothing is owned: after the verdict ask for changes only until
`carries` has been seen once (RouteApplied=True), then leave the object alone, for its user goes on with the next
model. `observe(seen).revisions` names what answers there: remember it with the first weight; when the candidate's
differs later, another model is being compared and the experiment is void.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Object, Ref
from retrainer.routing.state import Arm, RouteState


@dataclass(frozen=True)
class Subject:
    """Whose traffic is divided: the experiment, and the owner reference and labels of what it creates."""

    name: str
    namespace: str
    owner: Object
    labels: Mapping[str, str]
    spec: ABExperimentSpec

    @property
    def by_user(self) -> bool:
        """Whether the application assigns users and names their arm in a header."""
        assignment = self.spec.assignment
        return assignment is not None and assignment.unit == "User"

    @property
    def salt(self) -> str:
        """What goes into the hash."""
        assignment = self.spec.assignment
        return (assignment.salt if assignment else None) or self.name

    def metadata(self, name: str) -> Object:
        """Metadata of an object that goes with the experiment."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": dict(self.labels),
            "ownerReferences": [dict(self.owner)],
        }


@dataclass(frozen=True)
class Change:
    """What a plan must do: objects to apply (ours), and merge patches of objects that are a user's."""

    applies: tuple[Object, ...] = ()
    merges: tuple[tuple[Ref, Object], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.applies or self.merges)

    def __add__(self, other: Change) -> Change:
        return Change((*self.applies, *other.applies), (*self.merges, *other.merges))


NOTHING = Change()


class Carrier(Protocol):
    """One object that carries weights."""

    @property
    def ref(self) -> Ref:
        """The object."""

    @property
    def owned(self) -> bool:
        """Whether the experiment creates it and it goes with the experiment."""

    def change(self, observed: Object | None, weight: int) -> Change:
        """What makes it carry this weight; nothing where it says so already or is written by somebody else."""

    def observe(self, observed: Object | None) -> RouteState:
        """What it carries."""

    def arm_problem(self, observed: Object | None, arm: Arm) -> str | None:
        """Why this arm cannot answer, where the object tells; None also where it does not."""

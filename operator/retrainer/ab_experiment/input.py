"""What `observe` must supply for one decision about an experiment: a frozen snapshot, nothing live.

For `observe`:
- `obj` comes from the cache; the `ledger` is always a live GET (the cache trims its data, and an absence must
  be certain: a started experiment whose ledger is absent ends Inconclusive/LedgerLost).
- `routed` are live GETs of all that `children.routing_for(obj, spec, parent_refs).refs` names. `parent_refs` are the
  policy's `spec.serving.httpRoute.parentRefs`, and matter only with `policyRef`.
- An arm is ready when its Service exists, has the port, and an EndpointSlice of it has a ready address; where
  traffic.inferenceService knows the arms, when `Routing.arm_problem` has nothing to say.
- `counting.due_windows(obj, ledger, now, clock_ahead)` says which windows to read. For each, ask every metric's
  source for the outcomes with start ≤ time < end, per arm, with n the units with an outcome, Σy, Σy² and the units
  without; of Events Σy counts events and n requests (0 where they are not counted). Put in `readings` only windows
  that could be read for *all* metrics; where one could not, say why in `source_problem` (a sentence of ours, never
  a driver's text) and stop there: windows are taken in order.
- `rates` and `variances` matter only before the start: what is known of each metric's mean outcome (of Events: per
  request) and its variance; leave out what is unknown.
- `missing` names a reference that does not exist or does not fit, with the remedy.
- `clock_ahead` is how many seconds our clock is ahead of the API server's; None where that is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Object, Ref
from retrainer.statistics.sums import ArmSums


@dataclass(frozen=True)
class Readiness:
    """Whether an arm can answer; `message` says what is missing."""

    ready: bool
    message: str = ""


@dataclass(frozen=True)
class ArmOutcomes:
    """Outcomes of one metric in one window."""

    candidate: ArmSums
    baseline: ArmSums


Reading = Mapping[str, ArmOutcomes]
"""Outcomes of one window by metric."""


@dataclass(frozen=True)
class ExperimentInput:
    """Everything one decision needs; see the module."""

    obj: Object
    ledger: Object | None
    baseline: Readiness
    candidate: Readiness
    routed: Mapping[Ref, Object | None]
    parent_refs: tuple[ParentRef, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    variances: Mapping[str, float] = field(default_factory=dict)
    readings: Mapping[int, Reading] = field(default_factory=dict)
    source_problem: str | None = None
    missing: str | None = None
    name_conflict: str | None = None
    clock_ahead: float | None = None

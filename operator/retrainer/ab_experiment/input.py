"""What `observe` must supply for one decision about an experiment: a frozen snapshot, nothing live.

For `observe`:
- `obj` comes from the cache; the `ledger` is always a live GET (the cache trims its data, and an absence must
  be certain: a started experiment whose ledger is absent ends Inconclusive/LedgerLost).
- `route` is a live GET: of the policy's HTTPRoute with `policyRef`, else of the one `spec.traffic.httpRoute`
  names. `parent_refs` are the policy's `spec.serving.httpRoute.parentRefs`, else the experiment's own.
- An arm is ready when its Service exists, has the port, and an EndpointSlice of it has a ready address.
- `counting.due_windows(obj, ledger, now)` says which windows to read. For each, ask every metric's source for
  the outcomes with start ≤ time < end, per arm, with n the units with an outcome, Σy, Σy² and the units
  without. Put in `readings` only windows that could be read for *all* metrics; where one could not, say why in
  `source_problem` (a sentence of ours, never a driver's text) and stop there: windows are taken in order.
- `rates` matter only before the start: the planned rate of y per metric, from the FeedbackSource's status
  (positive ÷ total, or negative ÷ total); leave out what is unknown.
- `missing` names a reference that does not exist or does not fit, with the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Object
from retrainer.statistics.sums import ArmSums


@dataclass(frozen=True)
class Readiness:
    """Whether an arm's Service can answer; `message` says what is missing."""

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
    route: Object | None
    parent_refs: tuple[ParentRef, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    readings: Mapping[int, Reading] = field(default_factory=dict)
    source_problem: str | None = None
    missing: str | None = None
    name_conflict: str | None = None

"""InferenceService of KServe: only spec.predictor.canaryTrafficPercent is written; the object stays its user's.

KServe divides the traffic between the revision that last had all of it (latestRolledoutRevision, the baseline) and
the latest ready one (latestReadyRevision, the candidate). Promotion is, as KServe documents it, the removal of the
field; rollback is 0. Read in KServe 0.17 (pkg/apis/serving/v1beta1/inference_service_status.go, PropagateStatus):
- status.observedGeneration is that of the Knative Service, not ours: what is believed is the list of traffic.
- 0 written while the latest revision is also the one rolled out is a rollback to the revision *before* it. So
  nothing is written unless there are two revisions.
- without Knative (deploymentMode RawDeployment or Standard) the field is ignored: refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrainer.plan import Object, Ref
from retrainer.routing.carrier import NOTHING, Change, Subject
from retrainer.routing.state import Arm, RouteState, described, shares

API_VERSION = "serving.kserve.io/v1beta1"
_KNATIVE = ("Serverless", "Knative")
"""Deployment modes in which KServe divides traffic (the name changed in 0.16)."""


@dataclass(frozen=True)
class _Revisions:
    """The revisions behind the two arms, as KServe reports them; problems are sentences."""

    baseline: str | None
    candidate: str | None
    baseline_problem: str | None = None
    candidate_problem: str | None = None
    shared_problem: str | None = None

    @property
    def distinct(self) -> bool:
        return bool(self.baseline and self.candidate and self.baseline != self.candidate)


@dataclass(frozen=True)
class InferenceServiceCarrier:
    """The InferenceService of a user, whose latest revision is the candidate."""

    subject: Subject
    name: str
    owned: bool = False

    @property
    def ref(self) -> Ref:
        """The InferenceService."""
        return Ref(API_VERSION, "InferenceService", self.subject.namespace, self.name)

    def change(self, observed: Object | None, weight: int) -> Change:
        """Ask KServe for this weight, where there are two revisions and it was asked for another."""
        shares(weight)  # refuses what is no percentage
        if observed is None or not self._may_ask(observed, weight) or _asked(observed) == _field(weight):
            return NOTHING
        return Change(merges=((self.ref, self._patch(observed, weight)),))

    def observe(self, observed: Object | None) -> RouteState:
        """What KServe says of the traffic."""
        if observed is None:
            return RouteState(message=f"InferenceService {self.name} does not exist")
        revisions = self._revisions(observed)
        if revisions.shared_problem:
            return RouteState(refused=True, message=revisions.shared_problem)
        weights = _weights(observed, revisions)
        unready = _unready(observed)
        problem = revisions.baseline_problem or unready
        waits = f"InferenceService {self.name} was asked for another weight, and has not taken it up yet"
        settled = _field(weights.get("candidate", 0)) == _asked(observed) and bool(weights)
        return RouteState(
            weights=weights,
            accepted=settled,
            resolved=problem is None,
            message=problem or (f"KServe reports {described(weights)}" if settled else waits),
            revisions=_named(revisions),
        )

    def arm_problem(self, observed: Object | None, arm: Arm) -> str | None:
        """Why the arm's revision cannot answer."""
        if observed is None:
            return f"InferenceService {self.name} does not exist"
        revisions = self._revisions(observed)
        if revisions.shared_problem:
            return revisions.shared_problem
        return revisions.baseline_problem if arm == "baseline" else revisions.candidate_problem

    def _may_ask(self, observed: Object, weight: int) -> bool:
        revisions = self._revisions(observed)
        if revisions.shared_problem or not revisions.distinct:
            return False
        # What is promoted must be what was compared, not a revision that comes up behind it.
        return weight < 100 or revisions.candidate_problem is None

    def _patch(self, observed: Object, weight: int) -> Object:
        """Only for this very object; raising also only as long as it is as it was seen."""
        meta, asked = observed["metadata"], _asked(observed)
        condition = {"uid": meta["uid"]}
        if asked is not None and weight > asked:
            condition["resourceVersion"] = meta["resourceVersion"]
        return {"metadata": condition, "spec": {"predictor": {"canaryTrafficPercent": _field(weight)}}}

    def _revisions(self, observed: Object) -> _Revisions:
        status = observed.get("status") or {}
        mode = status.get("deploymentMode") or _KNATIVE[0]
        component = _component(observed)
        baseline, candidate = component.get("latestRolledoutRevision"), component.get("latestReadyRevision")
        shared = None
        if mode not in _KNATIVE:
            shared = (
                f"InferenceService {self.name} runs in mode {mode}, in which KServe does not divide traffic; "
                "deploy it with Knative, or put an HTTPRoute before two InferenceServices (traffic.httpRoute)"
            )
        return _Revisions(
            baseline,
            candidate,
            None if baseline else f"no revision of InferenceService {self.name} has had all traffic yet",
            self._candidate_problem(observed, component),
            shared,
        )

    def _candidate_problem(self, observed: Object, component: Mapping[str, Any]) -> str | None:
        ready, created = component.get("latestReadyRevision"), component.get("latestCreatedRevision")
        if ready is None or created not in (None, ready):
            return f"revision {created or 'of the candidate'} of InferenceService {self.name} is not ready"
        if ready == component.get("latestRolledoutRevision"):
            return (
                f"InferenceService {self.name} has one revision only, {ready}, with all traffic; give it the "
                "candidate's model and canaryTrafficPercent: 0 in one change"
            )
        return self._another_model(observed)

    def _another_model(self, observed: Object) -> str | None:
        wanted = self.subject.spec.candidate.model.uri
        predictor = (observed.get("spec") or {}).get("predictor") or {}
        served = (predictor.get("model") or {}).get("storageUri")
        if wanted is None or served is None or wanted == served:
            return None
        return f"InferenceService {self.name} serves {served}, but candidate.model.uri is {wanted}"


def _field(weight: int) -> int | None:
    """The value of canaryTrafficPercent for a weight: none at all is how KServe promotes."""
    return None if weight == 100 else weight


def _asked(observed: Object) -> int | None:
    """What it says now; 100 and nothing are the same to KServe."""
    value = ((observed.get("spec") or {}).get("predictor") or {}).get("canaryTrafficPercent")
    return None if value is None else _field(int(value))


def _component(observed: Object) -> Mapping[str, Any]:
    components = (observed.get("status") or {}).get("components") or {}
    return components.get("predictor") or {}


def _weights(observed: Object, revisions: _Revisions) -> dict[Arm, int]:
    """The arms' shares as reported; nothing where a third revision has any, or they do not add up."""
    given: dict[str, int] = {}
    for target in _component(observed).get("traffic") or ():
        name, percent = str(target.get("revisionName")), int(target.get("percent") or 0)
        given[name] = given.get(name, 0) + percent
    given = {name: percent for name, percent in given.items() if percent}
    if sum(given.values()) != 100 or not set(given) <= {revisions.baseline, revisions.candidate}:
        return {}
    if not revisions.distinct:
        # One revision has everything: the promoted candidate, or a baseline whose candidate has not come up.
        return {"candidate": 100} if _asked(observed) is None else {"baseline": 100}
    return {arm: given[name] for arm, name in _named(revisions).items() if name in given}


def _named(revisions: _Revisions) -> dict[Arm, str]:
    if not revisions.distinct:
        return {}
    assert revisions.baseline is not None and revisions.candidate is not None
    return {"baseline": revisions.baseline, "candidate": revisions.candidate}


def _unready(observed: Object) -> str | None:
    """What KServe says against the route to the predictor."""
    conditions = (observed.get("status") or {}).get("conditions") or ()
    route = next((c for c in conditions if c.get("type") == "PredictorRouteReady"), None)
    if route is None or route.get("status") == "True":
        return None
    return f"KServe: PredictorRouteReady is {route.get('status')} ({route.get('reason') or 'no reason given'})"

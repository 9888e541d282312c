"""The conditions of a policy: how it fares, in a few lines that `kubectl describe` shows."""

from __future__ import annotations

from datetime import datetime

from retrainer.api.v1alpha1.retrain_policy import PolicyReason, RetrainPolicyStatus, TriggerState
from retrainer.api.v1alpha1.schema import Condition
from retrainer.conditions import (
    Conditions,
    ConditionStatus,
    set_condition,
    set_reconciling,
    set_settled,
    set_stalled,
    timestamp,
)
from retrainer.plan import Object
from retrainer.retrain_policy import approval, budget, children, route, runs, start
from retrainer.retrain_policy.draft import Draft, Trouble
from retrainer.retrain_policy.serving import has_stopped_progressing
from retrainer.retrain_policy.triggers import evaluate as triggers

Verdict = tuple[ConditionStatus, str, str]
"""Status, reason and message of one condition."""


def summarised(draft: Draft) -> Draft:
    """Rule: the conditions say what this pass found."""
    conditions = _plain(draft.status)
    generation = draft.facts.policy["metadata"].get("generation")
    for kind, verdict in (
        ("Ready", _ready(draft)),
        ("Triggered", _triggered(draft)),
        ("Training", _training(draft)),
        ("Experimenting", _experimenting(draft)),
        ("AwaitingApproval", _awaiting_approval(draft)),
    ):
        conditions = set_condition(conditions, kind, *verdict, draft.now, generation)
    conditions = _progress(draft, conditions, generation)
    return draft.with_status(
        observed_generation=generation,
        conditions=tuple(Condition.model_validate(c) for c in conditions),
        triggered=_fired_names(draft),
    )


def stalled(policy: Object, before: RetrainPolicyStatus, trouble: Trouble, now: datetime) -> RetrainPolicyStatus:
    """The status as it was, with the one thing that a person must act on."""
    generation = policy["metadata"].get("generation")
    told = (trouble.reason, trouble.message, now, generation)
    conditions = set_stalled(set_condition(_plain(before), "Ready", "False", *told), *told)
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": tuple(Condition.model_validate(c) for c in conditions),
        }
    )


def _ready(draft: Draft) -> Verdict:
    if draft.troubles:
        return "False", draft.troubles[0].reason, _all_troubles(draft)
    champion = draft.record.champion
    if draft.spec.suspend:
        message = "spec.suspend is set: nothing new starts, traffic is left alone"
        return "True", PolicyReason.SUSPENDED, _with_notes(draft, message)
    if champion is None:
        return "True", PolicyReason.NO_CHAMPION, "no model yet: the first run that passes its gates becomes champion"
    if draft.serving is None:
        return "True", *_at_rest(draft, f"revision {champion.revision} is champion")
    unavailable = _unavailable(draft, champion.revision)
    if unavailable is not None:
        return "False", PolicyReason.SERVING_NOT_READY, unavailable
    complaint = route.complaint(draft)
    if complaint is not None:
        return "False", PolicyReason.ROUTE_NOT_READY, complaint
    return "True", *_at_rest(draft, f"revision {champion.revision} is champion and serves")


def _at_rest(draft: Draft, message: str) -> tuple[str, str]:
    """Reason and message of a policy that is ready."""
    pin = draft.spec.model.pin
    if pin is None:
        return PolicyReason.READY, _with_notes(draft, message)
    pinned = f"{message}; spec.model.pin holds revision {pin}: no run, no promotion"
    return PolicyReason.PINNED, _with_notes(draft, pinned)


def _unavailable(draft: Draft, revision: int) -> str | None:
    """Why the champion does not serve as it should. A rollout under way is no reason while old pods answer."""
    name = children.serving_name(draft.facts.name, revision)
    deployment = draft.input.deployments.get(name)
    if name not in draft.input.ready_services:
        return f"the Deployment of revision {revision} is not available yet"
    if deployment is not None and has_stopped_progressing(deployment):
        return f"Deployment {name} does not become available (ProgressDeadlineExceeded); older pods answer"
    return None


def _triggered(draft: Draft) -> Verdict:
    said = draft.status.triggers or ()
    names = ", ".join(triggers.fired(said))
    untrusted = start.untrusted_sources(draft)
    if untrusted is not None:
        return "Unknown", PolicyReason.DATA_UNTRUSTED, f"{untrusted}; nothing starts until it is"
    if not triggers.reason_to_run(draft.spec, said):
        return "False", PolicyReason.QUIET, _quiet_message(draft, names)
    if draft.spec.model.pin is not None:
        return "True", PolicyReason.PINNED, f"fired: {names}; nothing starts while spec.model.pin is set"
    wait_until = draft.status.next_run_time
    if wait_until is not None and draft.now < wait_until and draft.status.active_run is None:
        return _held_back(draft, names, wait_until)
    return "True", PolicyReason.FIRED, f"fired: {names}"


def _held_back(draft: Draft, names: str, until: datetime) -> Verdict:
    """By whichever lasts longer: the cooldown or the budget."""
    allowed = draft.spec.budget
    if allowed is None or runs.cooled_down(draft) == until:
        return "True", PolicyReason.COOLDOWN, f"fired: {names}; no new run before {timestamp(until)}"
    if draft.newcomer is not None:
        return "True", PolicyReason.FIRED, f"fired: {names}"  # it holds a run back more than the budget does
    started = len(budget.recent(draft.status.run_starts or (), draft.now))
    return (
        "True",
        PolicyReason.BUDGET_SPENT,
        f"fired: {names}; runs started in the last seven days: {started}, budget.runsPerWeek: "
        f"{allowed.runs_per_week}; no new run before {timestamp(until)}",
    )


def _quiet_message(draft: Draft, names: str) -> str:
    if names:
        return f"fired: {names}; triggerMode All waits for the others"
    said = draft.status.triggers or ()
    unknown = ", ".join(t.name for t in said if t.state is TriggerState.UNKNOWN)
    return f"no trigger has fired; not known: {unknown}" if unknown else "no trigger has fired"


def _training(draft: Draft) -> Verdict:
    if draft.status.active_run is not None:
        return "True", PolicyReason.RUNNING, f"run {draft.status.active_run} is under way"
    pending = draft.status.pending_run
    if pending is not None:
        return "True", PolicyReason.RUNNING, f"run {pending.name} is about to be created"
    last = draft.status.last_run
    return "False", PolicyReason.IDLE, f"last run {last.name}: {last.result}" if last else "no run yet"


def _experimenting(draft: Draft) -> Verdict:
    candidate = draft.candidate
    if draft.status.active_experiment is not None and candidate is not None:
        message = f"experiment {draft.status.active_experiment} is under way for revision {candidate.revision}"
        return "True", PolicyReason.RUNNING, message
    if candidate is not None:
        return "Unknown", PolicyReason.PREPARING, f"revision {candidate.revision} is being made ready"
    return "False", PolicyReason.IDLE, "no candidate"


def _awaiting_approval(draft: Draft) -> Verdict:
    awaiting = draft.record.awaiting
    if awaiting is None:
        return "False", PolicyReason.IDLE, "nothing awaits approval"
    return "True", PolicyReason.APPROVAL_NEEDED, approval.question(draft, awaiting)


def _progress(draft: Draft, conditions: Conditions, generation: int | None) -> Conditions:
    """kstatus: stalled, reconciling while children do not exist yet, or neither."""
    if draft.troubles:
        reason = draft.troubles[0].reason
        return set_stalled(conditions, reason, _all_troubles(draft), draft.now, generation)
    if draft.remains:
        message = f"waits until {', '.join(draft.remains)} of an earlier policy of this name is removed"
        return set_reconciling(conditions, PolicyReason.WAITING, message, draft.now, generation)
    missing = draft.creating or (draft.facts.first_pass and ("what this policy owns",)) or ()
    if missing:
        return set_reconciling(
            conditions, PolicyReason.CREATING, f"creating {', '.join(missing)}", draft.now, generation
        )
    return set_settled(conditions)


def _plain(status: RetrainPolicyStatus) -> Conditions:
    return [c.model_dump(mode="json", by_alias=True, exclude_none=True) for c in status.conditions]


def _fired_names(draft: Draft) -> str | None:
    return ",".join(triggers.fired(draft.status.triggers or ()))[:253] or None


def _with_notes(draft: Draft, message: str) -> str:
    return "; ".join((message, *draft.notes))


def _all_troubles(draft: Draft) -> str:
    return "; ".join(t.message for t in draft.troubles)

"""One decision about a policy: a chain of small rules, read top to bottom. Pure: no clock, no cluster.

A decision that must be remembered changes the record; it is written before the status, and whatever
follows from it (Deployments, route, experiments) waits for the next pass, which reads it. So a pass may be
interrupted after any single write, and repeated.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from pydantic import ValidationError

from retrainer.api.v1alpha1.retrain_policy import (
    PolicyReason,
    RetrainPolicySpec,
    RetrainPolicyStatus,
)
from retrainer.plan import Event, Object, Plan
from retrainer.requests import acknowledgement, refused_request
from retrainer.retrain_policy import approval, champion, pin, revisions, runs, wanted
from retrainer.retrain_policy.arms import arms_applied, arms_retired, template_frozen
from retrainer.retrain_policy.draft import Draft, Facts, Rule, Trouble
from retrainer.retrain_policy.events import transitions
from retrainer.retrain_policy.input import PolicyInput
from retrainer.retrain_policy.promotion import candidate_brought_up, experiment_concluded
from retrainer.retrain_policy.references import references_resolved
from retrainer.retrain_policy.revisions import Record
from retrainer.retrain_policy.rivals import route_unrivalled
from retrainer.retrain_policy.rollback import rollback_requested
from retrainer.retrain_policy.route import route_applied
from retrainer.retrain_policy.start import run_created, run_due, run_requested
from retrainer.retrain_policy.summary import stalled, summarised
from retrainer.retrain_policy.triggers import evaluate as triggers
from retrainer.retrain_policy.triggers import positive_rate, schedule, staleness
from retrainer.retrain_policy.triggers.result import InvalidTrigger

ACTIONS = ("run", "rollback", *approval.ACTIONS)
"""Requests that a policy understands."""


def decide(input: PolicyInput, now: datetime) -> Plan:
    """What to do about the policy now; `now` is aware."""
    now = now.replace(microsecond=0)
    if input.obj["metadata"].get("deletionTimestamp"):
        return Plan()  # garbage collection removes what it owns; the champion record stays
    before = RetrainPolicyStatus.model_validate(input.obj.get("status") or {})
    try:
        spec = RetrainPolicySpec.model_validate(input.obj["spec"])
    except ValidationError as error:
        # The CRD admits what this operator does not understand: an older operator, or a newer CRD.
        return _only_trouble(input, before, Trouble(PolicyReason.INVALID, _first_error(error)), now)
    if input.name_conflict is not None:
        return _only_trouble(input, before, Trouble(PolicyReason.NAME_CONFLICT, input.name_conflict), now)
    draft = _begin(Facts(input, now, spec, before))
    for rule in RULES:
        draft = rule(draft)
    return _plan(draft)


def initial_adopted(draft: Draft) -> Draft:
    """Rule: model.initial is revision 1 where there never was one."""
    if not draft.record_usable:
        return draft
    return draft.with_record(champion.with_initial(draft.record, draft.spec, draft.now))


def requests_acknowledged(draft: Draft) -> Draft:
    """Rule: a request that came with the policy is not executed; one that nobody understands is refused."""
    if draft.facts.first_pass:
        return draft.with_status(last_handled_request=acknowledgement(draft.facts.policy))
    refusal = refused_request(draft.facts.policy, ACTIONS)
    if refusal is None:
        return draft
    return draft.with_status(last_handled_request=acknowledgement(draft.facts.policy)).tell(
        Event("RequestRefused", refusal, "Warning")
    )


def triggers_evaluated(draft: Draft) -> Draft:
    """Rule: every trigger says what it sees; invalid ones are told elsewhere and say nothing."""
    readings = {r.wanted.trigger: r for r in draft.input.readings}
    try:
        said = triggers.evaluate(
            draft.spec,
            draft.status.triggers or (),
            draft.record.champion,
            readings,
            draft.facts.uid,
            draft.now,
        )
    except InvalidTrigger:
        return draft
    slots = [schedule.next_slot(t.schedule, draft.now) for t in draft.spec.triggers if t.schedule is not None]
    return draft.with_status(triggers=said, next_schedule_time=min(slots, default=None))


def cooldown_known(draft: Draft) -> Draft:
    """Rule: when the next run may start follows from earlier ones and the spec as it is now."""
    moments = (runs.cooled_down(draft), runs.affordable(draft))
    return draft.with_status(next_run_time=max((m for m in moments if m is not None), default=None))


def history_trimmed(draft: Draft) -> Draft:
    """Rule: the history keeps to its limit."""
    if not draft.record_usable:
        return draft
    return draft.with_record(revisions.trimmed(draft.record, draft.spec.revision_history_limit, draft.spec.model.pin))


def mirrored(draft: Draft) -> Draft:
    """Rule: the status shows what the record holds; numbers only grow."""
    record = draft.record
    if not draft.record_usable:
        return draft
    highest = max((r.revision for r in record.revisions), default=0)
    number = max(draft.status.next_revision or record.next_revision, highest + 1)
    in_service = record.find(record.champion.revision) if record.champion else None
    return draft.with_status(
        champion=record.champion,
        revisions=record.revisions or None,
        next_revision=number,
        serving_template_hash=record.template.hash if record.template else None,
        incremental_chain=in_service.incremental_chain if in_service else None,
    )


def next_look_chosen(draft: Draft) -> Draft:
    """Rule: look again when time alone can change something."""
    if draft.record_changed:
        draft = draft.look_in(0)
    for trigger in draft.spec.triggers:
        if trigger.schedule is not None and draft.status.next_schedule_time is not None:
            draft = draft.look_at(draft.status.next_schedule_time)
        if trigger.staleness is not None and draft.record.champion is not None:
            draft = draft.look_at(staleness.due(trigger.staleness, draft.record.champion))
        if trigger.positive_rate is not None and draft.record.champion is not None:
            draft = _look_for_votes(draft, trigger.name, draft.record.champion.revision)
    return draft


RULES: tuple[Rule, ...] = (
    initial_adopted,
    references_resolved,
    route_unrivalled,
    requests_acknowledged,
    rollback_requested,
    pin.pin_held,
    approval.approval_decided,
    experiment_concluded,
    runs.run_followed,
    run_created,
    candidate_brought_up,
    triggers_evaluated,
    cooldown_known,
    run_requested,
    run_due,
    template_frozen,
    history_trimmed,
    arms_applied,
    route_applied,
    arms_retired,
    mirrored,
    summarised,
    next_look_chosen,
)
"""In this order. What ends something comes before what starts something; traffic comes last."""


def _begin(facts: Facts) -> Draft:
    """The draft with the record as it lies in the cluster, or as it would have to be written."""
    config_map = facts.input.champion
    draft = Draft(facts, facts.before, Record(), stored=None)
    if config_map is None:
        return draft.with_record(champion.first_record(facts.spec, facts.before, facts.now))
    try:
        record = champion.read(config_map, facts.name)
    except champion.RecordUnusable as error:
        # Traffic still follows what the status remembers; nothing new is decided.
        shown = Record(facts.before.champion, facts.before.revisions or (), facts.before.next_revision or 1)
        draft = replace(draft, record=shown, stored=shown, record_usable=False)
        return draft.trouble(PolicyReason.NAME_CONFLICT, str(error)).look_in(30)
    return replace(draft, record=record, stored=record)


def _look_for_votes(draft: Draft, trigger: str, revision: int) -> Draft:
    """Just after the next day is whole; at once while earlier days wait to be read, and this pass got nearer."""
    through = _counted_through(draft.status, trigger, revision)
    whole = (draft.now - wanted.DAY_SETTLES).date()
    # An answer that counted nothing (an error, another trigger that is invalid) is the same at once again.
    advanced = through != _counted_through(draft.facts.before, trigger, revision)
    if advanced and through is not None and (whole - through).days > 1:
        return draft.look_in(0)
    midnight = datetime.combine(whole + timedelta(days=1), datetime.min.time(), draft.now.tzinfo)
    return draft.look_at(midnight + wanted.DAY_SETTLES)


def _counted_through(status: RetrainPolicyStatus, trigger: str, revision: int) -> date | None:
    said = next((t for t in status.triggers or () if t.name == trigger), None)
    return positive_rate.recall(said.memory if said else None, revision).through


def _plan(draft: Draft) -> Plan:
    status = _dump(draft.status)
    creates = draft.creates
    replaces: tuple[Object, ...] = ()
    if draft.record_changed:
        config_map = champion.write(draft.record, draft.facts.policy, draft.input.champion)
        if draft.input.champion is None:
            creates = (config_map, *creates)
        else:
            replaces = (config_map,)
    return Plan(
        status=status if status != draft.facts.policy.get("status") else None,
        creates=creates,
        applies=draft.applies,
        replaces=replaces,
        merges=draft.merges,
        deletes=draft.deletes,
        events=(*draft.events, *transitions(draft.facts.before, draft.status)),
        requeue_after=draft.look,
    )


def _only_trouble(input: PolicyInput, before: RetrainPolicyStatus, trouble: Trouble, now: datetime) -> Plan:
    """Nothing is done; a person is told."""
    after = stalled(input.obj, before, trouble, now)
    status = _dump(after)
    return Plan(
        status=status if status != input.obj.get("status") else None, events=transitions(before, after)
    )


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in ('spec', *first['loc']))}: {first['msg']}"


def _dump(status: RetrainPolicyStatus) -> Object:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)

"""All triggers of a policy: what each says, what is latched, what has fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from retrainer.api.v1alpha1.retrain_policy import (
    ChampionStatus,
    RetrainPolicySpec,
    Trigger,
    TriggerState,
    TriggerStatus,
)
from retrainer.conditions import truncate
from retrainer.retrain_policy.input import Reading
from retrainer.retrain_policy.triggers import new_samples, positive_rate, schedule, staleness
from retrainer.retrain_policy.triggers.result import Answer, Question


def evaluate(
    spec: RetrainPolicySpec,
    previous: Iterable[TriggerStatus],
    champion: ChampionStatus | None,
    readings: Mapping[str, Reading],
    policy_uid: str,
    now: datetime,
) -> tuple[TriggerStatus, ...]:
    """What every trigger says, in the spec's order. Raises InvalidTrigger for settings that cannot be used."""
    before = {t.name: t for t in previous}
    return tuple(
        _status(
            trigger,
            _ask(trigger, Question(now, champion, policy_uid, before.get(trigger.name), readings.get(trigger.name))),
            before.get(trigger.name),
            latching=spec.trigger_mode == "All",
            now=now,
        )
        for trigger in spec.triggers
    )


def fired(triggers: Iterable[TriggerStatus]) -> tuple[str, ...]:
    """The names of those that have fired, or had since the last run (latched)."""
    return tuple(t.name for t in triggers if t.state is TriggerState.FIRED or t.latched)


def reason_to_run(spec: RetrainPolicySpec, triggers: Iterable[TriggerStatus]) -> bool:
    """Whether enough of them have fired: one (Any) or each (All)."""
    names = fired(triggers)
    return len(names) == len(spec.triggers) if spec.trigger_mode == "All" else bool(names)


def after_start(triggers: Iterable[TriggerStatus], spec: RetrainPolicySpec, now: datetime) -> tuple[TriggerStatus, ...]:
    """A run has started: nothing is latched any more, and the schedule's slots up to now are done with."""
    scheduled = {t.name for t in spec.triggers if t.schedule is not None}
    return tuple(
        t.model_copy(
            update={
                "latched": None,
                "memory": schedule.consume(t.memory, now) if t.name in scheduled else t.memory,
            }
        )
        for t in triggers
    )


def _ask(trigger: Trigger, question: Question) -> Answer:
    if trigger.new_samples is not None:
        return new_samples.evaluate(trigger.new_samples, question)
    if trigger.staleness is not None:
        return staleness.evaluate(trigger.staleness, question)
    if trigger.schedule is not None:
        schedule.validate(trigger.name, trigger.schedule)
        return schedule.evaluate(trigger.schedule, question)
    assert trigger.positive_rate is not None, "the API server admits exactly one"
    return positive_rate.evaluate(trigger.positive_rate, question)


def _status(
    trigger: Trigger, answer: Answer, before: TriggerStatus | None, *, latching: bool, now: datetime
) -> TriggerStatus:
    has_fired = answer.state is TriggerState.FIRED
    newly = has_fired and (before is None or before.state is not TriggerState.FIRED)
    latched = latching and (has_fired or (before is not None and bool(before.latched)))
    return TriggerStatus(
        name=trigger.name,
        state=answer.state,
        observed=answer.observed,
        threshold=answer.threshold,
        message=truncate(answer.message, 512),
        last_fired_time=now if newly else (before.last_fired_time if before else None),
        latched=latched or None,
        memory=answer.memory,
    )

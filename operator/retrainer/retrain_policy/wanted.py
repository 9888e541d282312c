"""What `observe` must look up for a policy: names, sources, readings (pure, from the object alone)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from pydantic import ValidationError

from retrainer.api.v1alpha1.kind import API_VERSION
from retrainer.api.v1alpha1.retrain_policy import (
    ChampionStatus,
    RetrainPolicySpec,
    RetrainPolicyStatus,
    RevisionState,
    Trigger,
)
from retrainer.feedback.polarity import has_polarity
from retrainer.plan import Object, Ref
from retrainer.requests import pending_request
from retrainer.retrain_policy import children
from retrainer.retrain_policy.draft import ON_THE_WAY, under_way
from retrainer.retrain_policy.input import CountWanted, UnitDaysWanted, Wanted
from retrainer.retrain_policy.triggers import positive_rate
from retrainer.routing import httproute

DAYS_AT_ONCE = 31
"""A long history is read in pieces, so that one read stays small."""
DAY_SETTLES = timedelta(minutes=5)
"""A UTC day counts as whole this long after its end: records arrive late."""


def wanted_names(policy: Object) -> tuple[Ref, ...]:
    """Children whose presence or absence decides something: read live before they are called absent."""
    meta = policy["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    status = _status(policy)
    refs: list[Ref] = []
    runs = {r for r in (status.active_run, status.pending_run and status.pending_run.name) if r}
    refs += [Ref(API_VERSION, "TrainingRun", namespace, run) for run in sorted(runs)]
    experiments = {status.active_experiment} if status.active_experiment else set()
    experiments |= {children.experiment_name(name, r) for r in _numbers(status, *ON_THE_WAY)}
    refs += [Ref(API_VERSION, "ABExperiment", namespace, e) for e in sorted(experiments)]
    if policy["spec"].get("serving"):
        for number in sorted(_in_service(policy, status)):
            serving = children.serving_name(name, number)
            refs.append(Ref("apps/v1", "Deployment", namespace, serving))
            refs.append(Ref("v1", "Service", namespace, serving))
    # Last: a route whose serving was removed must still be found.
    refs.append(Ref(httproute.API_VERSION, httproute.KIND, namespace, name))
    return tuple(refs)


def source_names(policy: Object) -> tuple[str, ...]:
    """The FeedbackSources that anything in the spec refers to, in their order."""
    spec = policy["spec"]
    references = [*spec.get("sourceRefs", ()), *spec["training"]["data"].get("sourceRefs", ())]
    experiment = spec["promotion"].get("experiment") or {}
    for metric in experiment.get("metrics", ()):
        references.append((metric["source"].get("feedback") or {}).get("sourceRef") or {})
    return tuple(dict.fromkeys(r["name"] for r in references if r.get("name")))


def wanted_readings(policy: Object, sources: Mapping[str, Object], now: datetime) -> tuple[Wanted, ...]:
    """What the triggers need to know; nothing while something is under way or nothing could start.

    `sources` are the FeedbackSources that exist, by name. An invalid spec wants nothing.
    """
    status = _status(policy)
    try:
        spec = RetrainPolicySpec.model_validate(policy["spec"])
    except ValidationError:
        return ()
    if spec.suspend or status.observed_generation is None or under_way(status):
        return ()
    names = tuple(r.name for r in spec.source_refs if r.name in sources)
    wanted = (_wanted(trigger, status, names, sources, now) for trigger in spec.triggers)
    return tuple(w for w in wanted if w is not None)


def signal_sources(signal: str, names: tuple[str, ...], sources: Mapping[str, Object]) -> tuple[str, ...]:
    """Those of the sources that have a signal of this name with polarity."""
    return tuple(
        name
        for name in names
        if any(s["name"] == signal and has_polarity(s) for s in sources[name]["spec"].get("signals", ()))
    )


def _wanted(
    trigger: Trigger,
    status: RetrainPolicyStatus,
    names: tuple[str, ...],
    sources: Mapping[str, Object],
    now: datetime,
) -> Wanted | None:
    champion = status.champion
    if trigger.new_samples is not None and names:
        return CountWanted(
            trigger=trigger.name,
            sources=names,
            value=trigger.new_samples.value or "Any",
            since=snapshot_end(champion),
            revision=champion.revision if champion else None,
        )
    if trigger.positive_rate is not None and champion is not None:
        readable = signal_sources(trigger.positive_rate.signal, names, sources)
        return _unit_days(trigger, champion, status, readable, sources, now) if readable else None
    return None


def _unit_days(
    trigger: Trigger,
    champion: ChampionStatus,
    status: RetrainPolicyStatus,
    names: tuple[str, ...],
    sources: Mapping[str, Object],
    now: datetime,
) -> UnitDaysWanted | None:
    assert trigger.positive_rate is not None
    previous = next((t for t in status.triggers or () if t.name == trigger.name), None)
    memory = positive_rate.recall(previous.memory if previous else None, champion.revision)
    first = _first_day(names, sources) if memory.through is None else memory.through + timedelta(days=1)
    today = (now - DAY_SETTLES).astimezone(UTC).date()
    if first is None or first >= today:
        return None
    digest = champion.digest
    return UnitDaysWanted(
        trigger=trigger.name,
        sources=names,
        signal=trigger.positive_rate.signal,
        models=(str(champion.revision), digest, digest.removeprefix("sha256:")),
        first=first,
        before=min(today, first + timedelta(days=DAYS_AT_ONCE)),
        revision=champion.revision,
    )


def snapshot_end(champion: ChampionStatus | None) -> datetime | None:
    """Records later than this are new to the champion."""
    if champion is None or champion.snapshot is None:
        return None
    return champion.snapshot.window_end or champion.snapshot.trained_through


def _first_day(names: tuple[str, ...], sources: Mapping[str, Object]) -> date | None:
    """The day of the earliest record that the sources report."""
    summaries = ((sources[name].get("status") or {}).get("summary") or {} for name in names)
    times = [str(s["firstTime"]) for s in summaries if s.get("firstTime")]
    return min((datetime.fromisoformat(t).astimezone(UTC).date() for t in times), default=None)


def _status(policy: Object) -> RetrainPolicyStatus:
    return RetrainPolicyStatus.model_validate(policy.get("status") or {})


def _numbers(status: RetrainPolicyStatus, *states: RevisionState) -> set[int]:
    return {r.revision for r in status.revisions or () if r.state in states}


def _in_service(policy: Object, status: RetrainPolicyStatus) -> set[int]:
    """Champion, candidate, one that awaits approval, and where a rollback or a pin wants to go."""
    numbers = _numbers(status, *ON_THE_WAY)
    if status.champion is not None:
        numbers.add(status.champion.revision)
    pin = (policy["spec"].get("model") or {}).get("pin")
    if isinstance(pin, int):
        numbers.add(pin)
    request = pending_request(policy, ("rollback",))
    if request is not None and request.argument and request.argument.isdecimal():
        numbers.add(int(request.argument))
    return numbers

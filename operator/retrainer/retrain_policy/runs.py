"""The training runs of a policy: what one is made of, and what follows from how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from retrainer.api.v1alpha1.kind import API_VERSION
from retrainer.api.v1alpha1.retrain_policy import (
    ChampionStatus,
    LastRun,
    NamedValue,
    PendingRun,
    PolicyReason,
    Revision,
    RevisionState,
    SnapshotFacts,
)
from retrainer.api.v1alpha1.training_parts import Strategy
from retrainer.api.v1alpha1.training_run import TRAINING_RUN, RunReason, TrainingRunStatus
from retrainer.conditions import get_condition, timestamp
from retrainer.plan import Object
from retrainer.retrain_policy import budget, children, revisions
from retrainer.retrain_policy.draft import Draft
from retrainer.retrain_policy.revisions import Record

DELETED = "Deleted"
"""lastRun.result of a run that was deleted while it was under way."""
_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(days=1)
_NOT_A_FAILURE = (RunReason.COMPLETED, RunReason.GATES_FAILED)
_NO_VERDICT = (RunReason.CANCELLED, DELETED)


def build_run(
    policy: Object,
    pending: PendingRun,
    champion: ChampionStatus | None,
    now: datetime,
    default_image: str | None,
) -> Object:
    """The run, written down completely; its window ends now and never moves again."""
    training = policy["spec"]["training"]
    data = {k: v for k, v in training["data"].items() if k != "windowDays"}
    days = int(training["data"].get("windowDays", 90))
    data["window"] = {"from": timestamp(now - timedelta(days=days)), "to": timestamp(now)}
    job = dict(training.get("job") or {})
    if "image" not in job and default_image:
        job["image"] = default_image
    spec: Object = {
        "model": policy["spec"]["model"]["name"],
        "strategy": str(pending.strategy),
        "data": data,
        "method": training["method"],
        "job": job,
        "output": training["output"],
    }
    if training.get("gates"):
        spec["gates"] = training["gates"]
    if champion is not None:
        spec["champion"] = _champion_block(champion)
    return {
        "apiVersion": API_VERSION,
        "kind": TRAINING_RUN.kind,
        "metadata": children.metadata(
            policy, pending.name, {children.REVISION_LABEL: str(pending.revision)}
        ),
        "spec": spec,
    }


def not_before(last: LastRun | None, failures: int, cooldown_seconds: int) -> datetime | None:
    """When the next run may start: cooldown from the end of the last, or a back-off that doubles.

    The back-off guards against failing in a hot loop: a minute, doubled by each failure, at most a day.
    """
    if last is None:
        return None
    wait = timedelta(seconds=cooldown_seconds)
    if failures > 0:
        wait = max(wait, min(_FIRST_WAIT * 2 ** min(failures - 1, 20), _LONGEST_WAIT))
    return last.time + wait


def cooled_down(draft: Draft) -> datetime | None:
    """When cooldown or back-off after the last run are over."""
    failures = draft.status.consecutive_failures or 0
    return not_before(draft.status.last_run, failures, draft.spec.cooldown_seconds)


def affordable(draft: Draft) -> datetime | None:
    """When the budget has room for a run again; None where it has now, or where there is none."""
    if draft.spec.budget is None:
        return None
    return budget.free_at(draft.status.run_starts or (), draft.spec.budget.runs_per_week, draft.now)


def run_followed(draft: Draft) -> Draft:
    """Rule: a run under way is followed until it ends; its result is recorded before it is forgotten."""
    name = draft.status.active_run or _forgotten_run(draft)
    if name is None:
        return draft
    run = draft.input.runs.get(name)
    if not children.is_ours(run, draft.facts.policy):
        return _ended(draft, name, DELETED, draft.now)
    assert run is not None
    succeeded = get_condition((run.get("status") or {}).get("conditions"), "Succeeded")
    if succeeded is None or succeeded.get("status") == "Unknown":
        return draft.with_status(active_run=name)
    if draft.newcomer is not None and draft.newcomer.training_run != name:
        return draft.with_status(active_run=name).note(f"run {name} waits for the candidate before it")
    result = _Result.of(run, succeeded)
    recorded = _recorded(draft.record, run, result, draft.now)
    return _ended(draft.with_record(recorded), name, result.reason, result.time)


@dataclass(frozen=True)
class _Result:
    """How a run ended."""

    reason: str
    time: datetime
    status: TrainingRunStatus

    @classmethod
    def of(cls, run: Object, succeeded: Mapping[str, Any]) -> _Result:
        status = TrainingRunStatus.model_validate(run["status"])
        reason = str(succeeded.get("reason") or RunReason.FAILED)
        if reason == RunReason.COMPLETED and status.artifact is None:
            reason = RunReason.RESULT_LOST.value
        since = datetime.fromisoformat(str(succeeded["lastTransitionTime"]))
        return cls(reason, status.completion_time or since, status)


def _recorded(record: Record, run: Object, result: _Result, now: datetime) -> Record:
    """The record with the revision that the run brought, if it brought an artifact."""
    number = children.revision_of(run)
    status, artifact = result.status, result.status.artifact
    if number is None or artifact is None or result.reason not in _NOT_A_FAILURE:
        return record
    state, reason = RevisionState.CANDIDATE, None
    if result.reason == RunReason.GATES_FAILED:
        state, reason = RevisionState.REJECTED, PolicyReason.GATES_FAILED.value
    elif _compared_with(run) != (record.champion.digest if record.champion else None):
        state, reason = RevisionState.REJECTED, PolicyReason.CHAMPION_CHANGED.value
    revision = Revision(
        revision=number,
        uri=artifact.uri,
        digest=artifact.digest,
        training_run=run["metadata"]["name"],
        state=state,
        time=now,
        reason=reason,
        incremental_chain=_chain(record, run),
        snapshot=_snapshot(run, status),
        metrics=tuple(NamedValue(name=m.name, value=m.candidate) for m in status.metrics or ()) or None,
    )
    return revisions.added(record, revision)


def _ended(draft: Draft, name: str, result: str, time: datetime) -> Draft:
    failures = draft.status.consecutive_failures or 0
    if result in _NOT_A_FAILURE:
        failures = 0
    elif result not in _NO_VERDICT:
        failures += 1
    return draft.with_status(
        active_run=None,
        last_run=LastRun(name=name, result=result, time=time),
        consecutive_failures=failures or None,
    )


def _forgotten_run(draft: Draft) -> str | None:
    """A run of ours that the status does not know: it was emptied, or a person asked a run that failed to retry."""
    if draft.status.pending_run is not None:
        return None
    known = {r.training_run for r in draft.record.revisions}
    ours = (
        run
        for name, run in sorted(draft.input.runs.items())
        if name not in known and children.is_ours(run, draft.facts.policy)
    )
    return next((str(r["metadata"]["name"]) for r in ours if not _has_ended(r) or _awaits_its_end(draft, r)), None)


def _awaits_its_end(draft: Draft, run: Object) -> bool:
    """Whether it is the latest run, and nobody has looked at its result yet."""
    number = children.revision_of(run)
    if number is None or draft.status.last_run is not None:
        return False
    experiment = children.experiment_name(draft.facts.name, number)
    return number == draft.record.next_revision - 1 and experiment not in draft.input.experiments


def _has_ended(run: Object) -> bool:
    condition = get_condition((run.get("status") or {}).get("conditions"), "Succeeded")
    return condition is not None and condition.get("status") in ("True", "False")


def _compared_with(run: Object) -> str | None:
    digest = (run["spec"].get("champion") or {}).get("digest")
    return str(digest) if digest else None


def _chain(record: Record, run: Object) -> int:
    """Incremental runs in a row, this one included."""
    if run["spec"].get("strategy") != Strategy.INCREMENTAL:
        return 0
    champion = record.find(record.champion.revision) if record.champion else None
    return 1 + ((champion.incremental_chain if champion else None) or 0)


def _snapshot(run: Object, status: TrainingRunStatus) -> SnapshotFacts | None:
    dataset = status.dataset
    if dataset is None:
        return None
    window = run["spec"]["data"].get("window") or {}
    return SnapshotFacts(
        uri=dataset.uri,
        digest=dataset.digest,
        trained_through=dataset.trained_through,
        window_end=datetime.fromisoformat(window["to"]) if "to" in window else None,
        records=dataset.rows,
    )


def _champion_block(champion: ChampionStatus) -> Object:
    block: Object = {"uri": champion.uri, "digest": champion.digest}
    snapshot = champion.snapshot
    if snapshot is not None and snapshot.trained_through is not None:
        block["trainedThrough"] = timestamp(snapshot.trained_through)
    if snapshot is not None and snapshot.uri is not None and snapshot.digest is not None:
        block["snapshot"] = {"uri": snapshot.uri, "digest": snapshot.digest}
    return block

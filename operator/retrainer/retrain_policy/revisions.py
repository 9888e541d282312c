"""The champion and the numbered versions of its model: what may become of a revision (pure)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, PolicyReason, Revision, RevisionState
from retrainer.plan import Object

_WAS_CHAMPION = (RevisionState.RETIRED, RevisionState.ROLLED_BACK)


@dataclass(frozen=True)
class Template:
    """The frozen copy of the PodTemplate; both arms of an experiment run from it."""

    hash: str
    pod: Object
    """`metadata` and `spec` of the pods."""
    port: int


@dataclass(frozen=True)
class Record:
    """What must outlive the policy: champion, revisions (latest first), the next number, the template."""

    champion: ChampionStatus | None = None
    revisions: tuple[Revision, ...] = ()
    next_revision: int = 1
    template: Template | None = None

    def find(self, number: int) -> Revision | None:
        """The revision of that number."""
        return next((r for r in self.revisions if r.revision == number), None)

    @property
    def candidate(self) -> Revision | None:
        """The revision that is made ready for an experiment, or is in one."""
        return next((r for r in self.revisions if r.state is RevisionState.CANDIDATE), None)

    @property
    def awaiting(self) -> Revision | None:
        """The revision that won and waits for a person."""
        return next((r for r in self.revisions if r.state is RevisionState.AWAITING_APPROVAL), None)

    @property
    def newcomer(self) -> Revision | None:
        """The revision that is on its way to become champion, in whichever of these states."""
        return self.candidate or self.awaiting


def added(record: Record, revision: Revision) -> Record:
    """With a new revision; one of that number that is there already is kept (a repeated pass)."""
    if record.find(revision.revision) is not None:
        return record
    revisions = sorted((*record.revisions, revision), key=lambda r: -r.revision)
    return replace(
        record,
        revisions=tuple(revisions),
        next_revision=max(record.next_revision, revision.revision + 1),
    )


def rejected(record: Record, number: int, reason: str, now: datetime) -> Record:
    """The candidate never becomes champion."""
    return _moved(record, number, RevisionState.REJECTED, reason, now)


def awaiting(record: Record, number: int, reason: str, now: datetime) -> Record:
    """The candidate won and waits for a person; the champion stays."""
    return _moved(record, number, RevisionState.AWAITING_APPROVAL, reason, now)


def promoted(record: Record, number: int, reason: str, now: datetime) -> Record:
    """The revision becomes champion; the one before it is retired. Raises KeyError for an unknown number."""
    return _crowned(record, number, reason, (RevisionState.RETIRED, PolicyReason.SUPERSEDED), now)


def returned(record: Record, number: int, reason: str, now: datetime) -> Record:
    """An earlier champion returns; the present one is marked as rolled back. Both for this reason."""
    return _crowned(record, number, str(reason), (RevisionState.ROLLED_BACK, str(reason)), now)


def trimmed(record: Record, limit: int, pin: int | None = None) -> Record:
    """At most `limit` revisions: Rejected go first, then former champions, the oldest of each first.

    The champion, its predecessor, a candidate, one that awaits approval and the one that is pinned always stay.
    """
    surplus = len(record.revisions) - limit
    if surplus <= 0:
        return record
    former = [r for r in record.revisions if r.state in _WAS_CHAMPION and r.revision != pin]
    predecessor = max(former, key=lambda r: (r.time, r.revision), default=None)
    expendable = sorted(
        (r for r in record.revisions if r.state is RevisionState.REJECTED), key=lambda r: r.revision
    ) + sorted((r for r in former if r is not predecessor), key=lambda r: r.revision)
    leaving = {r.revision for r in expendable[:surplus]}
    return replace(record, revisions=tuple(r for r in record.revisions if r.revision not in leaving))


def may_return(revision: Revision) -> bool:
    """Whether a rollback may lead to it: only a model that was in service once."""
    return revision.state in _WAS_CHAMPION


def _crowned(
    record: Record, number: int, reason: str, leaving: tuple[RevisionState, str], now: datetime
) -> Record:
    found = record.find(number)
    if found is None:
        raise KeyError(f"revision {number} is not in the record")
    if record.champion is not None and record.champion.revision != number:
        record = _moved(record, record.champion.revision, leaving[0], leaving[1], now)
    record = _moved(record, number, RevisionState.CHAMPION, reason, now)
    champion = ChampionStatus(
        revision=number,
        uri=found.uri,
        digest=found.digest,
        training_run=found.training_run,
        promoted_time=now,
        snapshot=found.snapshot,
        metrics=found.metrics,
    )
    return replace(record, champion=champion)


def _moved(record: Record, number: int, state: RevisionState, reason: str, now: datetime) -> Record:
    change = {"state": state, "reason": reason, "time": now}
    return replace(
        record,
        revisions=tuple(r.model_copy(update=change) if r.revision == number else r for r in record.revisions),
    )

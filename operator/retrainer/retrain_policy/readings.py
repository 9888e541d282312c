"""What a policy's triggers want to know, asked of the sources' connectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from retrainer.feedback.connectors.protocol import Connector, CountQuery, UnitDayQuery
from retrainer.feedback.connectors.protocol import UnitDay as UnitDayRow
from retrainer.feedback_source.readings import Question, Readings
from retrainer.kube.cache import Key
from retrainer.plan import Object
from retrainer.retrain_policy.input import (
    CountRead,
    CountWanted,
    ReadFailed,
    Reading,
    UnitDay,
    UnitDaysRead,
    Wanted,
)

POLICY = "retrainpolicy"
_FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PolicyReadings:
    """Asks; answers come at once or not yet (`Readings`)."""

    readings: Readings

    def answers(self, policy: Key, wanted: tuple[Wanted, ...], sources: Mapping[str, Object]) -> tuple[Reading, ...]:
        """The answers that are complete over all their sources; what is not read yet is left out."""
        found = (self._answer(policy, want, sources) for want in wanted)
        return tuple(answer for answer in found if answer is not None)

    def _answer(self, policy: Key, want: Wanted, sources: Mapping[str, Object]) -> Reading | None:
        values = []
        for name in want.sources:
            source = sources[name]
            interval = float(source["spec"].get("syncIntervalSeconds") or 300)
            question = _question(policy[1], want, source)
            reading = self.readings.get((policy[0], name), question, (POLICY, policy), interval)
            if reading.error is not None:
                return ReadFailed(want, f"source {name}: {reading.error.message}")
            if reading.pending:
                return None
            values.append(reading.value)
        if isinstance(want, CountWanted):
            return CountRead(want, sum(values))
        return UnitDaysRead(want, _merged(values))


def _question(policy: str, want: Wanted, source: Object) -> Question:
    """Another mapping of the source is another question: no run may start on what the old one counted."""
    meta = source["metadata"]
    name = (policy, want, meta.get("uid"), meta.get("generation"))
    if isinstance(want, CountWanted):
        counting = CountQuery(until=_FAR_FUTURE, since=want.since, value=want.value)
        return Question(name, partial(_count, counting))
    days = UnitDayQuery(
        signal=want.signal,
        after_date=(want.first - timedelta(days=1)).isoformat(),
        until_date=want.before.isoformat(),
        models=want.models,
    )
    return Question(name, partial(_unit_days, days))


def _count(query: CountQuery, connector: Connector) -> int:
    return connector.count(query)


def _unit_days(query: UnitDayQuery, connector: Connector) -> list[UnitDayRow]:
    return connector.unit_days(query)


def _merged(answers: list[list[UnitDayRow]]) -> tuple[UnitDay, ...]:
    """One row per day and unit: a person who votes in two sources is still one person."""
    votes: dict[tuple[str, str], int] = defaultdict(int)
    positive: dict[tuple[str, str], float] = defaultdict(float)
    for answer in answers:
        for day, unit, mean, number in answer:
            votes[day, unit] += number
            positive[day, unit] += mean * number
    return tuple(
        UnitDay(datetime.fromisoformat(day).date(), unit, positive[day, unit] / number, number)
        for (day, unit), number in sorted(votes.items())
    )



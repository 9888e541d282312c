"""positiveRate: a sequential test (e-CUSUM) of whether people like the champion's answers less than wanted.

For each rate λ: M ← max(1, M)·(1 + λ(p₀ − y)), with p₀ the wanted rate and y the mean vote of one unit on
one UTC day; alarm when the mean of M reaches 20,000. 1 + λ(p₀ − y) is a bet of a test martingale against
"the mean of y is at least p₀" (Waudby-Smith & Ramdas, arXiv 2010.09686, section 4), restarted at 1 (Shin,
Ramdas & Rinaldo, "E-detectors", arXiv 2203.03532). One y per unit and day, whole days only, in an order
within the day that nobody can choose: votes of one person are not independent, and days have a rhythm.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from retrainer.api.v1alpha1.retrain_policy import PositiveRate, TriggerState
from retrainer.retrain_policy.input import ReadFailed, UnitDay, UnitDaysRead
from retrainer.retrain_policy.triggers.result import Answer, Question

RATES = (0.2, 0.4, 0.8, 1.6, 3.2)
ALARM = 20_000.0
_CEILING = 1e9
"""M is kept below this: an alarm is long since certain, and must be able to end when the rate recovers."""
_DEFAULT_MINIMUM = 100


@dataclass(frozen=True)
class Memory:
    """State of the test between looks; about one champion."""

    revision: int
    values: tuple[float, ...] = (1.0,) * len(RATES)
    """M for each rate."""
    through: date | None = None
    """The last day that is counted."""
    votes: int = 0
    unit_days: int = 0
    total: float = 0.0
    """Sum of y."""


def evaluate(settings: PositiveRate, question: Question) -> Answer:
    """Fired on an alarm; Quiet below target without evidence, with the interval of the point estimate."""
    if question.champion is None:
        return Answer(
            TriggerState.INSUFFICIENT_DATA, "there is no champion that people could vote on", None, settings.below
        )
    previous = question.previous.memory if question.previous else None
    memory = recall(previous, question.champion.revision)
    reading = question.reading
    if isinstance(reading, ReadFailed):
        message = f"votes cannot be read: {reading.reason}"
        return Answer(TriggerState.UNKNOWN, message, None, settings.below, keep(memory))
    if isinstance(reading, UnitDaysRead) and _fits(reading, memory):
        memory = learn(memory, reading, float(settings.below), question.policy_uid)
    return _judge(settings, memory)


def learn(memory: Memory, reading: UnitDaysRead, wanted: float, policy_uid: str) -> Memory:
    """The memory after whole days of votes, each unit's day counting once."""
    rates = capped_rates(wanted)
    values: Sequence[float] = memory.values
    for unit_day in in_order(reading.days, policy_uid):
        values = step(values, unit_day.mean, wanted, rates)
    return replace(
        memory,
        values=tuple(values),
        through=date.fromordinal(reading.wanted.before.toordinal() - 1),
        votes=memory.votes + sum(d.votes for d in reading.days),
        unit_days=memory.unit_days + len(reading.days),
        total=memory.total + math.fsum(d.mean for d in reading.days),
    )


def step(values: Sequence[float], y: float, wanted: float, rates: Sequence[float]) -> list[float]:
    """One bet of each rate; y in [0, 1]."""
    return [
        min(_CEILING, max(1.0, m) * (1.0 + rate * (wanted - y))) for m, rate in zip(values, rates, strict=True)
    ]


def capped_rates(wanted: float) -> tuple[float, ...]:
    """The rates, small enough that a bet never loses more than nine tenths."""
    return tuple(min(rate, 0.9 / (1.0 - wanted)) for rate in RATES)


def in_order(days: Iterable[UnitDay], policy_uid: str) -> list[UnitDay]:
    """Day by day, and within a day in the order of HMAC(policy UID ‖ date, unit)."""

    def key(unit_day: UnitDay) -> tuple[date, bytes]:
        secret = f"{policy_uid}{unit_day.day.isoformat()}".encode()
        return unit_day.day, hmac.digest(secret, unit_day.unit.encode(), hashlib.sha256)

    return sorted(days, key=key)


def recall(memory: str | None, revision: int) -> Memory:
    """The memory about this champion; a new one where there is none, or it is about another."""
    try:
        kept = json.loads(memory or "{}")
        if kept.get("revision") != revision or len(kept["m"]) != len(RATES):
            return Memory(revision)
        return Memory(
            revision,
            values=tuple(float(m) for m in kept["m"]),
            through=date.fromisoformat(kept["through"]) if kept.get("through") else None,
            votes=int(kept["votes"]),
            unit_days=int(kept["unitDays"]),
            total=float(kept["total"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Memory(revision)


def keep(memory: Memory) -> str:
    """The memory as text for the status, below 1 KiB; floats exactly, so that a restart changes nothing."""
    return json.dumps(
        {
            "m": list(memory.values),
            "through": memory.through.isoformat() if memory.through else None,
            "votes": memory.votes,
            "unitDays": memory.unit_days,
            "total": memory.total,
            "revision": memory.revision,
        },
        sort_keys=True,
    )


def evidence(values: Sequence[float]) -> float:
    """The statistic that is compared with ALARM."""
    return math.fsum(values) / len(values)


def wilson(mean: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate from n values in [0, 1] (Wilson 1927, eq. 1); conservative for means."""
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _fits(reading: UnitDaysRead, memory: Memory) -> bool:
    """Whether the reading continues this memory: same champion, next day."""
    wanted = reading.wanted
    follows = memory.through is None or wanted.first.toordinal() == memory.through.toordinal() + 1
    return wanted.revision == memory.revision and follows


def _judge(settings: PositiveRate, memory: Memory) -> Answer:
    minimum = settings.minimum_samples or _DEFAULT_MINIMUM
    if memory.unit_days == 0 or memory.votes < minimum:
        message = f"{memory.votes} votes on whole days about revision {memory.revision}; {minimum} are needed"
        return Answer(TriggerState.INSUFFICIENT_DATA, message, None, settings.below, keep(memory))
    mean = min(1.0, max(0.0, memory.total / memory.unit_days))
    low, high = wilson(mean, memory.unit_days)
    measured = (
        f"rate {mean:.3f} (95 % interval {low:.3f} to {high:.3f}) over {memory.votes} votes of "
        f"{memory.unit_days} persons' days about revision {memory.revision}; wanted: at least {settings.below}"
    )
    fired = evidence(memory.values) >= ALARM
    if fired:
        measured += "; beyond chance"
    elif mean < float(settings.below):
        measured += "; not beyond chance yet"
    state = TriggerState.FIRED if fired else TriggerState.QUIET
    return Answer(state, measured, f"{mean:.3f}", settings.below, keep(memory))

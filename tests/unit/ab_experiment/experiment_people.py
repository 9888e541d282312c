"""People who send requests, vote, wait and meet errors; and what a source says of them, window by window."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from retrainer.ab_experiment.input import ArmOutcomes
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.routing.assignment import assign
from retrainer.statistics.sums import ArmSums, binary


@dataclass(frozen=True)
class Request:
    """One request and what came of it; `vote` is 1, 0 or None."""

    time: float
    candidate: bool
    vote: int | None
    user: str
    score: float
    latency: float
    error: bool


@dataclass
class People:
    """Rates by arm (baseline, candidate); `users` is how many there are, by whom requests are sent at random."""

    seed: int
    votes: tuple[float, float]
    missing_share: float = 0.0
    split_odds: float = 1.0
    scores: tuple[float, float] = (0.6, 0.7)
    latencies: tuple[float, float] = (200.0, 200.0)
    errors: tuple[float, float] = (0.05, 0.05)
    users: int = 5000
    salt: str | None = None
    rich: bool = True
    """Whether requests have more than votes."""
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.extra = random.Random(f"extra {self.seed}")
        self.first: dict[str, float] = {}
        for request in self.requests:
            self.first.setdefault(request.user, request.time)

    def _more(self, candidate: bool) -> tuple[float, float, bool]:
        """Score, latency, error."""
        score = min(max(self.extra.gauss(self.scores[candidate], 0.2), 0.0), 1.0)
        return score, self.extra.gauss(self.latencies[candidate], 50.0), self.extra.random() < self.errors[candidate]

    def fork(self) -> People:
        """The same people, who from here on live another life."""
        other = replace(self, requests=list(self.requests))
        other.rng.setstate(self.rng.getstate())
        other.extra.setstate(self.extra.getstate())
        return other

    def send(self, start: float, end: float, per_second: int, weight: int) -> None:
        """Requests at this candidate weight; with a salt each user always gets the same arm."""
        share = weight / 100
        odds = self.split_odds * share / (1 - share) if share < 1 else 1e9
        moment = start
        while moment < end:
            user = f"user-{int(self.extra.random() * self.users)}"
            candidate = self.rng.random() < odds / (1 + odds)
            if self.salt is not None:
                candidate = assign(self.salt, user, weight) == "candidate"
            vote = None if self.rng.random() < self.missing_share else int(self.rng.random() < self.votes[candidate])
            self.first.setdefault(user, moment)
            self.requests.append(
                Request(
                    moment,
                    candidate,
                    vote,
                    user,
                    *(self._more(candidate) if self.rich else (0.0, 0.0, False)),
                )
            )
            moment += 1 / per_second

    def _before(self, moment: float) -> int:
        return bisect_left(self.requests, moment, key=lambda r: r.time)

    def read(self, spec: ABExperimentSpec, start: float, end: float) -> dict[str, ArmOutcomes]:
        """What the sources of the metrics would answer for a window."""
        by_user = spec.assignment is not None and spec.assignment.unit == "User"
        found = self.requests[self._before(start) : self._before(end)]
        if by_user:
            found = [r for r in found if self.first[r.user] >= start]
        return {
            m.name: ArmOutcomes(*(_sums(m, [r for r in found if r.candidate is arm], by_user) for arm in (True, False)))
            for m in spec.metrics
        }


def _sums(metric: Metric, requests: list[Request], by_user: bool) -> ArmSums:
    source = metric.source.feedback
    if source is None:
        errors = sum(r.error for r in requests)
        return ArmSums(len(requests), float(errors), float(errors))
    if source.quality is not None:
        return _of([r.latency for r in requests])
    values = [(r.user, _value(source.value, r)) for r in requests]
    if not by_user:
        given = [v for _, v in values if v is not None]
        missing = len(values) - len(given)
        if source.value == "Score":
            return _of(given, missing)
        return binary(int(sum(given)), len(given), missing)
    users: dict[str, list[float]] = {user: [] for user, _ in values}
    for user, value in values:
        users[user] += [] if value is None else [value]
    means = [sum(v) / len(v) for v in users.values() if v]
    return _of(means, len(users) - len(means))


def _value(value: str | None, request: Request) -> float | None:
    if value == "Score":
        return request.score
    return None if request.vote is None else float(request.vote == (value == "Positive"))


def _of(values: Iterable[float], missing: int = 0) -> ArmSums:
    known = list(values)
    return ArmSums(len(known), sum(known), sum(v * v for v in known), missing)

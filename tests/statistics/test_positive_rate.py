"""The e-CUSUM of the positiveRate trigger, simulated: how often it cries wolf, how soon it finds a real fall.

Fixed seeds. A twin in numpy runs thousands of histories at once; it is first shown to compute what the
trigger computes. Bounds are those of the design (`feedback.md`, Triggers) plus three standard errors. The
design counts votes where a person votes about eight times a day; where everybody votes once, each vote is a
unit's day, the means vary more, and false alarms are more frequent: that case has a bound of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from retrainer.retrain_policy.triggers import positive_rate

TARGET = 0.85
Floats = NDArray[np.float64]


def first_alarm(steps: Iterator[Floats], histories: int, target: float = TARGET) -> NDArray[np.int64]:
    """Number of the first y with an alarm in each history; -1 where there is none. One array of y per step."""
    rates = np.array(positive_rate.capped_rates(target))[:, None]
    m = np.ones((len(rates), histories))
    alarm = np.full(histories, -1)
    for i, y in enumerate(steps):
        np.maximum(m, 1.0, out=m)
        m *= 1.0 + rates * (target - y)
        np.minimum(m, 1e9, out=m)
        newly = (m.mean(axis=0) >= positive_rate.ALARM) & (alarm < 0)
        alarm[newly] = i
    return alarm


def single_votes(rng: np.random.Generator, rate: float, histories: int, count: int) -> Iterator[Floats]:
    """Everybody votes once."""
    for _ in range(count):
        yield (rng.random(histories) < rate).astype(np.float64)


def eight_votes(rng: np.random.Generator, rate: float, icc: float, histories: int, votes: int) -> Iterator[Floats]:
    """Somebody new each time, with an opinion of their own (intraclass correlation icc), who votes eight times."""
    concentration = (1 - icc) / icc
    for _ in range(votes // 8):
        own = rng.beta(rate * concentration, (1 - rate) * concentration, histories)
        yield rng.binomial(8, own) / 8


def bound(design: float, histories: int) -> float:
    """The design's rate plus three standard errors of a simulation of this size."""
    return design + 3 * math.sqrt(design * (1 - design) / histories)


def test_the_twin_computes_what_the_trigger_computes() -> None:
    y = np.random.default_rng(1).random(3000)
    y[::3] = 0.0
    values: list[float] = [1.0] * len(positive_rate.RATES)
    rates = positive_rate.capped_rates(TARGET)
    alarm = -1
    for i, vote in enumerate(y):
        values = positive_rate.step(values, float(vote), TARGET, rates)
        if alarm < 0 and positive_rate.evidence(values) >= positive_rate.ALARM:
            alarm = i
    assert alarm > 0
    assert first_alarm((np.array([v]) for v in y), 1)[0] == alarm


@pytest.mark.parametrize("icc", [0.05, 0.1, 0.2])
def test_at_the_target_four_of_a_thousand_histories_of_20000_votes_cry_wolf(icc: float) -> None:
    histories = 2000
    alarms = first_alarm(eight_votes(np.random.default_rng(2), TARGET, icc, histories, 20_000), histories)
    assert (alarms >= 0).mean() <= bound(0.004, histories)


def test_at_the_target_23_of_a_thousand_histories_of_200000_votes_cry_wolf() -> None:
    histories = 500
    alarms = first_alarm(eight_votes(np.random.default_rng(3), TARGET, 0.1, histories, 200_000), histories)
    assert (alarms >= 0).mean() <= bound(0.023, histories)


@pytest.mark.parametrize(("target", "at_most"), [(0.5, 0.12), (0.85, 0.05), (0.95, 0.02)])
def test_where_everybody_votes_once_false_alarms_in_20000_votes_stay_rare(target: float, at_most: float) -> None:
    histories = 1000
    votes = single_votes(np.random.default_rng(4), target, histories, 20_000)
    assert (first_alarm(votes, histories, target) >= 0).mean() <= bound(at_most, histories)


def test_a_rate_three_points_above_the_target_hardly_ever_alarms() -> None:
    histories = 500
    votes = single_votes(np.random.default_rng(5), 0.88, histories, 20_000)
    assert (first_alarm(votes, histories) >= 0).mean() <= 0.01


def test_votes_counted_one_by_one_would_cry_wolf() -> None:
    """The reason for one mean per person and day: here each person's 60 votes follow one another."""
    rng, histories = np.random.default_rng(6), 200

    def votes() -> Iterator[Floats]:
        for _ in range(200):
            own = rng.beta(TARGET * 4, (1 - TARGET) * 4, histories)
            for _ in range(60):
                yield (rng.random(histories) < own).astype(np.float64)

    assert (first_alarm(votes(), histories) >= 0).mean() > 0.2


@pytest.mark.parametrize(
    ("rate", "icc", "at_most"),
    [(0.78, 0.05, 870), (0.78, 0.1, 1_100), (0.78, 0.2, 1_525), (0.70, 0.1, 500), (0.60, 0.1, 300)],
)
def test_a_real_fall_is_found_soon(rate: float, icc: float, at_most: int) -> None:
    """Median votes from the fall to the alarm: 870 to 1,525 from .85 to .78 in the design; larger falls sooner."""
    histories, quiet = 500, 2000
    rng = np.random.default_rng(7)

    def story() -> Iterator[Floats]:
        yield from eight_votes(rng, TARGET, icc, histories, quiet)
        yield from eight_votes(rng, rate, icc, histories, 12_000)

    alarms = first_alarm(story(), histories)
    delays = alarms[alarms >= quiet // 8] * 8 - quiet
    assert delays.size >= 0.99 * histories, "hardly any alarm came before the fall, and none was missed"
    assert np.median(delays) <= at_most


def test_a_fall_is_found_as_soon_where_everybody_votes_once() -> None:
    histories, quiet = 500, 2000
    rng = np.random.default_rng(8)

    def story() -> Iterator[Floats]:
        yield from single_votes(rng, TARGET, histories, quiet)
        yield from single_votes(rng, 0.78, histories, 6000)

    alarms = first_alarm(story(), histories)
    delays = alarms[alarms >= quiet] - quiet
    assert delays.size >= 0.98 * histories
    assert np.median(delays) <= 600


def test_the_same_people_day_after_day_do_not_make_it_cry_wolf() -> None:
    """2,000 people with opinions of their own, 100 of them on each of 60 days, one mean per person and day."""
    rng = np.random.default_rng(9)
    histories, people = 100, 2000
    own = rng.beta(TARGET * 9, (1 - TARGET) * 9, (histories, people))
    rows = np.arange(histories)

    def days() -> Iterator[Floats]:
        for _ in range(60):
            for _ in range(100):
                who, votes = rng.integers(0, people, histories), rng.integers(1, 11, histories)
                yield rng.binomial(votes, own[rows, who]) / votes

    assert (first_alarm(days(), histories) >= 0).mean() <= 0.05

"""Simulated people do what they are said to do: means, variances, who answers, how arms are divided."""

from __future__ import annotations

import numpy as np
import pytest

from retrainer.simulation import split
from retrainer.simulation.forecast import three_levels
from retrainer.simulation.outcomes import Binary, Companion, Events, Mirror, Moment, flat
from retrainer.simulation.scenario import Chasing, Scenario
from retrainer.simulation.sums import Sums
from retrainer.simulation.values import Bursts, Lognormal, Normal, People, Ratings
from retrainer.simulation.worlds import always, cycling, drifting, experiment, jumping, known_by, primary, returning
from retrainer.statistics import sample_ratio

RUNS = 400
MOMENT = Moment(0, np.zeros(RUNS, int), np.full(RUNS, 0.25))
EXPOSURES = np.tile([100, 300], (RUNS, 1))


def drawn(outcomes, moment=MOMENT) -> Sums:
    return outcomes.draw(np.random.default_rng(1), EXPOSURES, moment)


def means(sums: Sums) -> np.ndarray:
    """Candidate and baseline, over all runs."""
    return sums.total.sum(axis=0) / sums.n.sum(axis=0)


@pytest.mark.parametrize(
    ("outcomes", "wanted", "tolerance"),
    [
        (Binary(flat(0.3), 0.1), (0.4, 0.3), 0.01),
        (Binary(flat(0.9), 0.3), (1.0, 0.9), 0.01),
        (Binary(flat(0.5), 0.0, ((0.5, 1.0), (1.0, 1.0))), (1 / 3, 0.5), 0.01),
        (Ratings((0.1, 0.1, 0.2, 0.3, 0.3), 0.05), (0.7, 0.65), 0.01),
        (Ratings((0.1, 0.1, 0.2, 0.3, 0.3), 0.0, flat(-0.1)), (0.55, 0.55), 0.01),
        (Lognormal(flat(400.0), 0.7, 0.1), (440, 400), 6),
        (Normal(flat(3.0), 4.0, -1.0), (2.0, 3.0), 0.05),
        (Events(flat(0.5), 2.0), (1.0, 0.5), 0.01),
        (Bursts(0.02, 8.0, "Errors", 1.5), (0.24, 0.16), 0.03),
        (Bursts(0.02, 8.0, "Users"), (0.02, 0.02), 0.003),
        (People(0.3, 0.3, 8, "Request", "Votes", 0.1), (0.4, 0.3), 0.02),
        (People(0.3, 0.3, 8, "User", "Users"), (0.3, 0.3), 0.02),
    ],
)
def test_outcomes_have_the_means_that_were_asked_for(outcomes, wanted, tolerance):
    assert means(drawn(outcomes)) == pytest.approx(wanted, abs=tolerance)


def test_squares_are_those_of_the_outcomes():
    for outcomes, variance in ((Normal(flat(3.0), 4.0), 4.0), (Lognormal(flat(1.0), 0.5), np.expm1(0.25))):
        sums = drawn(outcomes)
        about = sums.squares - sums.total**2 / sums.n
        assert (about.sum(axis=0) / (sums.n.sum(axis=0) - RUNS)) == pytest.approx([variance] * 2, rel=0.06)
    stars = drawn(Ratings((0.5, 0.0, 0.5)))
    assert np.array_equal(stars.total, stars.squares)


def test_who_does_not_answer_is_missing_and_nobody_is_lost():
    sums = drawn(Binary(flat(0.3), 0.0, ((0.7, 0.7), (0.9, 0.9))))
    assert np.array_equal(sums.exposures, EXPOSURES)
    assert sums.n.sum(axis=0) / EXPOSURES.sum(axis=0) == pytest.approx([0.7, 0.9], abs=0.01)


def test_a_mirror_shows_the_opposite_and_a_companion_is_asked_of_those_who_answered():
    first = drawn(Binary(flat(0.3), 0.0, ((0.7, 0.7), (0.9, 0.9))))
    moment = Moment(0, MOMENT.step, MOMENT.weight, (first,))
    mirror, companion = drawn(Mirror(), moment), drawn(Companion(flat(0.1)), moment)
    assert np.array_equal(mirror.total + first.total, first.n)
    assert np.array_equal(companion.n, first.n) and np.array_equal(companion.missing, first.missing)
    assert means(companion) == pytest.approx((0.1, 0.1), abs=0.01)


def test_users_divided_whole_are_in_one_arm_only():
    rng, weight = np.random.default_rng(2), np.array([0.3])
    asked = People(0.3, 0.3, 8, "User", "Votes")._divided(rng, weight, (1, 50))
    assert set(asked[0, :, 0]) == {0, 8} and np.all(asked.sum(axis=2) == 8)


def test_base_rates_move_as_they_are_called():
    late = Moment(100, np.array([0, 1, 2]), np.full(3, 0.5))
    assert drifting(0.05, 0.15)(late) == pytest.approx(0.15)
    assert cycling(0.1, 0.05, 24)(Moment(6, late.step, late.weight)) == pytest.approx(0.15)
    assert jumping(0.1, 0.2, 0.3)(late).tolist() == [0.1, 0.2, 0.3]


def test_returning_users_are_new_at_first_and_add_up():
    new = returning(1000, visits=0.5)
    counts = [new(window) for window in range(5000)]
    assert sorted(counts, reverse=True) == counts
    assert 990 < sum(counts) < 1000 and counts[0] > 300


def test_outcomes_with_delays_are_known_more_often_the_longer_one_waits():
    assert known_by(0, 60) == pytest.approx(0.079, abs=0.001)
    assert known_by(120, 60) > known_by(60, 60) > known_by(60, 90)


@pytest.mark.parametrize(("mean", "variance"), [(0.65, 0.2), (0.3, 0.15), (0.1, 0.09)])
def test_three_levels_have_the_mean_and_variance_that_were_asked_for(mean, variance):
    none, half, all_ = three_levels(mean, variance)
    assert none + half + all_ == pytest.approx(1) and min(none, half, all_) >= -1e-12
    assert half / 2 + all_ == pytest.approx(mean)
    assert half / 4 + all_ - mean**2 == pytest.approx(variance)


def test_odds_move_the_split_and_a_policy_follows_the_outcomes():
    rng = np.random.default_rng(4)
    even = Scenario((), always(1000)).exposures(rng, 0, MOMENT.weight)
    odd = Scenario((), always(1000), odds=3.0).exposures(rng, 0, MOMENT.weight)
    varied = Scenario((), always(1000), poisson=True).exposures(rng, 0, MOMENT.weight)
    assert even[:, 0].mean() == pytest.approx(250, abs=3) and odd[:, 0].mean() == pytest.approx(500, abs=3)
    assert set(even.sum(axis=1)) == {1000} and varied.sum(axis=1).std() > 10
    n = np.array([[10.0, 10.0]] * 2)
    total = np.array([[6.0, 5.0], [4.0, 5.0]])
    assert Chasing(2).next_step(np.array([2, 0]), Sums(n, total, total, 0 * n)).tolist() == [2, 0]
    assert Chasing(2).next_step(np.array([1, 1]), Sums(n, total, total, 0 * n)).tolist() == [2, 0]


def test_the_split_is_judged_as_the_operator_judges_it():
    rng = np.random.default_rng(5)
    track, ones = split.start(np.array([0.1, 0.5]), 40), [sample_ratio.Split()] * 40
    verdicts = set()
    for window in range(12):
        step = np.full(40, int(window > 3))
        share = np.array([0.1, 0.5])[step] * np.linspace(1.0, 1.12, 40)
        candidate = rng.binomial(900, share)
        track.add(step, np.stack([candidate, 900 - candidate], axis=-1).astype(float))
        ones = [one.add((10, 50)[step[0]], int(c), 900) for one, c in zip(ones, candidate, strict=True)]
        assert track.log_evidence() == pytest.approx([one.log_evidence() for one in ones])
        assert track.ok().tolist() == [one.ok for one in ones]
        verdicts |= set(track.ok().tolist())
    assert verdicts == {True, False}


def test_an_experiment_ends_after_the_windows_that_were_asked_for():
    config = experiment("slow5", primary(guardrails=0), windows=100, maturity_seconds=30)
    lost = 2 * (1 + 3)
    assert config.maximum_duration_seconds == 1 + (100 + lost) * 10 + 30

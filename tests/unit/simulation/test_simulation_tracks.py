"""Evidence in arrays equals the operator's: same verdicts, same e-values, window for window."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retrainer.simulation import tracks
from retrainer.simulation.nulls import BETTER, NOT_WORSE, VERDICTS, bars, verdicts
from retrainer.simulation.sums import Sums
from retrainer.statistics.metric import MetricPlan, MetricState, fold
from retrainer.statistics.sums import ArmSums
from retrainer.statistics.verdicts import find

RUNS = 3
WEIGHTS = np.array([0.05, 0.25, 0.5])


def plan(role="Primary", goal="Increase", missing="Exclude", scale="Binary", effect=0.02, rate=0.1, variance=None):
    return MetricPlan("likes", role, goal, missing, effect, rate, 0.05, 0.025, 0.8, scale, variance)


def binary(rng, n, lift):
    total = rng.binomial(n, 0.1 + np.array([lift, 0.0])).astype(float)
    return total, total


def rising(rng, n, lift):
    total = rng.binomial(n, [0.14, 0.1]).astype(float)
    return total, total


def bounded(rng, n, lift):
    ones = rng.binomial(n, 0.2 + np.array([lift, 0.0]))
    halves = rng.binomial(n - ones, 0.3)
    return ones + halves / 2, ones + halves / 4


def unbounded(rng, n, lift):
    total = n * (300 + np.array([500 * lift, 0.0])) + np.sqrt(n) * 100 * rng.standard_normal(n.shape)
    return total, total**2 / np.maximum(n, 1) + 1e4 * rng.chisquare(np.maximum(n, 1))


def counts(rng, n, lift):
    total = rng.poisson(n * 0.05 * np.array([1 + 20 * lift, 1.0])).astype(float)
    return total, total


CASES = {
    "likes": (plan(), binary, 0.0),
    "dislikes, a guardrail": (plan("Guardrail", "Decrease"), binary, 0.0),
    "dislikes, a guardrail, rising": (plan("Guardrail", "Decrease"), rising, 0.0),
    "dislikes, to be reduced": (plan(goal="Decrease"), binary, 0.0),
    "likes, some votes missing from the start": (plan(), binary, 1.0),
    "likes, votes missing later": (plan(), binary, 0.1),
    "dislikes, a guardrail, votes missing later": (plan("Guardrail", "Decrease", effect=0.04), binary, 0.1),
    "likes per exposure": (plan(missing="Zero"), binary, 0.5),
    "ratings": (plan(scale="Bounded", effect=0.03, rate=0.35, variance=0.15), bounded, 0.0),
    "ratings, some missing later": (plan(scale="Bounded", effect=0.03, rate=0.35), bounded, 0.1),
    "latency": (plan(goal="Decrease", scale="Unbounded", effect=10, rate=300, variance=1e4), unbounded, 0.0),
    "latency, variance unknown": (plan("Guardrail", "Decrease", scale="Unbounded", effect=10, rate=300), unbounded, 0),
    "latency, some missing later": (plan(scale="Unbounded", effect=10, rate=300, variance=1e4), unbounded, 0.1),
    "errors": (plan("Guardrail", "Decrease", scale="Events", effect=0.5, rate=0.05), counts, 0.0),
}


def courses(metric, draw, missing, seed):
    """Ten windows of some runs, of all sizes: weight, raw sums, and whether the run counts the window."""
    rng = np.random.default_rng(seed)
    for number in range(10):
        weight = WEIGHTS[rng.integers(0, 3, RUNS)]
        both = rng.integers(20, 60, RUNS) if number % 5 == 3 else rng.integers(1000, 6000, RUNS)
        candidate = rng.binomial(both, weight)
        exposures = np.stack([candidate, both - candidate], axis=-1)
        # Runs lose votes from different windows on.
        late = number > (3 - 4 * missing) * (1 + np.arange(RUNS))[:, None] / 2
        gone = rng.binomial(exposures, 0.2) * late if missing else np.zeros_like(exposures)
        lift = np.array([0.0, 0.03, -0.03])[rng.integers(0, 3)] if number % 2 else 0.01
        n = exposures - gone
        total, squares = draw(rng, n, lift)
        yield weight, Sums(n.astype(float), total, squares, gone.astype(float)), rng.random(RUNS) < 0.8


def arm(sums: Sums, run: int, side: int) -> ArmSums:
    return ArmSums(
        int(sums.n[run, side]), sums.total[run, side], sums.squares[run, side], int(sums.missing[run, side])
    )


@pytest.mark.parametrize(("metric", "draw", "missing"), CASES.values(), ids=CASES)
def test_every_verdict_and_e_value_is_the_operators(metric, draw, missing):
    track, states = tracks.start(metric, RUNS), [MetricState()] * RUNS
    shown = set()
    for weight, sums, counted in courses(metric, draw, missing, seed=5):
        track.add(weight, sums, counted)
        evidence = track.evidence()
        codes = verdicts(track.nulls, evidence >= bars(track.nulls))
        wanted = next(i for i, null in enumerate(track.nulls) if null.verdict in (BETTER, NOT_WORSE))
        for run in np.flatnonzero(counted):
            states[run] = fold(metric, states[run], weight[run], arm(sums, run, 0), arm(sums, run, 1))
            found = find(metric, states[run])
            assert VERDICTS[codes[run]] == found.verdict
            assert evidence[run, wanted] == pytest.approx(found.log_evidence, rel=1e-9, abs=1e-9)
            shown.add(found.verdict)
    assert len(shown) > 1, "a comparison in which nothing is ever shown proves little"


def test_runs_that_are_dropped_do_not_change_the_others():
    whole, part = tracks.start(plan(), RUNS), tracks.start(plan(), RUNS)
    kept = np.array([0, 2])
    for number, (weight, sums, counted) in enumerate(courses(plan(), binary, 0.1, seed=6)):
        whole.add(weight, sums, counted)
        if number < 5:
            part.add(weight, sums, counted)
        else:
            part.add(weight[kept], sums.take(kept), counted[kept])
        if number == 4:
            part.take(kept)
    assert np.array_equal(whole.evidence()[kept], part.evidence())


def test_the_ends_of_the_interval_are_watched_at_the_true_effect():
    metric = plan()
    track, states = tracks.start(metric, RUNS, truth=0.01), [MetricState()] * RUNS
    for weight, sums, counted in courses(metric, binary, 0.0, seed=7):
        track.add(weight, sums, counted)
        above, below = (tracks.rejected(track)[:, i] for i in (-2, -1))
        for run in np.flatnonzero(counted):
            states[run] = fold(metric, states[run], weight[run], arm(sums, run, 0), arm(sums, run, 1))
            found = find(metric, states[run])
            assert (found.lower > 0.01 + 1e-12) <= above[run] <= (found.lower >= 0.01 - 1e-12)
            assert (found.upper < 0.01 - 1e-12) <= below[run] <= (found.upper <= 0.01 + 1e-12)
    assert not math.isnan(track.evidence().sum())

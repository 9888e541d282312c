"""What other tests would do in the same world: looked at 400 times, with a weight and a base rate that move.

For comparison only; nothing decides by these. Twins for many runs of `statistics.fixed_horizon.pooled_z`, of the
stratified test of Mantel and Haenszel, and of `statistics.msprt.log_ratio`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from retrainer.simulation import boundary, tracks
from retrainer.simulation.gate.promises import each
from retrainer.simulation.gate.row import Row, Section, alpha_bound
from retrainer.simulation.nulls import bars
from retrainer.simulation.outcomes import Binary, Moment, Rate, flat
from retrainer.simulation.sums import BASELINE, CANDIDATE, Floats, Ints, Sums, nothing
from retrainer.simulation.worlds import ALPHA, cycling, drifting, primary

LOOKS = 400
UNITS = 50
RUNS = 2_000
CRITICAL = 1.959964
"""Two-sided z at 5 %."""
BURN_IN = 100
"""Units per arm before the z-tests are looked at: their approximation is not to blame for what they do."""
MIXING_VARIANCE = 0.02**2
"""mSPRT's prior variance of the difference: the planned effect squared."""


@dataclass(frozen=True)
class World:
    """A base rate, and the candidate's weight in a look, given what the last one showed."""

    name: str
    base: Rate
    weight: Callable[[int, Floats, Sums | None], Floats]


def _constant(look: int, before: Floats, seen: Sums | None) -> Floats:
    return np.full_like(before, 0.5)


def _rising(look: int, before: Floats, seen: Sums | None) -> Floats:
    """From 10 to 90 %."""
    return np.full_like(before, 0.1 + 0.8 * look / (LOOKS - 1))


def _following(look: int, before: Floats, seen: Sums | None) -> Floats:
    """A little more to whichever arm did better in the last look."""
    if seen is None:
        return before
    rate = seen.total / np.maximum(seen.n, 1)
    moved: Floats = np.clip(before + np.where(rate[:, CANDIDATE] > rate[:, BASELINE], 0.05, -0.05), 0.1, 0.9)
    return moved


WORLDS = (
    World("50/50", flat(0.1), _constant),
    World("ramp 10 → 90 %", flat(0.1), _rising),
    World("ramp, drifting base rate", drifting(windows=LOOKS), _rising),
    World("adaptive weight, daily cycle", cycling(period=96), _following),
)


def looks(world: World, seed: int) -> Iterator[tuple[Floats, Sums]]:
    """Weight and outcomes of each look, without any effect."""
    rng = np.random.default_rng(seed)
    weight, seen = np.full(RUNS, 0.5), None
    for look in range(LOOKS):
        weight = world.weight(look, weight, seen)
        candidate = rng.binomial(UNITS, weight)
        exposures: Ints = np.stack([candidate, UNITS - candidate], axis=-1)
        seen = Binary(world.base).draw(rng, exposures, Moment(look, np.zeros(RUNS, int), weight))
        yield weight, seen


def pooled_z(total: Sums) -> Floats:
    """Twin of `fixed_horizon.pooled_z`; 0 where it has no value."""
    n1, n0 = np.maximum(total.n[:, CANDIDATE], 1), np.maximum(total.n[:, BASELINE], 1)
    rate = total.means
    variance = rate * (1 - rate) * (1 / n1 + 1 / n0)
    difference = total.total[:, CANDIDATE] / n1 - total.total[:, BASELINE] / n0
    z: Floats = np.divide(difference, np.sqrt(variance), out=np.zeros_like(rate), where=variance > 0)
    return z


def log_msprt(total: Sums) -> Floats:
    """Twin of `msprt.log_ratio` on pooled data, with the harmonic mean of the arms for the units per arm."""
    n1, n0 = np.maximum(total.n[:, CANDIDATE], 1), np.maximum(total.n[:, BASELINE], 1)
    units, rate = 2 / (1 / n1 + 1 / n0), total.means
    variance = np.maximum(rate * (1 - rate), 1e-6)
    difference = total.total[:, CANDIDATE] / n1 - total.total[:, BASELINE] / n0
    spread = 2 * variance + units * MIXING_VARIANCE
    ratio: Floats = (
        np.log(2 * variance / spread) / 2 + units**2 * MIXING_VARIANCE * difference**2 / (4 * variance * spread)
    )
    return ratio


@lru_cache(maxsize=len(WORLDS))
def ever_different(number: int) -> dict[str, float]:
    """Share of the runs of a world that each test ever declares different, two-sided at 5 %."""
    both_sides = replace(primary(guardrails=0), alpha=ALPHA / 2, alpha_worse=ALPHA / 2)
    bets, strata = tracks.start(both_sides, RUNS), boundary.no_strata(RUNS)
    total, declared = nothing(RUNS), {name: np.zeros(RUNS, bool) for name in TESTS}
    counted = np.ones(RUNS, bool)
    for weight, sums in looks(WORLDS[number], 180 + number):
        total = total + sums
        bets.add(weight, sums, counted)
        strata.closed = strata.closed + boundary.stratum_scores(sums)
        ready = np.all(total.n >= BURN_IN, axis=1)
        declared["pooled"] |= ready & (np.abs(pooled_z(total)) > CRITICAL)
        declared["stratified"] |= ready & (strata.closed.u**2 > CRITICAL**2 * strata.closed.v)
        declared["msprt"] |= log_msprt(total) >= -math.log(ALPHA)
        declared["ours"] |= np.any((bets.evidence() >= bars(bets.nulls))[:, :2], axis=1)
    return {name: float(hits.mean()) for name, hits in declared.items()}


TESTS = {
    "pooled": ("z-test on pooled data, repeated", "46 / 52 / 100 / 64 %"),
    "stratified": ("test stratified by window (Mantel–Haenszel), repeated", "46 / 50 / 48 / 46 %"),
    "msprt": ("mSPRT on pooled data", "2.1 / 5.3 / 93 / 12 %"),
    "ours": ("formula 2, Better or Worse", "2.0 / 4.0 / 3.8 / 4.4 %"),
}
"""Name of each test and what the design's prototype found of it, or of its like."""


def _row(test: str) -> Row:
    text, prototype = TESTS[test]
    bounds = [alpha_bound(ALPHA, RUNS)] * len(WORLDS) if test == "ours" else ()
    return Row(
        key=f"other-{test}",
        text=text,
        measures=each([f"{world.name}:" for world in WORLDS], bounds),
        compute=lambda: [ever_different(i)[test] for i in range(len(WORLDS))],
        runs=RUNS,
        target="≤ 5 % + 3 s.e." if bounds else "",
        prototype=prototype,
    )


SECTIONS = (
    Section(
        "For comparison: other tests",
        "No effect, base rate 10 %, 400 looks at 50 units each: ever declared different, nominally 5 % two-sided.",
        tuple(_row(test) for test in TESTS),
    ),
)

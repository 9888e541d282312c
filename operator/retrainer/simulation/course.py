"""The whole procedure for many runs at once: ramp, windows, transitional windows, maturity, evidence, rules."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from retrainer.ab_experiment.config import ExperimentConfig
from retrainer.simulation import rules, split, tracks
from retrainer.simulation.nulls import VERDICTS, verdicts, watched
from retrainer.simulation.outcomes import Moment
from retrainer.simulation.results import Results, joined
from retrainer.simulation.scenario import Scenario
from retrainer.simulation.sums import Bools, Codes, Floats, Ints, Sums

BLOCK = 1000
"""Runs that are computed together; their arrays fit in a processor's cache."""
CROWDED = 0.75
"""Runs that have ended are dropped when fewer than this share of the arrays are still running."""


def simulate(config: ExperimentConfig, scenario: Scenario, runs: int, seed: int) -> Results:
    """Run the experiment `runs` times in this world, each to its end; the same seed gives the same results.

    Raises ValueError where the scenario does not describe as many metrics as the configuration has.
    """
    if len(scenario.outcomes) != len(config.metrics):
        raise ValueError(f"the scenario describes {len(scenario.outcomes)} metrics, the config {len(config.metrics)}")
    sizes = [min(BLOCK, runs - first) for first in range(0, runs, BLOCK)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))
    blocks = zip(sizes, seeds, strict=True)
    return joined([_Course(config, scenario, size, key).finish() for size, key in blocks])


@dataclass(frozen=True)
class _Plan:
    """A window to come, per run: its step, and whether it is counted (else it is transitional)."""

    step: Ints
    counted: Bools


class _Course:
    """The state of a block of runs; arrays hold the runs in `ids`, recorded results all of them."""

    def __init__(self, config: ExperimentConfig, scenario: Scenario, runs: int, seed: np.random.SeedSequence) -> None:
        self.config, self.scenario, self.rng = config, scenario, np.random.default_rng(seed)
        self.counts_units = [m.name for m in config.metrics].index(config.units_metric)
        self.weights = np.array([s.weight / 100 for s in config.steps])
        self.minimums = np.array([float(s.minimum_units) for s in config.steps])
        truths = scenario.truths or (None,) * len(config.metrics)
        self.tracks = [tracks.start(m, runs, t) for m, t in zip(config.metrics, truths, strict=True)]
        self.split = split.start(self.weights, runs)
        self.units = np.zeros(runs)
        self.ids = np.arange(runs)
        self.step = np.zeros(runs, int)
        self.settling = np.zeros(runs, int)
        self.ended = np.zeros(runs, bool)
        # Windows that lie between the end of one and its counting go on at the weight that was announced.
        self.ahead = math.floor(config.maturity_seconds / config.window_seconds)
        late = math.ceil((config.maturity_seconds + max(config.settle_seconds, 1)) / config.window_seconds)
        self.transitional = 0 if scenario.policy else late - self.ahead
        now = _Plan(self.step, np.ones(runs, bool))
        self.upcoming = deque([now] * (self.ahead + 1))
        self.results = _blank(runs, len(config.metrics))

    def finish(self) -> Results:
        """All runs to their end."""
        config, window = self.config, 0
        while True:
            elapsed = config.settle_seconds + (window + 1) * config.window_seconds + config.maturity_seconds
            if elapsed > config.maximum_duration_seconds or self.ended.all():
                break
            primary = self._count(window)
            self._judge(elapsed)
            self._look_ahead(primary)
            self._drop_ended()
            window += 1
        self._judge(config.maximum_duration_seconds)
        return self.results

    def _count(self, window: int) -> Sums:
        """Draw and count one window; the primary's outcomes."""
        due = self.upcoming.popleft()
        weight = self.weights[due.step]
        exposures = self.scenario.exposures(self.rng, window, weight)
        drawn: list[Sums] = []
        for outcomes in self.scenario.outcomes:
            drawn.append(outcomes.draw(self.rng, exposures, Moment(window, due.step, weight, tuple(drawn))))
        for track, sums in zip(self.tracks, drawn, strict=True):
            track.add(weight, sums, due.counted)
        counted = drawn[self.counts_units].where(due.counted)
        self.split.add(due.step, counted.exposures)
        self.units += counted.units
        return drawn[0]

    def _judge(self, elapsed: float) -> None:
        """What the rules make of the evidence; ended runs are recorded, others may go to the next step."""
        rejected = [tracks.rejected(track) for track in self.tracks]
        codes = [verdicts(t.nulls, r) for t, r in zip(self.tracks, rejected, strict=True)]
        split_ok = self.split.ok()
        action, reason = rules.evaluate(self._situations(codes, split_ok, elapsed))
        self._watch(codes, rejected, split_ok)
        self._record(action, reason, elapsed)
        self._move(action == rules.ACTIONS.index("NextStep"))

    def _situations(self, codes: list[Codes], split_ok: Bools, elapsed: float) -> rules.Situations:
        config, runs = self.config, np.arange(len(self.ids))
        free = self.scenario.policy is not None
        guardrails = codes[1:] if config.primary else codes
        return rules.Situations(
            primary=codes[0] if config.primary else None,
            guardrails=np.stack(guardrails, axis=-1) if guardrails else np.zeros((len(runs), 0), np.int8),
            elapsed_seconds=elapsed,
            minimum_seconds=config.minimum_duration_seconds,
            maximum_seconds=config.maximum_duration_seconds,
            split_ok=split_ok,
            step_units=self.split.candidate[self.step, runs],
            step_minimum=np.zeros(len(runs)) if free else self.minimums[self.step],
            last_step=np.ones(len(runs), bool) if free else self.step == len(self.weights) - 1,
            units=self.units,
            units_planned=config.units_needed,
        )

    def _watch(self, codes: list[Codes], rejected: list[Bools], split_ok: Bools) -> None:
        """Note what is shown for the first time in the runs that have not ended, or in all to the end."""
        live = np.flatnonzero(~self.ended | self.scenario.to_the_end)
        ids, units = self.ids[live], self.units[live]
        for i, metric in enumerate(codes):
            _note(self.results.first[:, i], ids, metric[live], units)
        broken = ~split_ok[live] & np.isnan(self.results.alarmed[ids])
        self.results.alarmed[ids[broken]] = units[broken]
        for i, (track, hits) in enumerate(zip(self.tracks, rejected, strict=True)):
            if watched(track.nulls):
                self.results.missed[ids, i] |= hits[live, -2:]

    def _record(self, action: Codes, reason: Codes, elapsed: float) -> None:
        goes_on = np.isin(action, [rules.ACTIONS.index("Hold"), rules.ACTIONS.index("NextStep")])
        ends = np.flatnonzero(~goes_on & ~self.ended)
        ids = self.ids[ends]
        self.results.actions[ids], self.results.reasons[ids] = action[ends], reason[ends]
        self.results.seconds[ids] = elapsed
        self.results.units[ids] = self.units[ends]
        self.ended[ends] = True

    def _move(self, up: Bools) -> None:
        self.step = np.where(up, self.step + 1, self.step)
        self.settling = np.where(up, self.transitional, self.settling)

    def _look_ahead(self, primary: Sums) -> None:
        """Fix the weight of the next window that is not fixed yet."""
        if self.scenario.policy is not None:
            self.step = self.scenario.policy.next_step(self.step, primary)
        self.upcoming.append(_Plan(self.step, self.settling == 0))
        self.settling = np.maximum(self.settling - 1, 0)

    def _drop_ended(self) -> None:
        going = np.flatnonzero(~self.ended)
        if self.scenario.to_the_end or len(going) > CROWDED * len(self.ids):
            return
        for track in self.tracks:
            track.take(going)
        self.split.take(going)
        self.units = self.units[going]
        self.ids, self.step, self.settling = self.ids[going], self.step[going], self.settling[going]
        self.ended = self.ended[going]
        self.upcoming = deque(_Plan(p.step[going], p.counted[going]) for p in self.upcoming)


def _blank(runs: int, metrics: int) -> Results:
    return Results(
        actions=np.full(runs, rules.ACTIONS.index("Hold"), np.int8),
        reasons=np.zeros(runs, np.int8),
        seconds=np.zeros(runs),
        units=np.zeros(runs),
        first=np.full((runs, metrics, len(VERDICTS)), np.nan),
        alarmed=np.full(runs, np.nan),
        missed=np.zeros((runs, metrics, 2), bool),
    )


def _note(first: Floats, ids: Ints, codes: Codes, units: Floats) -> None:
    new = np.isnan(first[ids, codes])
    first[ids[new], codes[new]] = units[new]

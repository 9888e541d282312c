"""The whole procedure, many runs at once: the ramp, the engines and rules of the operator, fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from retrainer.ab_experiment.rules import Outcome, Situation, evaluate
from retrainer.statistics import betting, events, power
from retrainer.statistics.sample_ratio import ALARM, SCALE

BaseRate = Callable[[int], float]
"""Rate of the baseline in a window, by its number."""


@dataclass(frozen=True)
class Setting:
    """An experiment in numbers; the guardrail is the mirror image of the primary metric, as in the demo."""

    steps: tuple[tuple[int, int], ...] = ((10, 40), (25, 60), (50, 200))
    effect: float = 0.10
    margin: float = 0.05
    planned_rate: float = 0.70
    alpha: float = 0.05
    window_units: int = 150
    window_seconds: int = 5
    minimum_seconds: int = 30
    maximum_seconds: int = 600


@dataclass(frozen=True)
class Ended:
    """How each run ended: actions ("" while undecided at the end), seconds, units counted."""

    actions: np.ndarray
    reasons: np.ndarray
    seconds: np.ndarray
    units: np.ndarray

    def share(self, action: str) -> float:
        return float(np.mean(self.actions == action))


class Procedure:
    """State of all runs; a transitional window is lost after each step up, as the route takes over."""

    def __init__(self, setting: Setting, runs: int, seed: int) -> None:
        self.setting, self.runs, self.rng = setting, runs, np.random.default_rng(seed)
        self.step = np.zeros(runs, int)
        self.skip = np.zeros(runs, bool)
        self.mean = np.full(runs, setting.planned_rate)
        self.sums = np.zeros((runs, 2))
        self.candidates = np.zeros((len(setting.steps), runs))
        self.totals = np.zeros((len(setting.steps), runs))
        d, g = setting.effect, setting.margin
        self.nulls = np.array([0.0, 0.0, d, -g, -g / 2]), np.array([1.0, -1.0, -1.0, 1.0, -1.0])
        stakes = [betting.bets(e, setting.planned_rate) for e in (d, g)]
        self.stakes = stakes
        self.capital = np.zeros((runs, 5, 7))
        self.weights = np.array([w for w, _ in setting.steps])

    def window(self, base: float, effect: float) -> None:
        """Everybody counts one window."""
        w = self.weights[self.step] / 100
        n = np.where(self.skip, 0, self.setting.window_units)
        n1 = self.rng.binomial(n, w)
        y1 = self.rng.binomial(n1, base + effect)
        y0 = self.rng.binomial(n - n1, base)
        cells = betting.Cells(y1, n1 - y1, y0, n - n1 - y0)
        for columns, stakes in ((slice(0, 3), self.stakes[0]), (slice(3, 5), self.stakes[1])):
            deltas, signs = self.nulls[0][columns], self.nulls[1][columns]
            self.capital[:, columns] += betting.log_growth(cells, w, self.mean, deltas, signs, stakes)
        self.sums += np.stack([y1 + y0, n], axis=-1)
        seen = self.sums[:, 1] > 0
        self.mean = np.where(seen, self.sums[:, 0] / np.maximum(self.sums[:, 1], 1), self.mean)
        self.candidates[self.step, np.arange(self.runs)] += n1
        self.totals[self.step, np.arange(self.runs)] += n
        self.skip[:] = False

    def verdicts(self) -> np.ndarray:
        """Which nulls are rejected: (runs, 5)."""
        alpha = self.setting.alpha
        bars = -np.log(np.array([alpha, alpha / 2, alpha / 2, alpha, alpha / 2]))
        return betting.log_evidence(self.capital) >= bars

    def split_ok(self) -> np.ndarray:
        totals = dict(zip((self.weights / 100).tolist(), self.totals, strict=True))
        evidence = events.log_evidence(self.candidates.sum(axis=0), totals, events.mixture(SCALE, "Both"))
        return evidence < math.log(ALARM)

    def judge(self, run: int, seconds: float, rejected: np.ndarray, split_ok: bool) -> Outcome:
        """The operator's rules on one run."""
        better, worse, small, not_worse, harmed = rejected
        step = int(self.step[run])
        return evaluate(
            Situation(
                primary="Better" if better else "Worse" if worse else "TooSmall" if small else "Undecided",
                guardrails=(("dislikes", "NotWorse" if not_worse else "Worse" if harmed else "Undecided"),),
                elapsed_seconds=seconds,
                minimum_seconds=self.setting.minimum_seconds,
                maximum_seconds=self.setting.maximum_seconds,
                split_ok=split_ok,
                step_units=int(self.candidates[step, run]),
                step_minimum=self.setting.steps[step][1],
                last_step=step == len(self.setting.steps) - 1,
            )
        )


def simulate(setting: Setting, effect: float, base: BaseRate, runs: int, seed: int) -> Ended:
    """Run the procedure to its end."""
    procedure = Procedure(setting, runs, seed)
    actions, reasons = np.full(runs, "", object), np.full(runs, "", object)
    seconds, units = np.zeros(runs), np.zeros(runs)
    number = 0
    while (actions == "").any():
        procedure.window(base(number), effect)
        number += 1
        rejected, split_ok = procedure.verdicts(), procedure.split_ok()
        now = number * setting.window_seconds
        for run in np.flatnonzero(actions == ""):
            outcome = procedure.judge(run, now, rejected[run], bool(split_ok[run]))
            if outcome.action == "NextStep":
                procedure.step[run] += 1
                procedure.skip[run] = True
            elif outcome.action != "Hold":
                actions[run], reasons[run], seconds[run] = outcome.action, outcome.reason.value, now
                units[run] = procedure.sums[run, 1]
    return Ended(actions, reasons, seconds, units)


def planned(setting: Setting) -> int:
    """Units the plan promises for the primary metric alone."""
    fixed = power.fixed_horizon_units(setting.planned_rate, setting.effect, setting.alpha, 0.8)
    return power.ramp_units(fixed * power.ENGINE_FACTOR, [(w / 100, n) for w, n in setting.steps])

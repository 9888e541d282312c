"""One simulated run, told again by the operator's own functions, a window at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

from retrainer.ab_experiment.config import ExperimentConfig
from retrainer.ab_experiment.rules import Outcome, Situation, evaluate
from retrainer.ab_experiment.windows import end_before, first_window_after
from retrainer.simulation.course import simulate
from retrainer.simulation.outcomes import Outcomes
from retrainer.simulation.rules import ACTIONS, REASONS
from retrainer.simulation.scenario import Scenario
from retrainer.simulation.sums import Sums
from retrainer.statistics.metric import MetricState, fold
from retrainer.statistics.sample_ratio import Split
from retrainer.statistics.sums import ArmSums
from retrainer.statistics.verdicts import find

Ending = tuple[str, str, float, float]
"""Action, reason, seconds, units."""


@dataclass
class Kept:
    """Outcomes that are remembered: number and step of the window, sums."""

    inner: Outcomes
    windows: list[tuple[int, int, Sums]] = field(default_factory=list)

    def draw(self, rng, exposures, moment):
        sums = self.inner.draw(rng, exposures, moment)
        self.windows.append((moment.window, int(moment.step[0]), sums))
        return sums


def told_twice(config: ExperimentConfig, worlds: tuple[Outcomes, ...], units: int, odds: float, seed: int):
    """How one run ends as simulated, and as the operator's functions end it."""
    seen = tuple(Kept(world) for world in worlds)
    ended = simulate(config, Scenario(seen, lambda _: units, odds=odds), 1, seed)
    simulated = ACTIONS[ended.actions[0]], REASONS[ended.reasons[0]].value, ended.seconds[0], ended.units[0]
    return simulated, retold(config, seen)


def retold(config: ExperimentConfig, seen: tuple[Kept, ...]) -> Ending:
    """The run again; whether a window counts is worked out from times, as the ledger does."""
    states, split, step = {m.name: MetricState() for m in config.metrics}, Split(), 0
    origin, announced = config.settle_seconds, None
    for windows in zip(*(kept.windows for kept in seen), strict=True):
        number, at_step, _ = windows[0]
        now = origin + (number + 1) * config.window_seconds + config.maturity_seconds
        if announced is not None and _settled(config, number, announced, origin):
            announced = None
            assert at_step == step, "counted at the weight that was announced"
        if announced is None or number < end_before(announced, origin, config.window_seconds):
            weight = config.steps[at_step].weight
            for metric, (_, _, sums) in zip(config.metrics, windows, strict=True):
                states[metric.name] = fold(metric, states[metric.name], weight / 100, *arms(sums))
            candidate, baseline = (arm.exposures for arm in arms(windows[0][2]))
            split = split.add(weight, candidate, candidate + baseline)
        said = judged(config, states, split, step, now)
        if said.action == "NextStep":
            step, announced = step + 1, now
        elif said.action != "Hold":
            return said.action, said.reason.value, now, states[config.units_metric].units
    end = config.maximum_duration_seconds
    said = judged(config, states, split, step, end)
    return said.action, said.reason.value, end, states[config.units_metric].units


def _settled(config: ExperimentConfig, number: int, announced: float, origin: int) -> bool:
    """Whether a window lies wholly after the change of weight, and after what was still due of the weight before."""
    return number >= first_window_after(announced, config.settle_seconds, origin, config.window_seconds)


def judged(config: ExperimentConfig, states: dict[str, MetricState], split: Split, step: int, now: float) -> Outcome:
    """What the rules say."""
    found = {m.name: find(m, states[m.name]).verdict for m in config.metrics}
    return evaluate(
        Situation(
            primary=found[config.primary.name] if config.primary else None,
            guardrails=tuple((m.name, found[m.name]) for m in config.guardrails),
            elapsed_seconds=now,
            minimum_seconds=config.minimum_duration_seconds,
            maximum_seconds=config.maximum_duration_seconds,
            split_ok=split.ok,
            step_units=split.candidate_at(config.steps[step].weight),
            step_minimum=config.steps[step].minimum_units,
            last_step=step == len(config.steps) - 1,
            units=states[config.units_metric].units,
            units_planned=config.units_needed,
        )
    )


def arms(sums: Sums) -> list[ArmSums]:
    """Candidate and baseline of the one run."""
    return [ArmSums(int(sums.n[0, a]), sums.total[0, a], sums.squares[0, a], int(sums.missing[0, a])) for a in (0, 1)]

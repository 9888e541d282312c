"""What the lines of a ledger add up to; one fold serves the running experiment, the replay and the audit.

A line is a JSON object with a `kind`:
- `weight`     the candidate's share was announced (this line comes before its effect, except when lowering)
- `applied`    the gateways carry the announced share
- `disturbed`  they no longer do, or it is not known that they did
- `window`     one window was counted, and what the rules made of it
- `awaiting`   undecided, and a person is to decide
- `decision`   the verdict; no line follows

Every line has a time, `at`, and lines never go back in time (`ledger.append` sees to it, see clock.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from retrainer.ab_experiment.config import ExperimentConfig
from retrainer.ab_experiment.windows import Stretch, end_before, first_window_after, origin_after
from retrainer.statistics.metric import MetricState, fold, state_from_json, state_to_json
from retrainer.statistics.sample_ratio import Split
from retrainer.statistics.sums import ArmSums

Line = Mapping[str, Any]

_DAY = 86_400

UNSEEN_SECONDS = 10
"""A disturbance may be as much older than the look that found it."""


class AlteredLedger(ValueError):
    """The ledger is not what we wrote; the message says in what."""


@dataclass(frozen=True)
class State:
    """An experiment after some lines; times are seconds since the epoch, weights per cent.

    `applied` is None while the announced `weight` is not known to be effective. `following` is the number
    of the first window not yet counted, `last` the last one that was (as its line says). `at` is the time of the last
    line. `pace` is the mean number of units with an outcome per window, over a day's windows at most. `revisions` are
    what answered in the arms at the first weight, where the provider of traffic tells.
    """

    at: float = 0.0
    step: int = 0
    weight: int = 0
    applied: float | None = None
    origin: int | None = None
    stretches: tuple[Stretch, ...] = ()
    following: int = 0
    count: int = 0
    split: Split = Split()
    metrics: Mapping[str, MetricState] = field(default_factory=dict)
    pace: float = 0.0
    revisions: Mapping[str, str] = field(default_factory=dict)
    last: Mapping[str, Any] | None = None
    awaiting: str | None = None
    decision: Mapping[str, Any] | None = None

    def units(self, config: ExperimentConfig) -> int:
        """Units with an outcome that were counted, both arms."""
        return self.metrics.get(config.units_metric, MetricState()).units


def advance(config: ExperimentConfig, state: State, line: Line) -> State:
    """The state after one more line; raises AlteredLedger where the line cannot follow."""
    if state.decision is not None:
        raise AlteredLedger("a line follows the decision")
    try:
        return replace(_ADVANCE[line["kind"]](config, state, line), at=max(state.at, seconds(line["at"])))
    except AlteredLedger:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise AlteredLedger(f"a line cannot be read: {type(error).__name__}") from error


def seconds(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def iso(moment: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _weight(config: ExperimentConfig, state: State, line: Line) -> State:
    at = seconds(line["at"])
    return replace(
        state,
        weight=int(line["weightPercent"]),
        step=int(line["step"]),
        applied=None,
        stretches=_closed(config, state, at),
    )


def _applied(config: ExperimentConfig, state: State, line: Line) -> State:
    at = seconds(line["at"])
    state = replace(state, applied=at, revisions=state.revisions or dict(line.get("revisions") or {}))
    if state.weight == 0:
        return state
    origin = origin_after(at, config.settle_seconds) if state.origin is None else state.origin
    first = max(first_window_after(at, config.settle_seconds, origin, config.window_seconds), state.following)
    return replace(state, origin=origin, stretches=(*state.stretches, Stretch(state.weight, at, first)))


def _disturbed(config: ExperimentConfig, state: State, line: Line) -> State:
    since = seconds(line["at"]) - UNSEEN_SECONDS
    return replace(state, applied=None, stretches=_closed(config, state, since))


def _closed(config: ExperimentConfig, state: State, moment: float) -> tuple[Stretch, ...]:
    """The stretches, with the open one ending before `moment`; windows that are not yet counted remain due."""
    if state.origin is None or not state.stretches or state.stretches[-1].end is not None:
        return state.stretches
    last = replace(state.stretches[-1], end=end_before(moment, state.origin, config.window_seconds))
    return _due_stretches((*state.stretches[:-1], last), state.following)


def _due_stretches(stretches: tuple[Stretch, ...], following: int) -> tuple[Stretch, ...]:
    return tuple(s for s in stretches if s.end is None or s.end > max(s.first, following))


def _window(config: ExperimentConfig, state: State, line: Line) -> State:
    number, weight = int(line["window"]), int(line["weightPercent"])
    if number < state.following:
        raise AlteredLedger(f"window {number} is counted twice")
    arms = {
        name: (ArmSums.from_json(a["candidate"]), ArmSums.from_json(a["baseline"])) for name, a in line["arms"].items()
    }
    metrics = {
        plan.name: fold(plan, state.metrics.get(plan.name, MetricState()), weight / 100, *arms[plan.name])
        for plan in config.metrics
    }
    counted = arms[config.units_metric]
    candidate, baseline = (arm.exposures for arm in counted)
    units = metrics[config.units_metric].units - state.units(config)
    return replace(
        state,
        following=number + 1,
        count=state.count + 1,
        stretches=_due_stretches(state.stretches, number + 1),
        split=state.split.add(weight, candidate, candidate + baseline),
        metrics=metrics,
        pace=state.pace + (units - state.pace) / min(state.count + 1, max(1, _DAY // config.window_seconds)),
        last={
            "number": number,
            "start": line["start"],
            "end": line["end"],
            "weightPercent": weight,
            "candidateUnits": candidate,
            "baselineUnits": baseline,
        },
    )


def _awaiting(config: ExperimentConfig, state: State, line: Line) -> State:
    return replace(state, awaiting=str(line["reason"]))


def _decision(config: ExperimentConfig, state: State, line: Line) -> State:
    decision = {k: line[k] for k in ("verdict", "reason", "message")} | {"time": line["at"]}
    return replace(state, decision=decision, weight=int(line["weightPercent"]), applied=None, stretches=())


_ADVANCE = {
    "weight": _weight,
    "applied": _applied,
    "disturbed": _disturbed,
    "window": _window,
    "awaiting": _awaiting,
    "decision": _decision,
}


def to_json(state: State) -> dict[str, Any]:
    """The whole state as plain JSON; it survives the round trip bit for bit."""
    return {
        "at": state.at,
        "step": state.step,
        "weight": state.weight,
        "applied": state.applied,
        "origin": state.origin,
        "stretches": [[s.weight, s.applied, s.first, s.end] for s in state.stretches],
        "following": state.following,
        "count": state.count,
        "split": state.split.to_json(),
        "metrics": {name: state_to_json(m) for name, m in state.metrics.items()},
        "pace": state.pace,
        "revisions": dict(state.revisions),
        "last": state.last,
        "awaiting": state.awaiting,
        "decision": state.decision,
    }


def from_json(data: Mapping[str, Any]) -> State:
    """Inverse of `to_json`; raises AlteredLedger for anything else."""
    try:
        return State(
            at=data["at"],
            step=data["step"],
            weight=data["weight"],
            applied=data["applied"],
            origin=data["origin"],
            stretches=tuple(Stretch(*row) for row in data["stretches"]),
            following=data["following"],
            count=data["count"],
            split=Split.from_json(data["split"]),
            metrics={name: state_from_json(m) for name, m in data["metrics"].items()},
            pace=data["pace"],
            revisions=dict(data["revisions"]),
            last=data["last"],
            awaiting=data["awaiting"],
            decision=data["decision"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AlteredLedger(f"the state cannot be read: {type(error).__name__}") from error

"""What a window costs the operator after two weeks of five-minute windows, and how large its ledger is then."""

import json
import random
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from retrainer.ab_experiment.children import ledger_object, routing_for
from retrainer.ab_experiment.counting import Circumstances, count_window, due_windows, pending
from retrainer.ab_experiment.decide import decide
from retrainer.ab_experiment.input import ArmOutcomes, ExperimentInput, Readiness, Reading
from retrainer.ab_experiment.ledger import Ledger, append, begin, load, replay
from retrainer.ab_experiment.state import iso
from retrainer.ab_experiment.windows import Window
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.plan import Object, Plan
from retrainer.statistics.sums import ArmSums, binary

WINDOWS, SECONDS, WEIGHT = 4032, 300, 25
LARGEST_LEDGER = 512 * 1024
LARGEST_STATUS = 8 * 1024
SLOWEST_WINDOW = 0.020
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()
CHAT = {"sourceRef": {"name": "chat"}}
SPEC = {
    "baseline": {"serviceRef": {"name": "tutor-r3", "port": 8080}, "model": {"revision": 3}},
    "candidate": {"serviceRef": {"name": "tutor-r4", "port": 8080}, "model": {"revision": 4}},
    "traffic": {"configMap": {"name": "tutor-weights"}},
    "ramp": {"steps": [{"weightPercent": WEIGHT, "minimumUnits": 200}]},
    "windowSeconds": SECONDS,
    "maximumDurationSeconds": 1_300_000,
    "metrics": [
        {"name": "likes", "role": "Primary", "goal": "Increase",
         "source": {"feedback": {**CHAT, "signal": "thumbs", "value": "Positive"}}},
        {"name": "stars", "role": "Guardrail", "goal": "Increase", "margin": "0.0001",
         "source": {"feedback": {**CHAT, "signal": "stars", "value": "Score"}}},
        {"name": "errors", "role": "Guardrail", "goal": "Decrease", "margin": "0.001", "kind": "Events",
         "source": {"prometheus": {"url": "http://p:9090", "query": "errors", "unitsQuery": "requests"}}},
    ],
    "minimumDetectableEffect": "0.0001",
}  # fmt: skip
"""Effects so small that nothing is decided in two weeks."""


def test_a_window_after_two_weeks_is_cheap_and_the_ledger_small() -> None:
    spec = ABExperimentSpec.model_validate(SPEC)
    rng = random.Random(4)
    ledger = _two_weeks(spec, rng)
    size = sum(len(part.encode()) for part in ledger.data.values())
    durations, status = _passes(spec, ledger, rng)
    print(
        f"\nledger {size / 1024:.0f} KiB, status {status / 1024:.1f} KiB, a window takes "
        f"{statistics.median(durations) * 1e3:.1f} ms (median), {max(durations) * 1e3:.1f} ms (slowest of "
        f"{len(durations)})"
    )
    assert ledger.state.count == WINDOWS and ledger.state.decision is None
    assert replay(load({"data": ledger.data}, spec)) == ledger.state
    assert size <= LARGEST_LEDGER
    assert status < LARGEST_STATUS
    assert statistics.median(durations) < SLOWEST_WINDOW


def _two_weeks(spec: ABExperimentSpec, rng: random.Random) -> Ledger:
    ledger = begin(spec, {}, iso(START))
    line = {"kind": "weight", "at": iso(START), "weightPercent": WEIGHT, "step": 0, "reason": "Started"}
    ledger = append(append(ledger, line), {"kind": "applied", "at": iso(START + 1), "weightPercent": WEIGHT})
    origin = ledger.state.origin
    assert origin is not None
    for number in range(WINDOWS):
        start = origin + number * SECONDS
        window = Window(number, start, start + SECONDS, WEIGHT, START + 1)
        ledger, _ = count_window(ledger, window, _reading(rng), Circumstances(start + SECONDS + 1.0, None, None))
    return ledger


def _reading(rng: random.Random) -> Reading:
    """Some hundred requests, a third without a vote."""
    arms = [_arm(rng, n) for n in (rng.randint(20, 60), rng.randint(80, 160))]
    names = ("likes", "stars", "errors")
    return {name: ArmOutcomes(*(arm[i] for arm in arms)) for i, name in enumerate(names)}


def _arm(rng: random.Random, n: int) -> tuple[ArmSums, ArmSums, ArmSums]:
    voted = round(n * 2 / 3)
    likes = round(voted * rng.uniform(0.6, 0.8))
    mean = rng.uniform(0.4, 0.6)
    events = float(rng.random() < n / 200)
    return (
        binary(likes, voted, n - voted),
        ArmSums(voted, voted * mean, voted * (mean**2 + 1 / 12), n - voted),
        ArmSums(n, events, events),
    )


def _passes(spec: ABExperimentSpec, ledger: Ledger, rng: random.Random) -> tuple[list[float], int]:
    """Passes as the operator makes them, one window each; how long each took, and the size of the last status."""
    experiment: Object = {
        "metadata": {"name": "tutor-4", "namespace": "ml", "uid": "uid-1", "generation": 1},
        "spec": SPEC,
        "status": {"weightPercent": WEIGHT, "observedGeneration": 1, "startTime": "2026-11-21T12:00:00Z"},
    }
    routing = routing_for(experiment, spec, ())
    routed: dict[Any, Object | None] = dict.fromkeys(routing.refs)
    for obj in routing.change(routed, WEIGHT).applies:
        routed[routing.refs[0]] = obj
    stored = {**ledger_object(experiment, ledger, None)}
    stored["metadata"] = {**stored["metadata"], "resourceVersion": "1"}
    durations = []
    for _ in range(100):
        answer = json.dumps(stored)
        now = datetime.fromtimestamp(next(pending(load(stored, spec))).end + 1, UTC)
        reading = _reading(rng)
        begun = time.process_time()
        seen = ExperimentInput(
            obj=experiment,
            ledger=json.loads(answer),
            baseline=Readiness(True),
            candidate=Readiness(True),
            routed=routed,
        )
        windows = due_windows(experiment, seen.ledger, now)
        plan = decide(_with(seen, windows, reading), now)
        text = json.dumps([plan.status, *plan.replaces])
        durations.append(time.process_time() - begun)
        stored, experiment = _written(plan, experiment)
        assert text and len(windows) == 1
    return durations, len(json.dumps(experiment["status"]).encode())


def _with(seen: ExperimentInput, windows: tuple[Window, ...], reading: Reading) -> ExperimentInput:
    return replace(seen, readings={window.number: reading for window in windows})


def _written(plan: Plan, experiment: Object) -> tuple[Object, Object]:
    assert plan.status is not None and len(plan.replaces) == 1, plan.status
    (stored,) = plan.replaces
    return stored, {**experiment, "status": plan.status}

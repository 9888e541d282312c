"""A small world for experiments: an API server with versions, a gateway, people who vote, and a clock."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from retrainer.ab_experiment.children import backends, ledger_name
from retrainer.ab_experiment.counting import due_windows
from retrainer.ab_experiment.decide import decide
from retrainer.ab_experiment.input import ArmOutcomes, ExperimentInput, Readiness
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Event, Plan
from retrainer.routing import httproute
from retrainer.statistics.sums import ArmSums, binary

START = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
PARENT = ParentRef(name="public")


class Killed(Exception):
    """The operator was killed between two API writes."""


def spec(**overrides: Any) -> dict[str, Any]:
    """The demo's experiment; keywords replace top-level fields."""

    def feedback(value: str) -> dict[str, Any]:
        return {"feedback": {"sourceRef": {"name": "chat"}, "signal": "thumbs", "value": value}}

    base = {
        "baseline": {"serviceRef": {"name": "tutor-r3", "port": 8080}, "model": {"revision": 3}},
        "candidate": {"serviceRef": {"name": "tutor-r4", "port": 8080}, "model": {"revision": 4}},
        "traffic": {"policyRef": {"name": "tutor"}},
        "ramp": {
            "steps": [
                {"weightPercent": 10, "minimumUnits": 40},
                {"weightPercent": 25, "minimumUnits": 60},
                {"weightPercent": 50, "minimumUnits": 200},
            ]
        },
        "windowSeconds": 5,
        "maturitySeconds": 2,
        "metrics": [
            {
                "name": "dislikes",
                "role": "Guardrail",
                "goal": "Decrease",
                "margin": "0.05",
                "source": feedback("Negative"),
            },
            {"name": "likes", "role": "Primary", "goal": "Increase", "source": feedback("Positive")},
        ],
        "minimumDetectableEffect": "0.10",
        "minimumDurationSeconds": 30,
        "maximumDurationSeconds": 600,
    }
    return {**base, **overrides}


STANDALONE = {"httpRoute": {"name": "tutor", "parentRefs": [{"name": "public"}]}}


@dataclass
class World:
    """Everything outside the operator; `pass_once` is one pass of the operator over the experiment."""

    spec: dict[str, Any] = field(default_factory=spec)
    baseline_rate: float = 0.70
    candidate_rate: float = 0.88
    requests_per_second: int = 30
    missing_share: float = 0.0
    split_odds: float = 1.0
    seed: int = 1
    now: datetime = START
    baseline: Readiness = Readiness(True)
    candidate: Readiness = Readiness(True)
    source_down: bool = False
    writes: int = 0
    kill_before_write: int | None = None

    def __post_init__(self) -> None:
        meta = {"name": "tutor-4", "namespace": "ml", "uid": "uid-1", "generation": 1, "resourceVersion": "1"}
        self.experiment: dict[str, Any] = {"metadata": meta, "spec": self.spec}
        self.ledger: dict[str, Any] | None = None
        self.route: dict[str, Any] | None = None
        self.version = 1
        self.events: list[Event] = []
        self.votes: list[tuple[float, bool, int | None]] = []
        self.rng = random.Random(self.seed)
        self.policy_wrote = START
        self.applied_routes: list[int] = []

    # --- the operator -------------------------------------------------------------------------------------

    @property
    def parsed(self) -> ABExperimentSpec:
        return ABExperimentSpec.model_validate(self.experiment["spec"])

    @property
    def status(self) -> dict[str, Any]:
        return self.experiment.get("status") or {}

    def look(self) -> ExperimentInput:
        windows = due_windows(self.experiment, self.ledger, self.now)
        readings = {} if self.source_down else {w.number: self._read(w.start, w.end) for w in windows}
        return ExperimentInput(
            obj=copy.deepcopy(self.experiment),
            ledger=copy.deepcopy(self.ledger),
            baseline=self.baseline,
            candidate=self.candidate,
            route=copy.deepcopy(self.route),
            parent_refs=(PARENT,),
            rates={"likes": 0.7, "dislikes": 0.3},
            readings=readings,
            source_problem="the source does not answer" if self.source_down and windows else None,
        )

    def pass_once(self) -> Plan:
        """Observe, decide, carry out in the order of `kube.carry_out`; raises Killed where that was asked for."""
        plan = decide(self.look(), self.now)
        status_now = [lambda: self._put_status(plan.status)] if plan.status != self.experiment.get("status") else []
        writes: list[Any] = [
            *(status_now if plan.status_first else []),
            *(lambda o=o: self._create(o) for o in plan.creates),
            *(lambda o=o: self._apply_route(o) for o in plan.applies),
            *(lambda o=o: self._replace_ledger(o) for o in plan.replaces),
            *([] if plan.status_first else status_now),
        ]
        for write in writes:
            if self.writes == self.kill_before_write:
                self.kill_before_write = None
                raise Killed
            self.writes += 1
            write()
        self.events += plan.events
        return plan

    def _next_version(self) -> str:
        self.version += 1
        return str(self.version)

    def _put_status(self, status: dict[str, Any] | None) -> None:
        old = self.status.get("decision")
        assert status is not None
        assert old is None or status["decision"] == old, "a decision is final"
        self.experiment["status"] = copy.deepcopy(status)
        self.experiment["metadata"]["resourceVersion"] = self._next_version()

    def _create(self, obj: dict[str, Any]) -> None:
        assert obj["kind"] == "ConfigMap"
        if self.ledger is None:
            self.ledger = copy.deepcopy(obj)
            self.ledger["metadata"]["resourceVersion"] = self._next_version()

    def _replace_ledger(self, obj: dict[str, Any]) -> None:
        assert self.ledger is not None
        assert obj["metadata"]["resourceVersion"] == self.ledger["metadata"]["resourceVersion"]
        self.ledger = copy.deepcopy(obj)
        self.ledger["metadata"]["resourceVersion"] = self._next_version()

    def _apply_route(self, obj: dict[str, Any]) -> None:
        generation = 1 if self.route is None else self.route["metadata"]["generation"] + 1
        self.route = copy.deepcopy(obj)
        self.route["metadata"]["generation"] = generation
        self.applied_routes.append(self.routed_weight)

    # --- policy, gateway, people --------------------------------------------------------------------------

    @property
    def routed_weight(self) -> int:
        """What the route really sends to the candidate."""
        refs = self.route["spec"]["rules"][0]["backendRefs"] if self.route else []
        return sum(ref["weight"] for ref in refs if ref["name"] == "tutor-r4")

    def policy_writes_route(self) -> None:
        """In a policy: its route follows the status of the experiment."""
        weight = self.status.get("weightPercent") or 0
        if self.route is None or self.routed_weight != weight:
            generation = 1 if self.route is None else self.route["metadata"]["generation"] + 1
            self.route = httproute.build("tutor", "ml", parent_refs=(PARENT,), backends=backends(self.parsed, weight))
            self.route["metadata"]["generation"] = generation

    def gateway_accepts(self) -> None:
        if self.route is not None:
            conditions = [
                {"type": t, "status": "True", "observedGeneration": self.route["metadata"]["generation"]}
                for t in ("Accepted", "ResolvedRefs")
            ]
            self.route["status"] = {"parents": [{"parentRef": {"name": "public"}, "conditions": conditions}]}

    def wait(self, seconds: float) -> None:
        """People send requests and vote; the gateway splits them by the route as it is."""
        step = 1 / self.requests_per_second
        moment, end = self.now.timestamp(), self.now.timestamp() + seconds
        share = self.routed_weight / 100
        odds = self.split_odds * share / (1 - share) if share < 1 else 1e9
        while moment < end:
            candidate = self.rng.random() < odds / (1 + odds)
            rate = self.candidate_rate if candidate else self.baseline_rate
            vote = None if self.rng.random() < self.missing_share else int(self.rng.random() < rate)
            self.votes.append((moment, candidate, vote))
            moment += step
        self.now += timedelta(seconds=seconds)

    def _read(self, start: float, end: float) -> dict[str, ArmOutcomes]:
        def sums(candidate: bool, value: int) -> ArmSums:
            votes = [v for t, c, v in self.votes if start <= t < end and c is candidate]
            given = [v for v in votes if v is not None]
            return binary(sum(v == value for v in given), len(given), len(votes) - len(given))

        return {
            name: ArmOutcomes(sums(True, value), sums(False, value)) for name, value in (("likes", 1), ("dislikes", 0))
        }

    # --- time ---------------------------------------------------------------------------------------------

    def tick(self, seconds: float = 1.0) -> None:
        """One pass (a killed operator starts again), then everybody else, then time."""
        try:
            self.pass_once()
        except Killed:
            self.pass_once()
        if "policyRef" in self.experiment["spec"]["traffic"]:
            self.policy_writes_route()
        self.gateway_accepts()
        self.wait(seconds)

    def run(self, seconds: float = 700, step: float = 2.5) -> World:
        """Until there is a decision, or the time is over."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end and not self.status.get("decision"):
            self.tick(step)
        return self

    def request(self, text: str) -> None:
        self.experiment["metadata"].setdefault("annotations", {})["retrainer.dev/request"] = text

    def condition(self, type_: str) -> dict[str, Any]:
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def with_spec(self, **overrides: Any) -> World:
        return replace(self, spec=spec(**overrides))

    @property
    def ledger_key(self) -> str:
        return ledger_name(self.experiment)

    @property
    def lines(self) -> list[str]:
        assert self.ledger is not None
        return [line for line in self.ledger["data"]["lines"].split("\n") if line]

"""A small world for experiments: an API server with versions, a gateway, people who vote, and a clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from routing_contract import kserve_acts
from unit.ab_experiment.experiment_people import People

from retrainer.ab_experiment.children import ledger_name, routing_for
from retrainer.ab_experiment.counting import due_windows
from retrainer.ab_experiment.decide import decide
from retrainer.ab_experiment.input import ArmOutcomes, ExperimentInput, Readiness
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.plan import Event, Plan, Ref
from retrainer.routing import httproute
from retrainer.routing.httproute import Backend
from retrainer.routing.provider import Routing

START = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
PARENT = ParentRef(name="public")


class Killed(Exception):
    """The operator was killed between two API writes."""


class Conflicts(Exception):
    """Somebody else wrote the object in the meantime."""


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


POLICY = {"policyRef": {"name": "tutor"}}
STANDALONE = {"httpRoute": {"name": "tutor", "parentRefs": [{"name": "public"}]}}
PUBLISHED = {"configMap": {"name": "tutor-assignment"}}
ISTIO = {"virtualService": {"name": "tutor", "hosts": ["tutor.example.com"]}}


def copied(obj: Any) -> Any:
    """Another of the same plain data; several times faster than `copy.deepcopy`."""
    if isinstance(obj, dict):
        return {key: copied(value) for key, value in obj.items()}
    return [copied(value) for value in obj] if isinstance(obj, list) else obj


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
    clock_wrong: float = 0.0
    """What our clock is ahead of the time, in seconds."""
    server_wrong: float | None = 0.0
    """The same of the API server's clock; None: its answers do not tell."""
    people: People | None = None
    writes: int = 0
    kill_before_write: int | None = None

    def __post_init__(self) -> None:
        meta = {"name": "tutor-4", "namespace": "ml", "uid": "uid-1", "generation": 1, "resourceVersion": "1"}
        self.experiment: dict[str, Any] = {"metadata": meta, "spec": self.spec}
        self.ledger: dict[str, Any] | None = None
        self.objects: dict[Ref, dict[str, Any]] = {}
        self.version = 1
        self.events: list[Event] = []
        self.applied_routes: list[int] = []
        if self.people is None:
            rates = (self.baseline_rate, self.candidate_rate)
            self.people = People(self.seed, rates, self.missing_share, self.split_odds, rich=False)

    def fork(self) -> Self:
        """The same world, from here on another."""
        assert self.people is not None
        other = replace(self, people=self.people.fork())
        other.experiment, other.ledger = copied(self.experiment), copied(self.ledger)
        other.objects = {ref: copied(obj) for ref, obj in self.objects.items()}
        other.version, other.events = self.version, list(self.events)
        other.applied_routes = list(self.applied_routes)
        return other

    # --- the operator -------------------------------------------------------------------------------------

    @property
    def parsed(self) -> ABExperimentSpec:
        return ABExperimentSpec.model_validate(self.experiment["spec"])

    @property
    def status(self) -> dict[str, Any]:
        return self.experiment.get("status") or {}

    @property
    def routing(self) -> Routing:
        return routing_for(self.experiment, self.parsed, (PARENT,))

    @property
    def clock(self) -> datetime:
        """What the operator's clock says."""
        return self.now + timedelta(seconds=self.clock_wrong)

    @property
    def clock_ahead(self) -> float | None:
        """Our clock against the API server's."""
        return None if self.server_wrong is None else self.clock_wrong - self.server_wrong

    def look(self) -> ExperimentInput:
        windows = due_windows(self.experiment, self.ledger, self.clock, self.clock_ahead)
        readings = {} if self.source_down else {w.number: self.read(w.start, w.end) for w in windows}
        return ExperimentInput(
            obj=copied(self.experiment),
            ledger=copied(self.ledger),
            baseline=self.baseline,
            candidate=self.candidate,
            routed={ref: copied(self.objects.get(ref)) for ref in self.routing.refs},
            parent_refs=(PARENT,),
            rates={"likes": 0.7, "dislikes": 0.3, "errors": 0.05},
            readings=readings,
            source_problem="the source does not answer" if self.source_down and windows else None,
            clock_ahead=self.clock_ahead,
        )

    def pass_once(self) -> Plan:
        """Observe, decide, carry out in the order of `kube.carry_out`; raises Killed where that was asked for."""
        plan = decide(self.look(), self.clock)
        self.carry_out(plan)
        return plan

    def carry_out(self, plan: Plan) -> None:
        """The writes of a plan, one after the other."""
        status_now = [lambda: self._put_status(plan.status)] if plan.status != self.experiment.get("status") else []
        writes: list[Any] = [
            *(status_now if plan.status_first else []),
            *(lambda o=o: self._create(o) for o in plan.creates),
            *(lambda o=o: self._apply_route(o) for o in plan.applies),
            *(lambda o=o: self._replace_ledger(o) for o in plan.replaces),
            *([] if plan.status_first else status_now),
            *(lambda r=r, p=p: self._merge(r, p) for r, p in plan.merges),
        ]
        for write in writes:
            if self.writes == self.kill_before_write:
                self.kill_before_write = None
                raise Killed
            self.writes += 1
            write()
        self.events += plan.events

    def _next_version(self) -> str:
        self.version += 1
        return str(self.version)

    def _put_status(self, status: dict[str, Any] | None) -> None:
        old = self.status.get("decision")
        assert status is not None
        assert old is None or status["decision"] == old, "a decision is final"
        self.experiment["status"] = copied(status)
        self.experiment["metadata"]["resourceVersion"] = self._next_version()

    def _create(self, obj: dict[str, Any]) -> None:
        assert obj["kind"] == "ConfigMap"
        if self.ledger is None:
            self.ledger = copied(obj)
            self.ledger["metadata"]["resourceVersion"] = self._next_version()

    def _replace_ledger(self, obj: dict[str, Any]) -> None:
        if self.ledger is None or obj["metadata"]["resourceVersion"] != self.ledger["metadata"]["resourceVersion"]:
            raise Conflicts
        self.ledger = copied(obj)
        self.ledger["metadata"]["resourceVersion"] = self._next_version()

    def _apply_route(self, obj: dict[str, Any]) -> None:
        self._put(obj)
        self.applied_routes.append(self.routed_weight)

    def _merge(self, ref: Ref, patch: dict[str, Any]) -> None:
        service = self.objects[ref]
        assert patch["metadata"]["uid"] == service["metadata"]["uid"]
        service["spec"]["predictor"].update(patch["spec"]["predictor"])
        self.applied_routes.append(service["spec"]["predictor"]["canaryTrafficPercent"])

    def _put(self, obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        ref = Ref(obj["apiVersion"], obj["kind"], "ml", meta["name"])
        before = self.objects.get(ref)
        self.objects[ref] = copied(obj)
        self.objects[ref]["metadata"].setdefault("uid", f"uid of {meta['name']}")
        self.objects[ref]["metadata"]["generation"] = 1 if before is None else before["metadata"]["generation"] + 1

    # --- policy, gateway, people --------------------------------------------------------------------------

    @property
    def route(self) -> dict[str, Any] | None:
        return self.objects.get(Ref(httproute.API_VERSION, httproute.KIND, "ml", "tutor"))

    @route.setter
    def route(self, obj: dict[str, Any]) -> None:
        self.objects[Ref(httproute.API_VERSION, httproute.KIND, "ml", "tutor")] = obj

    @property
    def routed_weight(self) -> int:
        """What really goes to the candidate."""
        for obj in self.objects.values():
            if obj["kind"] == "HTTPRoute":
                refs = obj["spec"]["rules"][-1]["backendRefs"]
                return sum(ref["weight"] for ref in refs if ref["name"] == "tutor-r4")
            if obj["kind"] == "VirtualService":
                routes = obj["spec"]["http"][-1]["route"]
                return sum(r["weight"] for r in routes if r["destination"]["host"] == "tutor-r4")
            if obj["kind"] == "InferenceService":
                traffic = obj["status"]["components"]["predictor"]["traffic"]
                return sum(t["percent"] for t in traffic if t["revisionName"] == "tutor-predictor-00002")
        for obj in self.objects.values():
            if obj["kind"] == "ConfigMap":
                return int(obj["data"]["weightPercent"])
        return 0

    def policy_writes_route(self) -> None:
        """In a policy: its route follows the status of the experiment."""
        weight = self.status.get("weightPercent") or 0
        if self.route is None or self.routed_weight != weight:
            baseline = Backend("tutor-r3", 8080, 100 - weight, "baseline")
            backends = [baseline, Backend("tutor-r4", 8080, weight, "candidate")]
            by_header = self.parsed.assignment is not None and self.parsed.assignment.unit == "User"
            self._put(httproute.build("tutor", "ml", parent_refs=(PARENT,), backends=backends, by_header=by_header))

    def gateway_accepts(self) -> None:
        for obj in self.objects.values():
            if obj["kind"] == "InferenceService":
                kserve_acts(obj)
        if self.route is not None:
            conditions = [
                {"type": t, "status": "True", "observedGeneration": self.route["metadata"]["generation"]}
                for t in ("Accepted", "ResolvedRefs")
            ]
            self.route["status"] = {"parents": [{"parentRef": {"name": "public"}, "conditions": conditions}]}

    def wait(self, seconds: float) -> None:
        """People send requests and vote; the gateway splits them by the route as it is."""
        assert self.people is not None
        start = self.now.timestamp()
        self.people.votes = (self.baseline_rate, self.candidate_rate)
        self.people.send(start, start + seconds, self.requests_per_second, self.routed_weight)
        self.now += timedelta(seconds=seconds)

    def read(self, start: float, end: float) -> dict[str, ArmOutcomes]:
        assert self.people is not None
        return self.people.read(self.parsed, start, end)

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

    @property
    def ledger_key(self) -> str:
        return ledger_name(self.experiment)

    @property
    def lines(self) -> list[str]:
        assert self.ledger is not None
        return [line for line in self.ledger["data"]["lines"].split("\n") if line]

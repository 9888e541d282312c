"""A tiny in-memory world for tests of a policy's decisions: objects by kind and name, writes one by one.

It does what the API server and `carry_out` do, as far as a decision can tell: POST adopts what is ours, PUT
checks resourceVersion, deletion checks the uid. `Crash` ends a pass after any single write.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.retrain_policy import RetrainPolicyStatus
from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.plan import Event, Plan
from retrainer.retrain_policy import children
from retrainer.retrain_policy.decide import decide
from retrainer.retrain_policy.input import (
    CountRead,
    CountWanted,
    PolicyInput,
    ReadFailed,
    Reading,
    UnitDaysRead,
    Wanted,
)
from retrainer.retrain_policy.wanted import source_names, wanted_readings

Object = dict[str, Any]
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
INITIAL = {"uri": "file:///models/base", "digest": f"sha256:{'0' * 64}", "trainedThrough": "2026-11-01T00:00:00Z"}


def policy(**changes: Any) -> Object:
    """A policy with serving, an A/B test and one trigger; `changes` replace fields of its spec."""
    spec: Object = {
        "model": {"name": "tutor", "initial": INITIAL},
        "sourceRefs": [{"name": "thumbs"}],
        "triggers": [{"name": "volume", "newSamples": {"atLeast": 100}}],
        "cooldownSeconds": 3600,
        "training": {
            "data": {"sourceRefs": [{"name": "thumbs"}], "windowDays": 7},
            "method": {"xgboost": {"targets": [{"name": "digit"}]}},
            "output": {"uri": "file:///out/"},
        },
        "promotion": {
            "method": "ABTest",
            "experiment": {
                "ramp": {"steps": [{"weightPercent": 10}, {"weightPercent": 50}]},
                "metrics": [
                    {
                        "name": "likes",
                        "role": "Primary",
                        "goal": "Increase",
                        "source": {
                            "feedback": {"sourceRef": {"name": "thumbs"}, "signal": "vote", "value": "Positive"}
                        },
                    }
                ],
            },
        },
        "serving": {
            "podTemplateRef": {"name": "server"},
            "port": 8080,
            "httpRoute": {"parentRefs": [{"name": "public"}]},
            "progressDeadlineSeconds": 600,
            "retireAfterSeconds": 60,
        },
    }
    spec.update(changes)
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "RetrainPolicy",
        "metadata": {"name": "tutor", "namespace": "chat", "uid": "policy-uid", "generation": 1},
        "spec": {k: v for k, v in spec.items() if v is not None},
    }


def source(name: str = "thumbs", trusted: str = "True", ready: str = "True") -> Object:
    """A FeedbackSource that was read."""
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "FeedbackSource",
        "metadata": {"name": name, "namespace": "chat", "uid": f"source-{name}"},
        "spec": {
            "record": {"id": "id", "time": "at", "model": "model"},
            "signals": [{"name": "vote", "from": "v", "thumbs": {"positive": ["1"], "negative": ["-1"]}}],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": ready}, {"type": "DataTrusted", "status": trusted}],
            "summary": {"firstTime": "2026-11-17T08:00:00Z"},
        },
    }


def pod_template(image: str = "server:1") -> Object:
    """A PodTemplate as Argo CD would leave it."""
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "server", "namespace": "chat", "uid": "template"},
        "template": {
            "metadata": {"labels": {"app": "tutor", "app.kubernetes.io/instance": "argo"}},
            "spec": {"containers": [{"name": "server", "image": image, "env": [{"name": "LOG", "value": "info"}]}]},
        },
    }


class Crash(Exception):
    """The process died right after a write."""


class World:
    """One namespace with one policy; `now` moves only when told to."""

    def __init__(self, obj: Object | None = None) -> None:
        self.now = NOW
        self.objects: dict[tuple[str, str], Object] = {}
        self.events: list[Event] = []
        self.writes = 0
        self.begun = 0
        """Writes before a story's own part; what led to it is another story."""
        self.crash_at: int | None = None
        self.count = 0
        self.unit_days: Callable[[Wanted], tuple[Any, ...]] = lambda _: ()
        self.unready: set[str] = set()
        self.reads_fail: str | None = None
        self.record_intact = True
        self.created: Counter[tuple[str, str]] = Counter()
        self._version = 0
        for each in (obj or policy(), source(), pod_template()):
            self.put(each)

    # objects

    def put(self, obj: Object) -> Object:
        """Store an object as the API server would."""
        obj = copy.deepcopy(obj)
        key = (obj["kind"], obj["metadata"]["name"])
        self._version += 1
        meta = obj["metadata"]
        before = self.objects.get(key)
        default_uid = before["metadata"]["uid"] if before else f"{key[0]}-{key[1]}-{self._version}"
        meta.setdefault("uid", default_uid)
        created = before["metadata"]["creationTimestamp"] if before else _time(self.now)
        meta.setdefault("creationTimestamp", created)
        meta["resourceVersion"] = str(self._version)
        meta.setdefault("generation", 1)
        self.objects[key] = obj
        return obj

    def get(self, kind: str, name: str) -> Object | None:
        return self.objects.get((kind, name))

    def need(self, kind: str, name: str) -> Object:
        return self.objects[kind, name]

    def names(self, kind: str) -> set[str]:
        return {name for k, name in self.objects if k == kind}

    @property
    def policy(self) -> Object:
        return self.objects["RetrainPolicy", "tutor"]

    @property
    def status(self) -> Object:
        return dict(self.policy.get("status") or {})

    def condition(self, kind: str) -> Object:
        return next((c for c in self.status.get("conditions", []) if c["type"] == kind), {})

    def weights(self) -> dict[str, int]:
        """Weight by Service, as the route says."""
        route = self.need("HTTPRoute", "tutor")
        return {b["name"]: b["weight"] for b in route["spec"]["rules"][0]["backendRefs"]}

    def request(self, text: str) -> None:
        self.policy["metadata"].setdefault("annotations", {})["retrainer.dev/request"] = text

    # passes

    def observe(self) -> PolicyInput:
        obj = self.policy
        sources = {n: self.need("FeedbackSource", n) for n in source_names(obj) if self.get("FeedbackSource", n)}
        wanted = wanted_readings(obj, sources, self.now)
        return PolicyInput(
            obj=obj,
            champion=self.get("ConfigMap", "tutor-champion"),
            runs=self._all("TrainingRun"),
            experiments=self._all("ABExperiment"),
            deployments=self._all("Deployment"),
            services=self._all("Service"),
            ready_services=frozenset(self.names("Service") - self.unready),
            route=self.get("HTTPRoute", "tutor"),
            pod_template=self.get("PodTemplate", "server"),
            sources=sources,
            readings=tuple(r for w in wanted if (r := self._read(w)) is not None),
            default_trainer_image="trainer:test",
        )

    def step(self) -> Plan:
        """One pass; raises Crash when its time has come."""
        plan = decide(self.observe(), self.now)
        self.carry_out(plan)
        return plan

    def settle(self, passes: int = 30) -> Plan:
        """Pass after pass until one changes nothing."""
        for _ in range(passes):
            plan = self.step()
            if not changes_something(plan):
                return plan
        raise AssertionError(f"not settled: {plan}")

    def carry_out(self, plan: Plan) -> None:
        for obj in plan.creates:
            self._create(obj)
        for obj in plan.applies:
            self._apply(obj)
        for obj in plan.replaces:
            found = self.need(obj["kind"], obj["metadata"]["name"])
            assert found["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"], "conflict"
            self.put({**obj, "metadata": {**obj["metadata"], "uid": found["metadata"]["uid"]}})
            self._written()
        if plan.status is not None:
            self._check_status(plan.status)
            self.policy["status"] = copy.deepcopy(plan.status)
            self._written()
        for ref, patch in plan.merges:
            meta = self.need(ref.kind, ref.name)["metadata"]
            meta.setdefault("annotations", {}).update(patch["metadata"]["annotations"])
            self._written()
        for ref in plan.deletes:
            found = self.get(ref.kind, ref.name)
            if found is not None and found["metadata"]["uid"] == ref.uid:
                del self.objects[ref.kind, ref.name]
            self._written()
        self.events += plan.events

    # what others do

    def play(self, passes: int, seconds: int = 5) -> World:
        """Passes, everybody else and time take turns."""
        for _ in range(passes):
            self._pass()
            self.others()
            self.now += timedelta(seconds=seconds)
        return self

    def rest(self, horizon: float = 120) -> World:
        """Play until nothing changes any more and the next look is further away than the horizon (seconds)."""
        for _ in range(60):
            plan = self._pass()
            before = json.dumps(list(self.objects.values()), sort_keys=True)
            self.others()
            moved = changes_something(plan) or before != json.dumps(list(self.objects.values()), sort_keys=True)
            if not moved and (plan.requeue_after is None or plan.requeue_after > horizon):
                return self
            self.now += timedelta(seconds=5 if moved else plan.requeue_after or 5)
        raise AssertionError(f"does not come to rest: {self.status}")

    def _pass(self) -> Plan:
        """One pass; after a crash the operator is started again and begins from what is."""
        try:
            return self.step()
        except Crash:
            self.crash_at = None
            return self.step()

    def until(self, reached: Callable[[World], Any], passes: int = 40, seconds: int = 5) -> World:
        """Play until the condition holds."""
        for _ in range(passes):
            if reached(self):
                return self
            self.play(1, seconds)
        raise AssertionError(f"never reached: {self.status}")

    def others(self) -> None:
        """Everybody else does their next thing: gateways, Kubernetes, trainers, the experiment."""
        self.roll_out()
        for run in self._live("TrainingRun"):
            if not run.get("status"):
                self.finish_run(run["metadata"]["name"])
        for experiment in self._live("ABExperiment"):
            self._experiment_moves(experiment)

    def roll_out(self, *but: str) -> None:
        """Every Deployment becomes available and the gateway accepts the route."""
        for deployment in self._live("Deployment"):
            if deployment["metadata"]["name"] not in but:
                deployment["status"] = {
                    "observedGeneration": deployment["metadata"]["generation"],
                    "updatedReplicas": 1,
                    "conditions": [{"type": "Available", "status": "True"}],
                }
        for route in self._live("HTTPRoute"):
            said = [
                {"type": t, "status": "True", "observedGeneration": route["metadata"]["generation"]}
                for t in ("Accepted", "ResolvedRefs")
            ]
            parent = {"parentRef": {"name": "public"}, "conditions": said}
            route["status"] = {"parents": [parent]}

    def finish_run(self, name: str, reason: str = "Completed", succeeded: str = "True", artifact: bool = True) -> None:
        """The run ends."""
        run = self.need("TrainingRun", name)
        number = children.revision_of(run)
        status: Object = {
            "completionTime": _time(self.now),
            "conditions": [
                {"type": "Succeeded", "status": succeeded, "reason": reason, "lastTransitionTime": _time(self.now)}
            ],
            "dataset": {
                "uri": f"file:///out/snapshots/{number}", "digest": digest(1000 + (number or 0)), "rows": 500,
                "units": 100, "trainRows": 300, "validationRows": 50, "evaluationRows": 100,
                "trainedThrough": _time(self.now - timedelta(days=1)),
            },
            "metrics": [{"name": "accuracy", "candidate": "0.9"}],
        }
        if artifact:
            status["artifact"] = {"uri": f"file:///out/{number}", "digest": digest(number or 0), "sizeBytes": 1}
        run["status"] = status

    def decide_experiment(self, name: str, verdict: str, reason: str) -> None:
        """The experiment is over."""
        status = self.need("ABExperiment", name).setdefault("status", {})
        status["weightPercent"] = 100 if verdict == "PromoteCandidate" else 0
        status["decision"] = {"verdict": verdict, "reason": reason, "message": "m", "time": _time(self.now)}

    def _experiment_moves(self, experiment: Object) -> None:
        status = experiment.setdefault("status", {})
        annotations = experiment["metadata"].get("annotations") or {}
        asked = annotations.get("retrainer.dev/request", "")
        if status.get("decision"):
            return
        if asked.startswith("abort/") and status.get("observedGeneration"):
            self.decide_experiment(experiment["metadata"]["name"], "KeepBaseline", "ManualAbort")
        elif status.get("weightPercent") is None:
            status.update(observedGeneration=1, weightPercent=10)
        elif status["weightPercent"] == 10:
            status["weightPercent"] = 50
        else:
            self.decide_experiment(experiment["metadata"]["name"], "PromoteCandidate", "CandidateBetter")

    # the API server

    def _create(self, obj: Object) -> None:
        found = self.get(obj["kind"], obj["metadata"]["name"])
        if found is None:
            _check_spec(obj)
            self.created[obj["kind"], obj["metadata"]["name"]] += 1
            self.put(obj)
        else:
            assert _controller(found) == _controller(obj), "took over an object that is not ours"
        self._written()

    def _apply(self, obj: Object) -> None:
        found = self.get(obj["kind"], obj["metadata"]["name"])
        if found is None:
            self.put(obj)
        else:
            assert _controller(found) == _controller(obj), "took over an object that is not ours"
            changed = found["spec"] != obj["spec"]
            meta = {**found["metadata"], **obj["metadata"], "generation": found["metadata"]["generation"] + changed}
            # A gateway or controller that has not looked again says what it said before.
            self.put({**found, "metadata": meta, "spec": obj["spec"]})
        self._written()

    def _check_status(self, status: Object) -> None:
        """The schema admits it, and the champion was recorded before."""
        RetrainPolicyStatus.model_validate(status)
        record = self.get("ConfigMap", "tutor-champion")
        if record is not None and children.labels("tutor").items() <= record["metadata"].get("labels", {}).items():
            recorded = json.loads(record["data"]["champion.json"])["champion"] if self.record_intact else None
            assert recorded is None or recorded == status.get("champion"), "status is ahead of the record"

    def _written(self) -> None:
        self.writes += 1
        if self.writes == self.crash_at:
            raise Crash

    def _read(self, wanted: Wanted) -> Reading | None:
        if self.reads_fail:
            return ReadFailed(wanted, self.reads_fail)
        if isinstance(wanted, CountWanted):
            return CountRead(wanted, self.count)
        return UnitDaysRead(wanted, self.unit_days(wanted))

    def _all(self, kind: str) -> dict[str, Object]:
        return {name: obj for (k, name), obj in self.objects.items() if k == kind}

    def _live(self, kind: str) -> list[Object]:
        return [obj for (k, _), obj in self.objects.items() if k == kind]


def _check_spec(obj: Object) -> None:
    """The CRD would admit it."""
    model = {"TrainingRun": TrainingRunSpec, "ABExperiment": ABExperimentSpec}.get(obj["kind"])
    if model is not None:
        model.model_validate(obj["spec"])


def changes_something(plan: Plan) -> bool:
    """Whether the plan writes anything."""
    return bool(plan.status or plan.creates or plan.applies or plan.replaces or plan.merges or plan.deletes)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _controller(obj: Object) -> str | None:
    return next((r["uid"] for r in obj["metadata"].get("ownerReferences") or () if r.get("controller")), None)

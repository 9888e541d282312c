"""Training runs, Jobs and pods as the API server would show them, and a small world in which plans are carried out."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from retrainer.api.v1alpha1.run_contract import ProgressLine
from retrainer.plan import Event, Object, Plan
from retrainer.training_run.decide import decide
from retrainer.training_run.input import (
    PodFacts,
    RunInput,
    SecretFacts,
    SourceFacts,
    Stage,
    attempt_of,
    pod_facts,
    secret_facts,
    secret_of,
)
from retrainer.training_run.job import job_name

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
UID = "run-uid"
SNAPSHOT = "sha256:" + "a" * 64
ARTIFACT = "sha256:" + "b" * 64
CHAMPION = "sha256:" + "c" * 64
IMAGE = "trainer@sha256:" + "d" * 64


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def spec(**changes: Any) -> Object:
    """A spec that can be carried out: a postgres source, output on a claim, two gates."""
    base: Object = {
        "model": "tutor",
        "strategy": "Full",
        "champion": {
            "uri": "file:///models/tutor/artifacts/c/",
            "digest": CHAMPION,
            "trainedThrough": "2026-10-01T00:00:00Z",
        },
        "data": {
            "sourceRefs": [{"name": "thumbs"}],
            "window": {"from": "2026-10-01T00:00:00Z", "to": "2026-11-21T00:00:00Z"},
        },
        "method": {"xgboost": {"targets": [{"name": "grade"}]}},
        "gates": [
            {"metric": "accuracy", "atLeast": "0.75"},
            {"metric": "accuracy", "versusChampion": {"regressionAtMost": "0.05"}},
        ],
        "job": {
            "image": IMAGE,
            "resources": {"cpu": "4", "memory": "16Gi", "gpu": 1},
            "volumeClaims": [{"claimName": "models", "mountPath": "/models"}],
        },
        "output": {"uri": "file:///models/tutor/"},
    }
    return {**base, **changes}


def run(status: Object | None = None, name: str = "tutor-4", request: str | None = None, **changes: Any) -> Object:
    """A TrainingRun; further arguments replace fields of the spec."""
    meta: Object = {
        "name": name,
        "namespace": "chat",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "1",
        "labels": {"app.kubernetes.io/instance": "argo"},
        "annotations": {"argocd.argoproj.io/tracking-id": "x"},
    }
    if request:
        meta["annotations"]["retrainer.dev/request"] = request
    obj: Object = {"apiVersion": "retrainer.dev/v1alpha1", "kind": "TrainingRun", "metadata": meta}
    obj["spec"] = spec(**changes)
    if status is not None:
        obj["status"] = status
    return obj


def source(name: str = "thumbs", **changes: Any) -> Object:
    """A postgres FeedbackSource."""
    return {
        "apiVersion": "retrainer.dev/v1alpha1",
        "kind": "FeedbackSource",
        "metadata": {"name": name, "namespace": "chat"},
        "spec": {
            "postgres": {"connectionSecretRef": {"name": "feedback-db", "key": "dsn"}, "table": "public.feedback"},
            "record": {"id": "id", "time": "created_at", "unit": "user_id"},
            "signals": [{"name": "thumbs", "from": "rating", "thumbs": {"positive": ["1"], "negative": ["-1"]}}],
            **changes,
        },
    }


def sqlite_source(name: str = "thumbs") -> Object:
    made = source(name)
    made["spec"].pop("postgres")
    made["spec"]["sqlite"] = {"path": "feedback.db", "table": "feedback"}
    return made


def secret(**changes: Any) -> Object:
    """The Secret that the source names, shared with the operator."""
    return {
        "metadata": {
            "name": "feedback-db",
            "labels": {"retrainer.dev/allow-operator": "true"},
            "annotations": {"retrainer.dev/allowed-hosts": "db.chat.svc, db2.chat.svc"},
        },
        "data": {"dsn": "cG9zdGdyZXM6Ly91OmdlaGVpbUBkYi9mZWVkYmFjaw=="},
        **changes,
    }


def good_source(name: str = "thumbs") -> SourceFacts:
    return SourceFacts(name, source(name), SecretFacts(has_key=True, shared=True, allowed_hosts=("db.chat.svc",)))


def job(stage: Stage, attempt: int = 1, condition: str = "", uid: str = "", **status: Any) -> Object:
    """A Job of run tutor-4; `condition` is `Complete`, `Failed` or `Failed:<reason>`."""
    kind, _, reason = condition.partition(":")
    conditions = [{"type": kind, "status": "True", "reason": reason, "message": ""}] if kind else []
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name("tutor-4", stage, attempt),
            "namespace": "chat",
            "uid": uid or f"{stage.value.lower()}-{attempt}",
            "creationTimestamp": rfc3339(NOON),
            "ownerReferences": [{"uid": UID, "controller": True, "kind": "TrainingRun", "name": "tutor-4"}],
        },
        "spec": {"activeDeadlineSeconds": 86400},
        "status": {"conditions": conditions, "startTime": rfc3339(NOON), **status},
    }


def pod(
    stage: Stage,
    attempt: int = 1,
    *,
    exit_code: int | None = None,
    message: str = "",
    reason: str = "",
    waiting: str = "",
    name: str = "",
    unschedulable: str = "",
    disrupted: bool = False,
    created: datetime = NOON,
    job_uid: str = "",
) -> Object:
    """A pod of a Job; running unless told otherwise."""
    state: Object = {"running": {}}
    phase = "Running"
    if waiting:
        state, phase = {"waiting": {"reason": waiting}}, "Pending"
    if exit_code is not None:
        ended = {"exitCode": exit_code, "reason": reason or ("Error" if exit_code else "Completed")}
        state = {"terminated": {**ended, "message": message, "finishedAt": rfc3339(created + timedelta(minutes=1))}}
        phase = "Failed" if exit_code else "Succeeded"
    conditions: list[Object] = []
    if unschedulable:
        phase = "Pending"
        conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        )
    if disrupted:
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"})
    uid = job_uid or f"{stage.value.lower()}-{attempt}"
    return {
        "metadata": {
            "name": name or f"{job_name('tutor-4', stage, attempt)}-x",
            "creationTimestamp": rfc3339(created),
            "ownerReferences": [{"uid": uid, "controller": True, "kind": "Job"}],
        },
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [] if unschedulable else [{"name": "trainer", "state": state}],
        },
    }


def facts(*pods: Object) -> tuple[PodFacts, ...]:
    return tuple(pod_facts(p) for p in pods)


def data_result(**changes: Any) -> Object:
    """What a successful data stage tells."""
    dataset = {
        "digest": SNAPSHOT,
        "rows": 1200,
        "units": 800,
        "trainRows": 372,
        "validationRows": 41,
        "evaluationRows": 210,
        "trainedThrough": "2026-11-19T08:00:00Z",
        "dropped": {"SplitDiscarded": 577, "NoLabel": 12},
    }
    return {"stage": "Data", "reason": "Completed", "dataset": dataset, **changes}


def training_result(**changes: Any) -> Object:
    """What a successful training tells: better than the champion, both gates passed."""
    return {
        "stage": "Training",
        "reason": "Completed",
        "metrics": [
            {"name": "accuracy", "candidate": 0.87671, "champion": 0.7021, "lower": 0.12, "upper": 0.2244},
            {"name": "logLoss", "candidate": 0.41},
        ],
        "gates": [
            {"value": 0.87671, "minimumDetectable": 0.0312},
            {"value": 0.87671, "change": 0.17461, "bound": 0.1301, "units": 180, "minimumDetectable": 0.0312},
        ],
        "artifact": {"digest": ARTIFACT, "sizeBytes": 123456},
        "resultDigest": "sha256:" + "e" * 64,
        **changes,
    }


def seen(
    obj: Object | None = None,
    *,
    jobs: dict[Stage, Object] | None = None,
    pods: tuple[PodFacts, ...] = (),
    sources: tuple[SourceFacts, ...] | None = None,
    progress: ProgressLine | None = None,
    image: str = IMAGE,
    conflict: str | None = None,
) -> RunInput:
    """One pass's input; what is not given does not exist, except the source."""
    present = jobs or {}
    return RunInput(
        obj=run() if obj is None else obj,
        jobs={stage: present.get(stage) for stage in Stage},
        pods=pods,
        progress=progress,
        sources=(good_source(),) if sources is None else sources,
        default_image=image,
        name_conflict=conflict,
    )


def conditions(status: Object) -> dict[str, tuple[str, str]]:
    """Status and reason of every condition."""
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def message(status: Object, type: str) -> str:
    return str(next(c["message"] for c in status["conditions"] if c["type"] == type))


def started(now: datetime = NOON, obj: Object | None = None) -> Object:
    """Status after the first pass."""
    status = decide(seen(obj), now).status
    assert status is not None
    return status


def frozen(now: datetime = NOON, obj: Object | None = None) -> Object:
    """Status after the data stage's result was recorded."""
    base = run() if obj is None else obj
    now_training = {**base, "status": started(now, obj)}
    done = job(Stage.DATA, condition="Complete")
    told = facts(pod(Stage.DATA, exit_code=0, message=json.dumps(data_result())))
    status = decide(seen(now_training, jobs={Stage.DATA: done}, pods=told), now).status
    assert status is not None
    return status


class Crash(Exception):
    """The operator was killed."""


@dataclass
class World:
    """An API server with a Job controller and a kubelet, reduced to what a run meets."""

    outcomes: dict[str, list[tuple[int, str]]]
    """Job name → how its pods end, one after the other: exit code and termination message."""
    obj: Object = field(default_factory=run)
    now: datetime = NOON
    crash_after: int | None = None
    """The write after which the operator dies, counted from 1; None: never."""
    jobs: dict[str, Object] = field(default_factory=dict)
    pods: list[Object] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    writes: int = 0

    def observe(self) -> RunInput:
        name, attempt = self.obj["metadata"]["name"], attempt_of(self.obj)
        found = source()
        wanted = secret_of(found)
        assert wanted is not None
        return RunInput(
            obj=copy.deepcopy(self.obj),
            jobs={stage: copy.deepcopy(self.jobs.get(job_name(name, stage, attempt))) for stage in Stage},
            pods=facts(*self.pods),
            sources=(SourceFacts("thumbs", found, secret_facts(secret(), wanted[1])),),
            default_image=IMAGE,
        )

    def step(self) -> Plan:
        """One pass, in the order in which `carry_out` writes; raises Crash where it is due."""
        plan = decide(self.observe(), self.now)
        if plan.status is not None and plan.status_first:
            self._put_status(plan.status)
        for obj in plan.creates:
            self._create(obj)
        if plan.status is not None and not plan.status_first:
            self._put_status(plan.status)
        for ref, patch in plan.merges:
            self.jobs[ref.name]["spec"].update(patch["spec"])
            self._wrote()
        for ref in plan.deletes:
            self._delete(ref.name)
        self.events += plan.events
        return plan

    def settle(self, passes: int = 40) -> Object:
        """Passes and the cluster's own work in turn until nothing changes; a killed operator is restarted."""
        quiet = 0
        while quiet < 3:
            passes -= 1
            assert passes > 0, f"the run does not settle: {self.obj.get('status')}"
            before = self.writes
            try:
                self.step()
            except Crash:
                self.crash_after = None
            moved = self.run_jobs()
            self.now += timedelta(seconds=7)
            quiet = 0 if moved or self.writes > before else quiet + 1
        return dict(self.obj["status"])

    def run_jobs(self) -> bool:
        """Start or end one pod of each Job."""
        moved = False
        for name, job in self.jobs.items():
            if job["status"]["conditions"] or job["spec"].get("suspend"):
                continue
            moved = True
            running = [p for p in self.pods if self._is_of(p, job) and p["status"]["phase"] == "Running"]
            if running:
                self._end(name, job, running[0])
            else:
                self._start(job)
        return moved

    def _start(self, job: Object) -> None:
        made = pod(Stage.DATA, created=self.now, job_uid=job["metadata"]["uid"], name=f"pod-{len(self.pods)}")
        self.pods.append(made)

    def _end(self, name: str, job: Object, running: Object) -> None:
        code, text = self.outcomes[name].pop(0)
        reason = "OOMKilled" if code == 137 else ""
        ended = pod(Stage.DATA, exit_code=code, message=text, reason=reason, created=self.now)
        running["status"] = ended["status"]
        if code == 0:
            job["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
        elif code != 75 and not (code == 1 and self.outcomes[name]):
            job["status"]["conditions"] = [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]

    def _create(self, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if obj["kind"] == "ConfigMap":
            if name not in self.configs:
                self.configs.append(name)
                self._wrote()
            return
        if name in self.jobs:
            return
        made = copy.deepcopy(obj)
        made["metadata"] |= {"uid": f"uid-{len(self.created)}", "creationTimestamp": rfc3339(self.now)}
        made["status"] = {"conditions": [], "startTime": rfc3339(self.now)}
        self.jobs[name] = made
        self.created.append(name)
        self._wrote()

    def _delete(self, name: str) -> None:
        gone = self.jobs.pop(name, None)
        if gone is not None:
            self.pods = [p for p in self.pods if not self._is_of(p, gone)]
            self._wrote()

    def _put_status(self, status: Object) -> None:
        # Through JSON, as over the wire: what is not plain data fails here.
        self.obj["status"] = json.loads(json.dumps(status))
        self._wrote()

    def _wrote(self) -> None:
        self.writes += 1
        if self.writes == self.crash_after:
            raise Crash

    @staticmethod
    def _is_of(pod: Object, job: Object) -> bool:
        return bool(pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"])

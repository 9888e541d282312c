"""What happened and when: milestones of the loop, and the weights and effects that the picture shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from demo.kube import Object
from demo.sight import POLICY, Sight, condition


@dataclass(frozen=True)
class Milestone:
    """A thing that has happened; `key` makes it the same thing at every look."""

    key: str
    text: str


@dataclass(frozen=True)
class Sample:
    """The experiment at one moment: the candidate's share on the route and the evidence on the primary metric."""

    seconds: float
    weight: int
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    units: int = 0


@dataclass
class Record:
    """Collects from looks; seconds are counted from `start`."""

    start: datetime
    milestones: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def note(self, sight: Sight) -> None:
        """Remember what is new at this look."""
        seconds = (sight.time - self.start).total_seconds()
        for milestone in reached(sight):
            if milestone.key not in self.milestones:
                self.milestones[milestone.key] = seconds
                self.texts[milestone.key] = milestone.text
        if sight.experiment:
            self.samples.append(sample(sight, seconds))

    @property
    def timeline(self) -> list[tuple[float, str]]:
        """(seconds, text), in the order in which they were seen."""
        return [(seconds, self.texts[key]) for key, seconds in self.milestones.items()]


def sample(sight: Sight, seconds: float) -> Sample:
    """The present experiment's numbers."""
    candidate = candidate_revision(sight.experiment)
    weight = sight.shares.get(candidate, 0)
    effects = (sight.experiment.get("status") or {}).get("effects") or [{}]
    first = effects[0]
    return Sample(
        seconds=seconds,
        weight=weight,
        estimate=_number(first.get("estimate")),
        lower=_number(first.get("lower")),
        upper=_number(first.get("upper")),
        units=int(first.get("units") or 0),
    )


def candidate_revision(experiment: Object) -> int:
    """The candidate's revision number; 0 without an experiment."""
    arm = (experiment.get("spec") or {}).get("candidate") or {}
    return int((arm.get("model") or {}).get("revision") or 0)


def reached(sight: Sight) -> Iterator[Milestone]:
    """Everything that has happened by this look, as far as it can still be seen."""
    yield from _policy(sight)
    for run in sight.all("TrainingRun"):
        yield from _run(run)
    for experiment in sight.all("ABExperiment"):
        yield from _experiment(experiment, sight)
    yield from _after(sight)


def _policy(sight: Sight) -> Iterator[Milestone]:
    status = sight.policy.get("status") or {}
    if condition(sight.policy, "Ready").get("status") == "True" and sight.shares:
        yield Milestone("serving", "first champion in service")
    for trigger in status.get("triggers") or ():
        if trigger.get("state") == "Fired":
            yield Milestone(f"trigger/{trigger['name']}", f"trigger {trigger['name']} fired")


def _run(run: Object) -> Iterator[Milestone]:
    name = run["metadata"]["name"]
    status = run.get("status") or {}
    data = status.get("dataset") or {}
    yield Milestone(f"run/{name}", f"{name}: training run created")
    if condition(run, "DataReady").get("status") == "True":
        rows = (data.get("trainRows", 0), data.get("validationRows", 0), data.get("evaluationRows", 0))
        yield Milestone(f"data/{name}", f"{name}: data Job done ({' + '.join(map(str, rows))} rows)")
    if condition(run, "Trained").get("status") == "True":
        yield Milestone(f"trained/{name}", f"{name}: training Job done")
    gates = condition(run, "GatesPassed")
    if status.get("gates") and gates.get("status") in ("True", "False"):
        passed = gates["status"] == "True"
        yield Milestone(f"gates/{name}", f"{name}: {'gates passed' if passed else 'stopped at a gate'}")


def _experiment(experiment: Object, sight: Sight) -> Iterator[Milestone]:
    name = experiment["metadata"]["name"]
    revision = candidate_revision(experiment)
    share = sight.shares.get(revision, 0)
    if 0 < share < 100:
        yield Milestone(f"weight/{name}/{share}", f"{name}: {share} % of the traffic to revision {revision}")
    decision = (experiment.get("status") or {}).get("decision")
    if decision:
        yield Milestone(f"decision/{name}", f"{name}: {decision['verdict']} ({decision['reason']})")
        if decision["verdict"] != "PromoteCandidate" and set(sight.shares.values()) == {100} and not share:
            yield Milestone(f"back/{name}", "all traffic back on the baseline")


def _after(sight: Sight) -> Iterator[Milestone]:
    champion = ((sight.policy.get("status") or {}).get("champion") or {}).get("revision", 1)
    if champion == 1:
        return
    if sight.shares == {champion: 100}:
        yield Milestone(f"promoted/{champion}", f"revision {champion} is champion, 100 % of the traffic")
    if f"{POLICY}-r{champion - 1}" not in sight.deployments and sight.deployments:
        yield Milestone(f"retired/{champion - 1}", f"revision {champion - 1} retired")


def _number(text: object) -> float | None:
    return None if text is None else float(str(text))

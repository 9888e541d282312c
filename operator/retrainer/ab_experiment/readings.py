"""The outcomes of an experiment's windows, asked of the sources' connectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from retrainer.ab_experiment.input import ArmOutcomes, Reading
from retrainer.ab_experiment.windows import Window
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import Metric
from retrainer.api.v1alpha1.traffic import Arm
from retrainer.feedback.connectors.protocol import Arm as ArmModels
from retrainer.feedback.connectors.protocol import ArmOutcome, Connector, OutcomeQuery
from retrainer.feedback_source.readings import Question, Readings
from retrainer.kube.cache import Key
from retrainer.plan import Object
from retrainer.statistics.sums import ArmSums

EXPERIMENT = "abexperiment"


@dataclass(frozen=True)
class WindowsRead:
    """Windows that could be read for every metric, and why the next one could not."""

    windows: Mapping[int, Reading]
    problem: str | None = None


@dataclass(frozen=True)
class ExperimentReadings:
    """Asks; answers come at once or not yet (`Readings`). A closed window is read once: it never ages."""

    readings: Readings

    def read(self, experiment: Key, obj: Object, windows: tuple[Window, ...]) -> WindowsRead:
        """The due windows in their order, up to the first that is not complete."""
        if not windows:
            return WindowsRead({})
        spec = ABExperimentSpec.model_validate(obj["spec"])
        since = _start(obj)
        found: dict[int, Reading] = {}
        for window in windows:
            reading = self._window(experiment, spec, window, since)
            if reading is None or isinstance(reading, str):
                return WindowsRead(found, reading)
            found[window.number] = reading
        return WindowsRead(found)

    def _window(
        self, experiment: Key, spec: ABExperimentSpec, window: Window, since: datetime | None
    ) -> Reading | str | None:
        """All metrics of one window; a sentence where a source cannot be read; None while not read yet."""
        outcomes: dict[str, ArmOutcomes] = {}
        for metric in spec.metrics:
            assert metric.source.feedback is not None
            name = metric.source.feedback.source_ref.name
            query = _query(spec, metric, window, since)
            question = Question((experiment[1], query), partial(_outcomes, query))
            reading = self.readings.get((experiment[0], name), question, (EXPERIMENT, experiment), None)
            if reading.error is not None:
                return f"source {name}: {reading.error.message}"
            if reading.pending:
                return None
            outcomes[metric.name] = _arms(reading.value)
        return outcomes


def _query(spec: ABExperimentSpec, metric: Metric, window: Window, since: datetime | None) -> OutcomeQuery:
    """`as_of` makes the answer the same whenever it is read: later votes do not count."""
    assert metric.source.feedback is not None
    return OutcomeQuery(
        signal=metric.source.feedback.signal,
        value=metric.source.feedback.value,
        start=_moment(window.start),
        end=_moment(window.end),
        arms=(_models("candidate", spec.candidate), _models("baseline", spec.baseline)),
        since=since,
        as_of=_moment(window.end + spec.maturity_seconds),
    )


def _models(name: str, arm: Arm) -> ArmModels:
    """What a record may say to belong to this arm: revision, digest, or the digest's digits alone."""
    names: list[str] = []
    if arm.model.revision is not None:
        names.append(str(arm.model.revision))
    if arm.model.digest is not None:
        names += [arm.model.digest, arm.model.digest.removeprefix("sha256:")]
    return ArmModels(name, tuple(names), (name,))


def _outcomes(query: OutcomeQuery, connector: Connector) -> list[ArmOutcome]:
    return connector.outcomes(query)


def _arms(answer: list[ArmOutcome]) -> ArmOutcomes:
    sums = {o.arm: ArmSums(o.responded, float(o.total), float(o.squares), o.missing) for o in answer}
    return ArmOutcomes(candidate=sums["candidate"], baseline=sums["baseline"])


def _start(obj: Mapping[str, Any]) -> datetime | None:
    started = (obj.get("status") or {}).get("startTime")
    return datetime.fromisoformat(started) if started else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""The outcomes of an experiment's windows, asked of FeedbackSources and of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from retrainer.ab_experiment.config import unit_of
from retrainer.ab_experiment.input import ArmOutcomes, Reading
from retrainer.ab_experiment.windows import Window
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import FeedbackMetricSource, Metric, PrometheusMetricSource
from retrainer.api.v1alpha1.traffic import Arm
from retrainer.feedback.connectors.protocol import Arm as ArmModels
from retrainer.feedback.connectors.protocol import ArmOutcome, Connector, OutcomeQuery
from retrainer.feedback_source.readings import Question, Readings, SourceKey
from retrainer.kube.cache import Key
from retrainer.plan import Object
from retrainer.prometheus.client import PrometheusSource
from retrainer.prometheus.counters import Span
from retrainer.prometheus.endpoint import endpoint_of
from retrainer.prometheus.reading import ArmCounts, Counts, CountsQuery, NotYet
from retrainer.statistics.sums import ArmSums

EXPERIMENT = "abexperiment"

_DEFAULT_LABEL = "revision"
_LOOK_AGAIN_SECONDS = 1.0
"""A window whose last samples have not arrived is not asked for again sooner."""
_TOLERATED_EXCESS = 0.05
"""Of the requests; a page of metrics is not written in one instant, so a few successes may run ahead of them."""


@dataclass(frozen=True)
class WindowsRead:
    """Windows that could be read for every metric, and why the next one could not."""

    windows: Mapping[int, Reading]
    problem: str | None = None


@dataclass(frozen=True)
class _About:
    """The experiment whose windows are read."""

    key: Key
    spec: ABExperimentSpec
    since: datetime | None


@dataclass(frozen=True)
class ExperimentReadings:
    """Asks; answers come at once or not yet (`Readings`). A closed window is read once: it never ages."""

    readings: Readings

    def read(self, experiment: Key, obj: Object, windows: tuple[Window, ...]) -> WindowsRead:
        """The due windows in their order, up to the first that is not complete."""
        if not windows:
            return WindowsRead({})
        about = _About(experiment, ABExperimentSpec.model_validate(obj["spec"]), _start(obj))
        found: dict[int, Reading] = {}
        for window in windows:
            reading = self._window(about, window)
            if reading is None or isinstance(reading, str):
                return WindowsRead(found, reading)
            found[window.number] = reading
        return WindowsRead(found)

    def _window(self, about: _About, window: Window) -> Reading | str | None:
        """All metrics of one window; a sentence where a source cannot be read; None while not read yet."""
        # All are asked before any is waited for, so that several sources are read at the same time.
        answers = {metric.name: self._metric(about, metric, window) for metric in about.spec.metrics}
        problem = next((answer for answer in answers.values() if isinstance(answer, str)), None)
        known = {name: answer for name, answer in answers.items() if isinstance(answer, ArmOutcomes)}
        return known if len(known) == len(answers) else problem

    def _metric(self, about: _About, metric: Metric, window: Window) -> ArmOutcomes | str | None:
        if metric.source.feedback is not None:
            return self._feedback(about, metric.source.feedback, window)
        assert metric.source.prometheus is not None
        return self._prometheus(about, metric, metric.source.prometheus, window)

    def _feedback(self, about: _About, source: FeedbackMetricSource, window: Window) -> ArmOutcomes | str | None:
        name = source.source_ref.name
        query = _outcome_query(about, source, window)
        question = Question((about.key[1], query), partial(_outcomes, query))
        answer = self._ask(about, (about.key[0], name), question, None)
        if isinstance(answer, str):
            return f"source {name}: {answer}"
        return None if answer is None else _sums(answer)

    def _prometheus(
        self, about: _About, metric: Metric, source: PrometheusMetricSource, window: Window
    ) -> ArmOutcomes | str | None:
        query = _counts_query(about, source, window)
        question = Question((about.key[1], query), partial(_counts, query))
        endpoint = endpoint_of(about.key[0], source)
        answer = self._ask(about, endpoint, question, None)
        if isinstance(answer, NotYet):
            self._ask(about, endpoint, question, _LOOK_AGAIN_SECONDS)
            return None
        if isinstance(answer, str):
            return f"metric {metric.name}: {answer}"
        if answer is None:
            return None
        return _events(answer) if metric.kind == "Events" else _proportion(metric, answer)

    def _ask(self, about: _About, key: SourceKey, question: Question, max_age: float | None) -> Any:
        """The value; the error's sentence; None while not read yet."""
        reading = self.readings.get(key, question, (EXPERIMENT, about.key), max_age)
        return reading.value if reading.error is None else reading.error.message


def _outcome_query(about: _About, source: FeedbackMetricSource, window: Window) -> OutcomeQuery:
    """`as_of` makes the answer the same whenever it is read: later votes do not count."""
    return OutcomeQuery(
        signal=source.signal,
        value=source.value,
        start=_moment(window.start),
        end=_moment(window.end),
        arms=(_models("candidate", about.spec.candidate), _models("baseline", about.spec.baseline)),
        since=about.since,
        as_of=_moment(window.end + about.spec.maturity_seconds),
        quality=source.quality,
        unit=unit_of(about.spec),
    )


def _counts_query(about: _About, source: PrometheusMetricSource, window: Window) -> CountsQuery:
    return CountsQuery(
        query=source.query,
        units_query=source.units_query,
        label=source.arm_label or _DEFAULT_LABEL,
        arms=_label_values(about.spec),
        span=Span(window.start, window.end, window.applied),
        since=window.start if about.since is None else about.since.timestamp(),
    )


def _names(arm: Arm) -> tuple[str, ...]:
    """How an arm's model may be named: revision, digest, or the digest's digits alone."""
    names: list[str] = []
    if arm.model.revision is not None:
        names.append(str(arm.model.revision))
    if arm.model.digest is not None:
        names += [arm.model.digest, arm.model.digest.removeprefix("sha256:")]
    return tuple(names)


def _models(name: str, arm: Arm) -> ArmModels:
    return ArmModels(name, _names(arm), (name,))


def _label_values(spec: ABExperimentSpec) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What a label may say of each arm; a name that both have (one Service with two ports) says nothing."""
    arms = (("candidate", spec.candidate), ("baseline", spec.baseline))
    values = {name: (*_names(arm), name, *([arm.service_ref.name] if arm.service_ref else [])) for name, arm in arms}
    shared = set(values["candidate"]) & set(values["baseline"])
    return tuple((name, tuple(v for v in dict.fromkeys(mine) if v not in shared)) for name, mine in values.items())


def _outcomes(query: OutcomeQuery, connector: Connector) -> list[ArmOutcome]:
    return connector.outcomes(query)


def _counts(query: CountsQuery, source: PrometheusSource) -> Counts | NotYet:
    return source.counts(query)


def _sums(answer: list[ArmOutcome]) -> ArmOutcomes:
    sums = {o.arm: ArmSums(o.responded, float(o.total), float(o.squares), o.missing) for o in answer}
    return ArmOutcomes(candidate=sums["candidate"], baseline=sums["baseline"])


def _events(counts: Counts) -> ArmOutcomes:
    """Σy counts events, n requests (0 where they are not counted)."""

    def sums(arm: ArmCounts) -> ArmSums:
        return ArmSums(arm.units or 0, float(arm.events), float(arm.events))

    return ArmOutcomes(candidate=sums(counts["candidate"]), baseline=sums(counts["baseline"]))


def _proportion(metric: Metric, counts: Counts) -> ArmOutcomes | str:
    """Successes among requests; a few too many are left out, many are none."""
    sums: dict[str, ArmSums] = {}
    for arm, found in counts.items():
        units = found.units or 0
        if found.events > units + max(5, _TOLERATED_EXCESS * units):
            return (
                f"metric {metric.name}: query counted {found.events} of the {arm} in one window, unitsQuery only "
                f"{units}; query must count a part of what unitsQuery counts"
            )
        successes = float(min(found.events, units))
        sums[arm] = ArmSums(units, successes, successes)
    return ArmOutcomes(candidate=sums["candidate"], baseline=sums["baseline"])


def _start(obj: Mapping[str, Any]) -> datetime | None:
    started = (obj.get("status") or {}).get("startTime")
    return datetime.fromisoformat(started) if started else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

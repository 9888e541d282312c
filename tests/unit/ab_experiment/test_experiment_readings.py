"""What an experiment asks of its sources for a window, and what it makes of the answers."""

from typing import Any

import pytest

from retrainer.ab_experiment.input import ArmOutcomes
from retrainer.ab_experiment.readings import ExperimentReadings, _About, _counts_query
from retrainer.ab_experiment.windows import Window
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import PrometheusMetricSource
from retrainer.feedback.connectors.protocol import ArmOutcome, OutcomeQuery
from retrainer.feedback.errors import Unreachable
from retrainer.feedback_source.readings import Question, Reading
from retrainer.prometheus.counters import Span
from retrainer.prometheus.endpoint import Endpoint
from retrainer.prometheus.reading import ArmCounts, CountsQuery, NotYet
from retrainer.statistics.sums import ArmSums

DIGEST = "sha256:" + "ab" * 32
KEY = ("chat", "tutor-4")
FEEDBACK = {"sourceRef": {"name": "thumbs"}, "signal": "vote"}
SPEC: dict[str, Any] = {
    "baseline": {"serviceRef": {"name": "r3", "port": 80}, "model": {"revision": 3}},
    "candidate": {"serviceRef": {"name": "r4", "port": 80}, "model": {"revision": 4, "digest": DIGEST}},
    "traffic": {"policyRef": {"name": "tutor"}},
    "ramp": {"steps": [{"weightPercent": 50}]},
    "maturitySeconds": 2,
    "metrics": [
        {"name": "likes", "role": "Primary", "goal": "Increase",
         "source": {"feedback": {**FEEDBACK, "value": "Positive"}}},
        {"name": "dislikes", "role": "Guardrail", "goal": "Decrease", "margin": "0.05",
         "source": {"feedback": {**FEEDBACK, "value": "Negative"}}},
    ],
}  # fmt: skip
OBJ = {"spec": SPEC, "status": {"startTime": "2026-11-21T12:00:00Z"}}
OUTCOMES = [ArmOutcome("candidate", 10, 8, 6.0, 6.0), ArmOutcome("baseline", 9, 9, 5.0, 5.0)]


class Known:
    """Answers by window and value; remembers the questions."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[OutcomeQuery] = []

    def get(self, key: tuple[str, str], question: Question, owner: Any, max_age_seconds: float | None) -> Reading:
        assert (key, owner, max_age_seconds) == (("chat", "thumbs"), ("abexperiment", KEY), None)
        query = question.name[1]  # type: ignore[index]
        self.asked.append(query)
        return self.answer(query)  # type: ignore[no-any-return]


def window(number: int) -> Window:
    start = 1_795_262_400.0 + 5 * number
    return Window(number=number, start=start, end=start + 5, weight=50, applied=start - 1)


def read(answer: Any, *windows: Window) -> Any:
    known = Known(answer)
    return ExperimentReadings(known).read(KEY, OBJ, windows), known  # type: ignore[arg-type]


def test_a_window_is_read_for_every_metric_with_the_missing_counted() -> None:
    found, known = read(lambda query: Reading(OUTCOMES), window(0))
    assert found.problem is None
    assert found.windows[0]["likes"].candidate == ArmSums(8, 6.0, 6.0, 2)
    assert found.windows[0]["dislikes"].baseline == ArmSums(9, 5.0, 5.0, 0)
    assert [query.value for query in known.asked] == ["Positive", "Negative"]


def test_votes_after_maturity_never_count_whenever_the_window_is_read() -> None:
    _, known = read(lambda query: Reading(OUTCOMES), window(0))
    query = known.asked[0]
    assert (query.end - query.start).total_seconds() == 5
    assert (query.as_of - query.end).total_seconds() == 2
    assert query.since is not None


def test_users_scores_and_qualities_are_asked_for_as_the_spec_says() -> None:
    metrics = [
        {**SPEC["metrics"][0], "source": {"feedback": {**FEEDBACK, "value": "Score"}}},
        {**SPEC["metrics"][1], "source": {"feedback": {"sourceRef": {"name": "thumbs"}, "quality": "latency"}}},
    ]
    spec = {**SPEC, "assignment": {"unit": "User"}, "metrics": metrics}
    known = Known(lambda query: Reading(OUTCOMES))
    ExperimentReadings(known).read(KEY, {**OBJ, "spec": spec}, (window(0),))  # type: ignore[arg-type]
    assert [(q.value, q.quality, q.unit) for q in known.asked] == [
        ("Score", None, "User"), (None, "latency", "User"),
    ]  # fmt: skip


def test_an_arm_is_known_by_revision_and_by_digest_with_and_without_its_prefix() -> None:
    _, known = read(lambda query: Reading(OUTCOMES), window(0))
    candidate, baseline = known.asked[0].arms
    assert candidate.models == ("4", DIGEST, DIGEST.removeprefix("sha256:"))
    assert baseline.models == ("3",)


@pytest.mark.parametrize(
    ("sentence", "bad", "problem"),
    [
        ("not read yet", Reading(), None),
        ("not readable", Reading(error=Unreachable("no connection")), "source thumbs: no connection"),
    ],
)
def test_windows_are_taken_in_order_up_to_the_first_incomplete_one(
    sentence: str, bad: Reading, problem: str | None
) -> None:
    second = window(1)

    def answer(query: OutcomeQuery) -> Reading:
        return bad if query.start.timestamp() == second.start else Reading(OUTCOMES)

    found, _ = read(answer, window(0), second, window(2))
    assert list(found.windows) == [0], sentence
    assert found.problem == problem, sentence


def test_all_metrics_of_a_window_are_asked_before_any_is_waited_for() -> None:
    found, known = read(lambda query: Reading(), window(0), window(1))
    assert (found.windows, found.problem) == ({}, None)
    assert [query.value for query in known.asked] == ["Positive", "Negative"]


class Counters:
    """Answers of Prometheus; remembers the questions, and how old the answers might be."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, CountsQuery, float | None]] = []

    def get(self, key: Any, question: Question, owner: Any, max_age_seconds: float | None) -> Reading:
        self.asked.append((key, question.name[1], max_age_seconds))  # type: ignore[index]
        return self.answers.pop(0)  # type: ignore[no-any-return]


def counters(kind: str, *answers: Any, **changes: Any) -> tuple[Any, Counters]:
    source = {"url": "http://p:9090", "query": "good_total", "unitsQuery": "all_total",
              "tokenSecretRef": {"name": "prom", "key": "token"}} | changes  # fmt: skip
    role = {"role": "Guardrail", "goal": "Decrease" if kind == "Events" else "Increase", "margin": "0.5"}
    metric = {"name": "m", "kind": kind, **role, "source": {"prometheus": source}}
    known = Counters(*answers)
    obj = {"spec": {**SPEC, "mode": "Canary", "metrics": [metric]}, "status": OBJ["status"]}
    return ExperimentReadings(known).read(KEY, obj, (window(0),)), known  # type: ignore[arg-type]


def counts(candidate: tuple[int, int | None], baseline: tuple[int, int | None]) -> Reading:
    return Reading({"candidate": ArmCounts(*candidate), "baseline": ArmCounts(*baseline)})


def test_a_prometheus_metric_asks_its_server_about_both_arms_in_the_window() -> None:
    _, known = counters("Events", counts((1, 2), (3, 4)))
    ((endpoint, query, age),) = known.asked
    assert endpoint == Endpoint("chat", "http://p:9090", ("prom", "token"))
    assert (query.query, query.units_query, query.label, age) == ("good_total", "all_total", "revision", None)
    assert query.arms == (
        ("candidate", ("4", DIGEST, "ab" * 32, "candidate", "r4")),
        ("baseline", ("3", "baseline", "r3")),
    )
    assert query.span == Span(window(0).start, window(0).end, window(0).applied)
    assert query.since == 1_795_262_400.0


@pytest.mark.parametrize(
    ("sentence", "kind", "answer", "candidate", "baseline"),
    [
        ("events with requests", "Events", counts((3, 40), (0, 50)), ArmSums(40, 3, 3), ArmSums(50, 0, 0)),
        ("events alone", "Events", counts((3, None), (9, None)), ArmSums(0, 3, 3), ArmSums(0, 9, 9)),
        ("more errors than requests", "Events", counts((70, 40), (0, 50)), ArmSums(40, 70, 70), ArmSums(50, 0, 0)),
        ("successes", "Proportion", counts((30, 40), (50, 50)), ArmSums(40, 30, 30), ArmSums(50, 50, 50)),
        ("a few too many", "Proportion", counts((44, 40), (50, 50)), ArmSums(40, 40, 40), ArmSums(50, 50, 50)),
        ("nothing", "Proportion", counts((0, 0), (0, 0)), ArmSums(), ArmSums()),
    ],
)
def test_counts_become_sums(sentence: str, kind: str, answer: Reading, candidate: ArmSums, baseline: ArmSums) -> None:
    found, _ = counters(kind, answer)
    assert found.windows[0]["m"] == ArmOutcomes(candidate, baseline), sentence


def test_far_more_successes_than_requests_are_none() -> None:
    found, _ = counters("Proportion", counts((46, 40), (50, 50)))
    assert found.windows == {}
    assert found.problem == (
        "metric m: query counted 46 of the candidate in one window, unitsQuery only 40; query must count a part of "
        "what unitsQuery counts"
    )


def test_samples_that_are_still_to_come_are_no_problem_and_asked_for_again_soon() -> None:
    found, known = counters("Events", Reading(NotYet()), Reading(NotYet()))
    assert (found.windows, found.problem) == ({}, None)
    assert [age for _, _, age in known.asked] == [None, 1.0]


def test_a_server_that_does_not_answer_is_told_with_the_metric() -> None:
    found, _ = counters("Events", Reading(error=Unreachable("no connection to the server")))
    assert found.problem == "metric m: no connection to the server"


def test_a_service_that_both_arms_share_names_neither() -> None:
    spec = {**SPEC, "candidate": {**SPEC["candidate"], "serviceRef": {"name": "r3", "port": 81}}}
    query = _counts_query(
        _About(KEY, ABExperimentSpec.model_validate(spec), None),
        PrometheusMetricSource(url="http://p", query="x", arm_label="service"), window(0),
    )  # fmt: skip
    assert (query.label, query.since) == ("service", window(0).start)
    assert all("r3" not in values for _, values in query.arms)

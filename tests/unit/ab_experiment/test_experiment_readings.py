"""What an experiment asks of its sources for a window, and what it makes of the answers."""

from typing import Any

import pytest

from retrainer.ab_experiment.readings import ExperimentReadings
from retrainer.ab_experiment.windows import Window
from retrainer.feedback.connectors.protocol import ArmOutcome, OutcomeQuery
from retrainer.feedback.errors import Unreachable
from retrainer.feedback_source.readings import Question, Reading
from retrainer.statistics.sums import ArmSums

DIGEST = "sha256:" + "ab" * 32
KEY = ("chat", "tutor-4")
FEEDBACK = {"sourceRef": {"name": "thumbs"}, "signal": "vote"}
SPEC = {
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

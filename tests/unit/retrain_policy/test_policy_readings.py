"""What a policy asks of its sources, and what it makes of their answers."""

from datetime import UTC, date, datetime
from typing import Any

from retrainer.feedback.errors import Unreachable
from retrainer.feedback_source.readings import Question
from retrainer.feedback_source.readings import Reading as Answer
from retrainer.retrain_policy.input import CountRead, CountWanted, ReadFailed, UnitDay, UnitDaysRead, UnitDaysWanted
from retrainer.retrain_policy.readings import PolicyReadings

POLICY = ("chat", "tutor")
COUNT = CountWanted("volume", ("a", "b"), "Any", datetime(2026, 11, 1, tzinfo=UTC), 1)
DAYS = UnitDaysWanted("likes", ("a", "b"), "thumbs", ("1",), date(2026, 11, 1), date(2026, 11, 3), 1)


class Known:
    """Answers by source; remembers what was asked."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[Question] = []

    def get(self, key: tuple[str, str], question: Question, owner: Any, max_age_seconds: float | None) -> Answer:
        assert owner == ("retrainpolicy", POLICY)
        self.asked.append(question)
        return self.answers[key[1]]


def sources(generation: int = 1) -> dict[str, Any]:
    return {name: {"metadata": {"uid": name, "generation": generation}, "spec": {}} for name in ("a", "b")}


def answers(known: Known, wanted: Any, generation: int = 1) -> Any:
    return PolicyReadings(known).answers(POLICY, (wanted,), sources(generation))  # type: ignore[arg-type]


def test_counts_of_all_sources_add_up() -> None:
    assert answers(Known(a=Answer(3), b=Answer(4)), COUNT) == (CountRead(COUNT, 7),)


def test_one_source_not_read_yet_leaves_the_answer_out() -> None:
    assert answers(Known(a=Answer(3), b=Answer()), COUNT) == ()


def test_one_source_that_cannot_be_read_is_named() -> None:
    (failed,) = answers(Known(a=Answer(3), b=Answer(error=Unreachable("no connection"))), COUNT)
    assert failed == ReadFailed(COUNT, "source b: no connection")


def test_a_person_who_votes_in_two_sources_is_one_unit() -> None:
    a = [("2026-11-01", "ann", 1.0, 3), ("2026-11-02", "bob", 0.5, 2)]
    b = [("2026-11-01", "ann", 0.0, 1)]
    (read,) = answers(Known(a=Answer(a), b=Answer(b)), DAYS)
    assert read == UnitDaysRead(
        DAYS, (UnitDay(date(2026, 11, 1), "ann", 0.75, 4), UnitDay(date(2026, 11, 2), "bob", 0.5, 2))
    )


def test_another_mapping_of_a_source_is_another_question() -> None:
    known = Known(a=Answer(3), b=Answer(4))
    answers(known, COUNT, generation=1)
    answers(known, COUNT, generation=2)
    names = [question.name for question in known.asked]
    assert len(set(names)) == 4, "two sources, two mappings"

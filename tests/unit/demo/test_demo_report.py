"""The end in numbers, and what must be true of it."""

import pytest
from unit.demo.demo_sights import conditions, experiment, obj, route, sight

from demo import report
from demo.database import Votes
from demo.report import Verdict, baseline_promises, broken_promises, promote_promises, verdict_of
from demo.sight import Sight

GOOD = Verdict("digits-2", "PromoteCandidate", "CandidateBetter", "better", 2, 0.17, 0.08, 0.26, 900)
BAD = Verdict("digits-3", "KeepBaseline", "PrimaryWorse", "worse", 3, -0.3, -0.5, -0.1, 300)


def world(champion: int, **weights: int) -> Sight:
    return sight(policy=obj("digits", status={"champion": {"revision": champion}}), route=route(**weights))


def test_a_verdict_comes_with_the_evidence_of_the_primary_metric() -> None:
    decided = experiment(
        {"verdict": "PromoteCandidate", "reason": "CandidateBetter", "message": "better"},
        [{"estimate": "0.17", "lower": "0.08", "upper": "0.26", "units": 900}, {"estimate": "-0.17"}],
    )
    assert verdict_of(decided) == GOOD
    assert GOOD.interval_text == "+17.0 points, interval +8.0 to +26.0"
    assert BAD.interval_text == "−30.0 points, interval −50.0 to −10.0"


def test_no_decision_is_no_verdict() -> None:
    assert verdict_of(experiment()) is None
    assert verdict_of({}) is None


def test_a_verdict_without_evidence_says_so() -> None:
    decided = experiment({"verdict": "KeepBaseline", "reason": "ManualAbort", "message": "asked for"})
    found = verdict_of(decided)
    assert found is not None
    assert found.interval_text == "no effect could be measured"


def test_the_story_of_a_promotion_ended_as_it_should() -> None:
    assert broken_promises(promote_promises(world(2, r2=100), GOOD, Votes(700, 300), Votes(90, 10))) == []


@pytest.mark.parametrize(
    ("seen", "verdict", "before", "after", "complaint"),
    [
        (world(2, r2=100), BAD, Votes(7, 3), Votes(9, 1), "verdict is KeepBaseline"),
        (world(2, r2=100), None, Votes(7, 3), Votes(9, 1), "verdict is none"),
        (world(1, r2=100), GOOD, Votes(7, 3), Votes(9, 1), "champion is revision 1"),
        (world(2, r1=50, r2=50), GOOD, Votes(7, 3), Votes(9, 1), "route carries"),
        (world(2, r2=100), GOOD, Votes(9, 1), Votes(7, 3), "like rate went from 0.900 to 0.700"),
        (world(2, r2=100), GOOD, Votes(7, 3), Votes(0, 0), "like rate went from 0.700 to nan"),
    ],
)
def test_each_broken_promise_is_named(
    seen: Sight, verdict: Verdict | None, before: Votes, after: Votes, complaint: str
) -> None:
    broken = broken_promises(promote_promises(seen, verdict, before, after))
    assert any(complaint in sentence for sentence in broken)


def test_an_interval_that_reaches_zero_proves_nothing() -> None:
    weak = Verdict("digits-2", "PromoteCandidate", "ManualPromote", "asked", 2, 0.1, -0.01, 0.2, 50)
    broken = broken_promises(promote_promises(world(2, r2=100), weak, Votes(7, 3), Votes(9, 1)))
    assert broken == ["the interval of the effect does not exclude 0"]


def test_the_mirror_story_ended_as_it_should() -> None:
    assert broken_promises(baseline_promises(world(1, r1=100), BAD, gates_failed=True, late=0)) == []


@pytest.mark.parametrize(
    ("seen", "verdict", "gates", "late", "complaint"),
    [
        (world(1, r1=100), BAD, False, 0, "not stopped at a gate"),
        (world(1, r1=100), GOOD, True, 0, "verdict is PromoteCandidate"),
        (world(2, r1=100), BAD, True, 0, "champion is revision 2"),
        (world(1, r1=90, r3=10), BAD, True, 0, "route carries"),
        (world(1, r1=100), BAD, True, 7, "7 requests still reached"),
    ],
)
def test_users_must_be_back_on_the_baseline(
    seen: Sight, verdict: Verdict, gates: bool, late: int, complaint: str
) -> None:
    broken = broken_promises(baseline_promises(seen, verdict, gates_failed=gates, late=late))
    assert any(complaint in sentence for sentence in broken)


def test_a_rate_is_told_with_its_interval() -> None:
    assert report.rate_line("before", Votes(70, 30)) == (
        "before: 70.0% of 100 votes are likes (95 % interval 60.4% to 78.1%)"
    )
    assert report.rate_line("after", Votes(0, 0)) == "after: no votes"


def test_the_timeline_counts_from_the_start_and_from_the_last() -> None:
    assert report.timeline_lines([(3.0, "a"), (10.5, "b")]) == ["    3.0 s  (+  3.0)  a", "   10.5 s  (+  7.5)  b"]


def test_a_stuck_story_shows_every_condition() -> None:
    policy = obj("digits", status={"conditions": conditions(Ready="False/MissingReference")})
    lines = report.complaints(sight(policy=policy, runs=[obj("digits-2")]))
    assert lines == [
        "RetrainPolicy digits",
        "  Ready=False MissingReference: Ready message",
        "TrainingRun digits-2",
        "  no conditions: the operator has not looked at it",
    ]

"""Rules 1 to 8 as a table of sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.ab_experiment.rules import Situation, evaluate

READY = Situation(
    primary="Better",
    guardrails=(("dislikes", "NotWorse"),),
    elapsed_seconds=3600,
    minimum_seconds=600,
    maximum_seconds=7200,
    split_ok=True,
    step_units=500,
    step_minimum=200,
    last_step=True,
)
WORSE = (("dislikes", "NotWorse"), ("errors", "Worse"))
OPEN = (("dislikes", "Undecided"),)

SENTENCES = [
    ("better and harmless for long enough is promoted", {}, "PromoteCandidate", "CandidateBetter"),
    ("without guardrails better alone is enough", {"guardrails": ()}, "PromoteCandidate", "CandidateBetter"),
    ("one guardrail worse stops even a better candidate", {"guardrails": WORSE}, "KeepBaseline", "GuardrailWorse"),
    ("a worse primary stops it", {"primary": "Worse"}, "KeepBaseline", "PrimaryWorse"),
    (
        "a worse primary stops it at the first step",
        {"primary": "Worse", "last_step": False},
        "KeepBaseline",
        "PrimaryWorse",
    ),
    ("harm stops it with too few units", {"primary": "Worse", "step_units": 0}, "KeepBaseline", "PrimaryWorse"),
    ("harm stops it with a broken split", {"guardrails": WORSE, "split_ok": False}, "KeepBaseline", "GuardrailWorse"),
    (
        "harm stops it while the source is down",
        {"guardrails": WORSE, "obstacle": "down"},
        "KeepBaseline",
        "GuardrailWorse",
    ),
    ("harm stops it while suspended", {"guardrails": WORSE, "held": "suspended"}, "KeepBaseline", "GuardrailWorse"),
    (
        "harm after the longest duration is harm",
        {"primary": "Worse", "elapsed_seconds": 9999},
        "KeepBaseline",
        "PrimaryWorse",
    ),
    (
        "a guardrail is named before the primary",
        {"primary": "Worse", "guardrails": WORSE},
        "KeepBaseline",
        "GuardrailWorse",
    ),
    ("held: nothing is promoted", {"held": "paused"}, "Hold", "Paused"),
    ("held: no next step", {"held": "paused", "last_step": False}, "Hold", "Paused"),
    ("held: the longest duration waits too", {"held": "paused", "elapsed_seconds": 9999}, "Hold", "Paused"),
    ("held: futility waits too", {"held": "paused", "primary": "TooSmall"}, "Hold", "Paused"),
    (
        "undecided at the end is inconclusive",
        {"primary": "Undecided", "elapsed_seconds": 7200},
        "Inconclusive",
        "MaximumDurationReached",
    ),
    ("the last look at the end may promote", {"elapsed_seconds": 7200}, "PromoteCandidate", "CandidateBetter"),
    (
        "the last look at the end may give up",
        {"primary": "TooSmall", "elapsed_seconds": 7200},
        "KeepBaseline",
        "EffectTooSmall",
    ),
    (
        "the end before the last step is inconclusive",
        {"elapsed_seconds": 7200, "last_step": False},
        "Inconclusive",
        "MaximumDurationReached",
    ),
    (
        "the end with a broken split is inconclusive",
        {"elapsed_seconds": 7200, "split_ok": False},
        "Inconclusive",
        "MaximumDurationReached",
    ),
    (
        "the end with the source down is inconclusive",
        {"elapsed_seconds": 7200, "obstacle": "down"},
        "Inconclusive",
        "MaximumDurationReached",
    ),
    (
        "the end with an open guardrail is inconclusive",
        {"elapsed_seconds": 7200, "guardrails": OPEN},
        "Inconclusive",
        "MaximumDurationReached",
    ),
    ("a broken split blocks promotion", {"split_ok": False}, "Hold", "SampleRatioMismatch"),
    ("a broken split blocks the next step", {"split_ok": False, "last_step": False}, "Hold", "SampleRatioMismatch"),
    ("a broken split blocks giving up", {"split_ok": False, "primary": "TooSmall"}, "Hold", "SampleRatioMismatch"),
    ("an unreachable source never promotes", {"obstacle": "down"}, "Hold", "SourceUnavailable"),
    ("an unreachable source never fails", {"obstacle": "down", "primary": "TooSmall"}, "Hold", "SourceUnavailable"),
    ("too few units of this step hold", {"step_units": 199}, "Hold", "Collecting"),
    ("no units at all hold", {"step_units": 0}, "Hold", "NoData"),
    ("enough units before the last step go on", {"last_step": False}, "NextStep", "Enough"),
    ("an undecided primary goes on too", {"last_step": False, "primary": "Undecided"}, "NextStep", "Enough"),
    ("nothing is given up before the last step", {"last_step": False, "primary": "TooSmall"}, "NextStep", "Enough"),
    ("better with an open guardrail stays", {"guardrails": OPEN}, "Hold", "Undecided"),
    ("better before the shortest duration stays", {"elapsed_seconds": 599}, "Hold", "Undecided"),
    ("better at the shortest duration is promoted", {"elapsed_seconds": 600}, "PromoteCandidate", "CandidateBetter"),
    (
        "too small is given up without waiting",
        {"primary": "TooSmall", "elapsed_seconds": 1},
        "KeepBaseline",
        "EffectTooSmall",
    ),
    ("undecided stays", {"primary": "Undecided"}, "Hold", "Undecided"),
    (
        "at the end the last windows are waited for",
        {"primary": "Undecided", "elapsed_seconds": 7200, "unread": True},
        "Hold",
        "Collecting",
    ),
    (
        "harm does not wait for the last windows",
        {"primary": "Worse", "elapsed_seconds": 7200, "unread": True},
        "KeepBaseline",
        "PrimaryWorse",
    ),
    ("before the end nothing waits for unread windows", {"unread": True}, "PromoteCandidate", "CandidateBetter"),
    (
        "while it is not known what time it is the end does not come",
        {"primary": "Undecided", "elapsed_seconds": 9999, "clock": "jumped"},
        "Hold",
        "ClockDiffers",
    ),
    ("with a doubtful clock nothing is promoted", {"clock": "jumped"}, "Hold", "ClockDiffers"),
    ("with a doubtful clock no next step", {"clock": "jumped", "last_step": False}, "Hold", "ClockDiffers"),
    ("with a doubtful clock nothing is given up", {"clock": "jumped", "primary": "TooSmall"}, "Hold", "ClockDiffers"),
    ("harm needs no clock", {"clock": "jumped", "guardrails": WORSE}, "KeepBaseline", "GuardrailWorse"),
]

CANARY = {"primary": None, "units": 4200, "units_planned": 4200}
CANARY_SENTENCES = [
    ("harmless and with its planned units it is promoted", {}, "PromoteCandidate", "CanaryPassed"),
    ("harmless with too few planned units it stays", {"units": 4199}, "Hold", "Undecided"),
    ("with all units and an open guardrail it stays", {"guardrails": OPEN}, "Hold", "Undecided"),
    ("one guardrail worse stops it", {"guardrails": WORSE}, "KeepBaseline", "GuardrailWorse"),
    ("before the shortest duration it stays", {"elapsed_seconds": 599}, "Hold", "Undecided"),
    ("before the last step it goes on", {"last_step": False}, "NextStep", "Enough"),
    ("too few units of its step hold it", {"step_units": 3}, "Hold", "Collecting"),
    ("a broken split blocks it", {"split_ok": False}, "Hold", "SampleRatioMismatch"),
    ("an unreachable source holds it", {"obstacle": "down"}, "Hold", "SourceUnavailable"),
    ("a person holds it", {"held": "paused"}, "Hold", "Paused"),
    (
        "the last look at the end may promote it",
        {"elapsed_seconds": 7200},
        "PromoteCandidate",
        "CanaryPassed",
    ),
    (
        "without its units the end is inconclusive",
        {"elapsed_seconds": 7200, "units": 4199},
        "Inconclusive",
        "MaximumDurationReached",
    ),
    (
        "with an open guardrail the end is inconclusive",
        {"elapsed_seconds": 7200, "guardrails": OPEN},
        "Inconclusive",
        "MaximumDurationReached",
    ),
]


@pytest.mark.parametrize(("changes", "action", "reason"), [s[1:] for s in SENTENCES], ids=[s[0] for s in SENTENCES])
def test_rule(changes, action, reason):
    outcome = evaluate(replace(READY, **changes))
    assert (outcome.action, outcome.reason.value) == (action, reason)


@pytest.mark.parametrize(
    ("changes", "action", "reason"), [s[1:] for s in CANARY_SENTENCES], ids=[s[0] for s in CANARY_SENTENCES]
)
def test_rule_of_a_canary(changes, action, reason):
    outcome = evaluate(replace(READY, **{**CANARY, **changes}))
    assert (outcome.action, outcome.reason.value) == (action, reason)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**CANARY, "units": 1650}, "no guardrail is worse, but 1650 of 4200 planned units are in"),
        ({**CANARY, "guardrails": OPEN}, "guardrail dislikes is undecided"),
        ({**CANARY, "elapsed_seconds": 1}, "no guardrail is worse, but minimumDurationSeconds (600)"),
        ({"elapsed_seconds": 9999, "unread": True}, "last windows are being read"),
        ({"clock": "the clock has gone back"}, "the clock has gone back"),
        ({"guardrails": OPEN, "primary": "Better"}, "better, but guardrail dislikes is undecided"),
        ({"guardrails": WORSE}, "guardrail errors got worse"),
        ({"step_units": 37}, "37 of 200 candidate units"),
        ({"obstacle": "the source is down"}, "the source is down"),
        ({"guardrails": OPEN}, "guardrail dislikes is undecided"),
        ({"elapsed_seconds": 1}, "minimumDurationSeconds (600)"),
        ({"primary": "Undecided", "elapsed_seconds": 7200}, "maximumDurationSeconds (7200)"),
        ({"primary": "TooSmall"}, "minimumDetectableEffect"),
    ],
)
def test_the_sentence_says_what_is_missing_or_was_found(changes, words):
    assert words in evaluate(replace(READY, **changes)).message


def test_a_guardrail_is_never_promoted_past_unless_it_is_proven_harmless():
    for verdict in ("Undecided", "Worse", "Better", "TooSmall"):
        situation = replace(READY, guardrails=(("dislikes", verdict),))
        assert evaluate(situation).action != "PromoteCandidate"
        assert evaluate(replace(situation, **CANARY)).action != "PromoteCandidate"


VERDICTS = st.sampled_from(["Better", "Worse", "TooSmall", "NotWorse", "Undecided"])
SITUATIONS = st.builds(
    Situation,
    primary=st.one_of(st.none(), VERDICTS),
    guardrails=st.lists(st.tuples(st.just("g"), VERDICTS), max_size=2).map(tuple),
    elapsed_seconds=st.sampled_from([0.0, 599.0, 600.0, 7200.0, 9999.0]),
    minimum_seconds=st.just(600),
    maximum_seconds=st.just(7200),
    split_ok=st.booleans(),
    step_units=st.sampled_from([0, 199, 200]),
    step_minimum=st.just(200),
    last_step=st.booleans(),
    units=st.sampled_from([0, 4199, 4200]),
    units_planned=st.just(4200),
    unread=st.booleans(),
    obstacle=st.sampled_from([None, "down"]),
    held=st.sampled_from([None, "paused"]),
    clock=st.sampled_from([None, "jumped"]),
)


@settings(deadline=None)
@given(SITUATIONS)
def test_whatever_the_situation_promotion_needs_everything_and_harm_needs_nothing(s):
    action = evaluate(s).action
    harmed = s.primary == "Worse" or any(v == "Worse" for _, v in s.guardrails)
    if harmed:
        assert action == "KeepBaseline"
    if action == "PromoteCandidate":
        assert all(v == "NotWorse" for _, v in s.guardrails)
        assert s.primary == "Better" or (s.primary is None and s.units >= s.units_planned)
        assert s.elapsed_seconds >= s.minimum_seconds and s.split_ok and s.last_step
        assert not (s.obstacle or s.held or s.clock)
    if (s.held or s.clock) and not harmed:
        assert action == "Hold"

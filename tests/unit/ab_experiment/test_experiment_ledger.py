"""The ledger: replay equals what was live, old lines fold away exactly, and every alteration is found."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from unit.ab_experiment.world import START, spec

from retrainer.ab_experiment.ledger import KEPT_LINES, Ledger, append, begin, compact, load, replay
from retrainer.ab_experiment.state import AlteredLedger, State, advance, from_json, iso, to_json
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.statistics.sums import binary

SPEC = ABExperimentSpec.model_validate(spec())


def at(seconds: float) -> str:
    return iso((START + timedelta(seconds=seconds)).timestamp())


def started() -> Ledger:
    ledger = begin(SPEC, {"likes": 0.7, "dislikes": 0.3}, at(0))
    ledger = append(ledger, {"kind": "weight", "at": at(0), "weightPercent": 10, "step": 0, "reason": "Started"})
    return append(ledger, {"kind": "applied", "at": at(0.75), "weightPercent": 10})


def window(number: int, rng: random.Random, weight: int = 10, late: float = 0.0) -> dict:
    n1, n0 = rng.randint(0, 30), rng.randint(0, 150)
    likes = binary(rng.randint(0, n1), n1), binary(rng.randint(0, n0), n0)
    arms = {
        "likes": {"candidate": likes[0].to_json(), "baseline": likes[1].to_json()},
        "dislikes": {"candidate": likes[0].complement().to_json(), "baseline": likes[1].complement().to_json()},
    }
    return {
        "kind": "window", "at": at(2 + 5 * number + 7 + late), "window": number, "start": at(2 + 5 * number),
        "end": at(7 + 5 * number), "weightPercent": weight, "applied": at(0.75), "arms": arms,
    }  # fmt: skip


def grown(windows: int) -> Ledger:
    rng, ledger = random.Random(3), started()
    for number in range(windows):
        ledger = append(ledger, window(number, rng))
    return ledger


def stored(ledger: Ledger) -> dict:
    return {"metadata": {"resourceVersion": "1"}, "data": ledger.data}


def test_a_replay_of_the_lines_gives_the_live_state_bit_for_bit():
    ledger = grown(12)
    assert replay(ledger) == ledger.state
    assert compact(to_json(replay(ledger))) == compact(json.loads(ledger.data["state"])["state"])


def test_a_ledger_read_back_goes_on_exactly_as_one_that_was_never_stored():
    live, rng = started(), random.Random(5)
    for number in range(8):
        line = window(number, rng)
        reloaded = append(load(stored(live), SPEC), line)
        live = append(live, line)
        assert reloaded == live


def test_old_lines_fold_away_and_the_replay_stays_exact():
    ledger, rng, lines = started(), random.Random(4), 2
    for number in range(KEPT_LINES + 20):
        ledger = append(ledger, window(number, rng))
        lines += 1
    assert lines > KEPT_LINES == len(ledger.lines)
    assert ledger.state.count == KEPT_LINES + 20
    assert replay(ledger) == ledger.state


def test_a_long_ledger_with_three_metrics_stays_far_below_its_limit():
    metrics = [*spec()["metrics"], {**spec()["metrics"][0], "name": "complaints"}]
    parsed = ABExperimentSpec.model_validate(spec(metrics=metrics))
    ledger, rng = begin(parsed, {}, at(0)), random.Random(6)
    ledger = append(ledger, {"kind": "weight", "at": at(0), "weightPercent": 10, "step": 0, "reason": "Started"})
    ledger = append(ledger, {"kind": "applied", "at": at(0.75), "weightPercent": 10})
    effect = {"metric": "m" * 63, "estimate": "-0.123456789", "lower": "-0.123456789", "upper": "0.123456789"}
    for number in range(KEPT_LINES + 5):
        line = window(number, rng)
        line["arms"]["complaints"] = line["arms"]["dislikes"]
        line["effects"] = [effect] * 3
        ledger = append(ledger, line)
    assert sum(len(part.encode()) for part in ledger.data.values()) < 512 * 1024


def without(part: str):
    def alter(data: dict) -> None:
        del data[part]

    return alter


def edited(part: str, old: str, new: str):
    def alter(data: dict) -> None:
        assert old in data[part]
        data[part] = data[part].replace(old, new, 1)

    return alter


ALTERATIONS = {
    **{f"{part} removed": without(part) for part in ("header", "checkpoint", "lines", "state", "digest")},
    "a count changed": edited("lines", '"weightPercent":10,"applied"', '"weightPercent":11,"applied"'),
    "the state changed": edited("state", '"count":3', '"count":4'),
    "the planned rate changed": edited("header", "0.7", "0.8"),
    "a line removed": lambda data: data.update(lines=data["lines"].rpartition("\n")[0]),
    "the digest changed": lambda data: data.update(digest="0" * 64),
    "emptied": lambda data: data.clear(),
}


@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_altered_ledger_is_recognised(alter):
    config_map = stored(grown(3))
    assert load(config_map, SPEC).state.count == 3
    alter(config_map["data"])
    with pytest.raises(AlteredLedger):
        load(config_map, SPEC)


def test_a_ledger_of_another_spec_is_not_ours():
    other = ABExperimentSpec.model_validate(spec(windowSeconds=10))
    with pytest.raises(AlteredLedger, match="another spec"):
        load(stored(grown(1)), other)


def test_suspending_does_not_change_what_the_spec_means():
    suspended = ABExperimentSpec.model_validate(spec(suspend=True))
    assert load(stored(grown(1)), suspended).state.count == 1


def test_a_window_cannot_be_counted_twice():
    ledger = grown(3)
    with pytest.raises(AlteredLedger, match="counted twice"):
        append(ledger, window(2, random.Random(1)))


def test_nothing_follows_a_decision():
    line = {
        "kind": "decision",
        "at": at(60),
        "verdict": "KeepBaseline",
        "reason": "ManualAbort",
        "message": "m",
        "weightPercent": 0,
    }
    ended = append(grown(2), line)
    assert ended.state.decision == {"verdict": "KeepBaseline", "reason": "ManualAbort", "message": "m", "time": at(60)}
    assert (ended.state.weight, ended.state.stretches) == (0, ())
    with pytest.raises(AlteredLedger, match="follows the decision"):
        append(ended, window(2, random.Random(1)))


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "unheard-of"},
        {"kind": "window"},
        {"kind": "weight", "at": "not a time"},
        {},
        {"kind": "applied", "at": None},
    ],
)
def test_a_line_that_cannot_be_read_is_an_alteration(line):
    ledger = started()
    with pytest.raises(AlteredLedger):
        advance(ledger.config, ledger.state, line)


@pytest.mark.parametrize("damage", [{}, {"step": 0}, {"stretches": 3}])
def test_a_state_that_cannot_be_read_is_an_alteration(damage):
    with pytest.raises(AlteredLedger):
        from_json(damage)


def test_the_state_survives_json():
    state = grown(4).state
    assert from_json(json.loads(json.dumps(to_json(state)))) == state
    assert from_json(json.loads(json.dumps(to_json(State())))) == State()


def test_windows_due_from_the_old_weight_are_counted_after_the_new_one_was_announced():
    ledger = grown(2)
    raised = {"kind": "weight", "at": at(20), "weightPercent": 25, "step": 1, "reason": "StepDone"}
    ledger = append(append(ledger, raised), {"kind": "applied", "at": at(23), "weightPercent": 25})
    assert [(s.weight, s.first, s.end) for s in ledger.state.stretches] == [(10, 0, 3), (25, 5, None)]
    ledger = append(ledger, window(2, random.Random(9), weight=10, late=10))
    assert [(s.weight, s.first) for s in ledger.state.stretches] == [(25, 5)]
    assert ledger.state.weight == 25


def test_a_disturbance_leaves_out_windows_from_before_it_was_noticed():
    ledger = append(grown(2), {"kind": "disturbed", "at": at(31), "reason": "RoutePending"})
    assert ledger.state.applied is None
    # Noticed at 31 s, perhaps ten seconds old: window 3 (17 to 22 s) is doubtful, window 2 is not.
    assert [(s.first, s.end) for s in ledger.state.stretches] == [(0, 3)]
    again = append(ledger, {"kind": "applied", "at": at(40), "weightPercent": 10})
    assert again.state.stretches[-1].first == 8

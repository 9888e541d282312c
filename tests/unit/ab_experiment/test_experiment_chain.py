"""The chain of the ledger: whatever is edited, removed, inserted or moved is found, and the part is named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ab_experiment.world import START, spec

from retrainer.ab_experiment import ledger as ledger_module
from retrainer.ab_experiment.ledger import Ledger, append, begin, compact, load, replay
from retrainer.ab_experiment.state import AlteredLedger, iso
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.statistics.sums import binary

SPEC = ABExperimentSpec.model_validate(spec())
Data = dict[str, str]


def at(seconds: float) -> str:
    return iso((START + timedelta(seconds=seconds)).timestamp())


def grown(windows: int, seed: int = 3) -> Ledger:
    """Started, applied, and so many windows."""
    rng, ledger = random.Random(seed), begin(SPEC, {"likes": 0.7, "dislikes": 0.3}, at(0), salt="tutor-4")
    ledger = append(ledger, {"kind": "weight", "at": at(0), "weightPercent": 10, "step": 0, "reason": "Started"})
    ledger = append(ledger, {"kind": "applied", "at": at(1), "weightPercent": 10})
    for number in range(windows):
        n1, n0 = rng.randint(0, 30), rng.randint(0, 150)
        arms = {
            arm: binary(rng.randint(0, n), n, rng.randint(0, 5)) for arm, n in (("candidate", n1), ("baseline", n0))
        }
        line = {
            "kind": "window", "at": at(9 + 5 * number), "window": number, "start": at(2 + 5 * number),
            "end": at(7 + 5 * number), "weightPercent": 10, "applied": at(1),
            "arms": {name: {arm: sums.to_json() for arm, sums in arms.items()} for name in ("likes", "dislikes")},
        }  # fmt: skip
        ledger = append(ledger, line)
    return ledger


def stored(data: Data) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "1"}, "data": data}


def lines_of(data: Data) -> list[str]:
    return data["lines"].split("\n")


def with_lines(change: Callable[[list[str]], None]) -> Callable[[Data], None]:
    def alter(data: Data) -> None:
        lines = lines_of(data)
        change(lines)
        data["lines"] = "\n".join(lines)

    return alter


def edited(number: int) -> Callable[[Data], None]:
    def change(lines: list[str]) -> None:
        assert '"weightPercent":10' in lines[number]
        lines[number] = lines[number].replace('"weightPercent":10', '"weightPercent":11')

    return with_lines(change)


def swap(lines: list[str]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def forge(lines: list[str]) -> None:
    """A line that somebody made up, with the place of the one that it pushes back."""
    lines.insert(4, lines[4].replace('"weightPercent":10', '"weightPercent":50'))


def part(name: str, old: str, new: str) -> Callable[[Data], None]:
    def alter(data: Data) -> None:
        assert old in data[name]
        data[name] = data[name].replace(old, new, 1)

    return alter


ALTERATIONS: dict[str, tuple[Callable[[Data], None], str]] = {
    "a line edited": (edited(4), "line 4 was edited"),
    "the first line edited": (edited(0), "line 0 was edited"),
    "the last line edited": (edited(7), "line 7, the last, was edited"),
    "a line removed": (with_lines(lambda lines: lines.pop(3)), "line 4 stands where line 3 should"),
    "the first line removed": (with_lines(lambda lines: lines.pop(0)), "line 1 stands where line 0 should"),
    "the last line removed": (with_lines(lambda lines: lines.pop()), "missing, from line 7 on"),
    "all lines removed": (with_lines(lambda lines: lines.clear()), "missing, from line 0 on"),
    "a line repeated": (with_lines(lambda lines: lines.insert(5, lines[4])), "line 4 stands where line 5 should"),
    "a line made up": (with_lines(forge), "line 4 stands where line 5 should"),
    "two lines swapped": (with_lines(swap), "line 4 stands where line 3 should"),
    "a line added": (with_lines(lambda lines: lines.append(lines[-1])), "line 7 stands where line 8 should"),
    "an empty line added": (with_lines(lambda lines: lines.insert(2, "")), "line 2 cannot be read"),
    "another planned rate": (part("header", "0.7", "0.8"), "its header"),
    "another salt": (part("header", "tutor-4", "tutor-5"), "its header"),
    "another count in the state": (part("state", '"count":6', '"count":7'), "its state"),
    "another count in the checkpoint": (part("checkpoint", '"count":0', '"count":1'), "its checkpoint"),
    "two parts edited": (
        lambda data: (part("header", "0.7", "0.8")(data), part("state", '"count":6', '"count":7')(data))[0],
        "its header and state",
    ),
    "the digest edited": (part("digest", '"state":"', '"state":"0'), "its state (or the digest of it)"),
    "the digest emptied": (lambda data: data.update(digest="{}"), "its digest was edited"),
    "a space in the digest": (part("digest", ":", ": "), "its digest was edited"),
    "the digest no JSON": (lambda data: data.update(digest="["), "its digest is not JSON"),
    "a part removed": (lambda data: data.pop("checkpoint") and None, "its checkpoint is missing"),
}


@pytest.mark.parametrize(("alter", "said"), ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_alteration_is_found_and_the_part_is_named(alter, said):
    data = grown(6).data
    assert load(stored(data), SPEC).state.count == 6
    alter(data)
    with pytest.raises(AlteredLedger) as found:
        load(stored(data), SPEC)
    assert said in str(found.value)


def test_a_ledger_of_another_engine_is_not_read(monkeypatch):
    monkeypatch.setattr(ledger_module, "ENGINE", "retrainer-1")
    data = grown(2).data
    monkeypatch.undo()
    with pytest.raises(AlteredLedger, match="written by engine retrainer-1, this is retrainer-2"):
        load(stored(data), SPEC)


def test_after_lines_were_folded_away_the_chain_goes_on_from_the_checkpoint(monkeypatch):
    monkeypatch.setattr(ledger_module, "KEPT_LINES", 4)
    ledger = grown(9)
    loaded = load(stored(ledger.data), SPEC)
    assert loaded == ledger and len(ledger.lines) == 4
    assert json.loads(ledger.lines[0])["line"] == json.loads(ledger.checkpoint)["lines"] == 7
    assert replay(loaded) == loaded.state
    data = ledger.data
    edited(0)(data)
    with pytest.raises(AlteredLedger, match="line 7 was edited"):
        load(stored(data), SPEC)


def test_an_older_checkpoint_does_not_fit_younger_lines(monkeypatch):
    monkeypatch.setattr(ledger_module, "KEPT_LINES", 4)
    older, younger = grown(8).data, grown(9).data
    mixed = {**younger, "checkpoint": older["checkpoint"]}
    digests = {**json.loads(younger["digest"]), "checkpoint": json.loads(older["digest"])["checkpoint"]}
    mixed["digest"] = compact(digests)
    with pytest.raises(AlteredLedger, match="line 7 stands where line 6 should"):
        load(stored(mixed), SPEC)


def test_lines_of_long_texts_are_folded_before_the_config_map_is_too_large(monkeypatch):
    monkeypatch.setattr(ledger_module, "KEPT_BYTES", 3000)
    ledger = grown(40)
    assert 1 < len(ledger.lines) < 12
    assert sum(map(len, ledger.lines)) <= 3000
    assert replay(load(stored(ledger.data), SPEC)) == ledger.state


def test_a_line_is_never_dated_before_the_line_that_it_follows():
    ledger = grown(3)
    with pytest.raises(AlteredLedger, match="dated before"):
        append(ledger, {"kind": "disturbed", "at": at(3), "reason": "RoutePending"})


STORED = grown(4).data
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(STORED)), st.integers(0, 10**6), st.integers(1, 127))
def test_a_single_byte_that_flips_anywhere_is_found(name, place, flip):
    raw = bytearray(STORED[name].encode())
    raw[place % len(raw)] ^= flip
    with pytest.raises(AlteredLedger):
        load(stored({**STORED, name: raw.decode("latin-1")}), SPEC)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(STORED)), st.integers(0, 10**6), st.integers(0, 40), TEXT)
def test_any_other_text_of_any_part_is_found(name, place, removed, inserted):
    text = STORED[name]
    start = place % (len(text) + 1)
    changed = text[:start] + inserted + text[start + removed :]
    if changed == text:
        assert load(stored({**STORED, name: changed}), SPEC).state.count == 4
        return
    with pytest.raises(AlteredLedger):
        load(stored({**STORED, name: changed}), SPEC)


ARMS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 9)).map(
    lambda t: binary(min(t[0], t[1]), max(t[0], t[1]), t[2]).to_json()
)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(ARMS, ARMS, st.integers(0, 3)), max_size=8), st.integers(2, 6))
def test_random_lines_survive_json_and_folding_bit_for_bit(windows, kept):
    ledger, number, clock = grown(0), 0, 9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "KEPT_LINES", kept)
        for candidate, baseline, skipped in windows:
            number += 1 + skipped
            clock += 5 * (1 + skipped)
            arms = {name: {"candidate": candidate, "baseline": baseline} for name in ("likes", "dislikes")}
            line = {
                "kind": "window", "at": at(clock), "window": number, "start": at(clock - 7), "end": at(clock - 2),
                "weightPercent": 10, "applied": at(1), "arms": arms,
            }  # fmt: skip
            ledger = append(ledger, line)
            ledger = load(stored(json.loads(json.dumps(ledger.data))), SPEC)
    assert len(ledger.lines) <= max(kept, 2)
    assert replay(ledger) == ledger.state
    assert ledger.end.lines == 2 + len(windows)

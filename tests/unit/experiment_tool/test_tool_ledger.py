"""A live ledger is replayed line by line, byte for byte; one that was touched is refused."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.ab_experiment.world import World, spec

from retrainer.ab_experiment import ledger as ledger_module
from retrainer.ab_experiment.input import Readiness
from retrainer.experiment_tool.assumptions import assumptions
from retrainer.experiment_tool.failure import InputError, Refuted
from retrainer.experiment_tool.looks import Look
from retrainer.experiment_tool.replaying import of_ledger, of_outcomes
from retrainer.experiment_tool.subjects import Subject, one_subject

Object = dict[str, Any]


@functools.cache
def better() -> World:
    """The demo's experiment, to its end, in the operator's own world."""
    return World().run()


def experiment_of(world: World) -> Object:
    return {"apiVersion": "retrainer.dev/v1alpha1", "kind": "ABExperiment", **copy.deepcopy(world.experiment)}


def files(folder: Path, experiment: Object, ledger: Object) -> tuple[Subject, str]:
    """As `kubectl get … -o json` writes them; JSON is YAML too."""
    (folder / "abx.yaml").write_text(json.dumps(experiment), encoding="utf-8")
    (folder / "ledger.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **ledger}))
    return one_subject(str(folder / "abx.yaml")), str(folder / "ledger.yaml")


def replayed(folder: Path, world: World, ledger: Object | None = None) -> list[Look]:
    subject, path = files(folder, experiment_of(world), ledger or world.ledger or {})
    return list(of_ledger(subject, path).looks)


def window_lines(world: World) -> list[Object]:
    return [line for line in map(json.loads, world.lines) if line["kind"] == "window"]


def test_a_live_experiment_is_reproduced(tmp_path: Path):
    world = better()
    looks = replayed(tmp_path, world)
    lines = window_lines(world)
    assert [(k.window, k.weight_percent) for k in looks] == [(n["window"], n["weightPercent"]) for n in lines]
    assert [look.decision for look in looks[:-1]] == [None] * (len(looks) - 1)
    last = looks[-1].to_json()
    decided = world.status["decision"]
    assert last["decision"] == {"verdict": decided["verdict"], "reason": decided["reason"]}
    for found, told in zip(last["effects"], lines[-1]["effects"], strict=True):
        assert found["verdict"] == told["verdict"]
        assert found["estimate"] == pytest.approx(float(told["estimate"]), rel=1e-3)


def test_a_replay_says_what_it_verified(tmp_path: Path):
    world = better()
    subject, path = files(tmp_path, experiment_of(world), world.ledger or {})
    remarks = of_ledger(subject, path).remarks
    assert remarks[0] == f"the chain of {len(world.lines)} lines is whole"
    assert remarks[-1].startswith("verdict PromoteCandidate (CandidateBetter): better, and no guardrail is worse")


def test_the_outcomes_in_a_ledger_lead_to_the_same_effects_and_verdict(tmp_path: Path):
    """The ledger's own sums, given as outcomes, with the rates that its header bears."""
    world = better()
    rows = [
        {
            "window": line["window"],
            "weightPercent": line["weightPercent"],
            "metric": metric,
            "arm": arm,
            **dict(zip(("n", "sum", "sumSquares", "missing"), sums, strict=True)),
        }
        for line in window_lines(world)
        for metric, arms in line["arms"].items()
        for arm, sums in arms.items()
    ]
    (tmp_path / "outcomes.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    live = replayed(tmp_path, world)
    subject = one_subject(str(tmp_path / "abx.yaml"))
    assumed = assumptions(subject, ["likes=0.7", "dislikes=0.3"], [])
    again = list(of_outcomes(subject, assumed, str(tmp_path / "outcomes.jsonl")).looks)
    assert [look.findings for look in again] == [look.findings for look in live]
    assert again[-1].decision == live[-1].decision


ENDS: dict[str, Callable[[], World]] = {
    "PrimaryWorse": lambda: World(candidate_rate=0.5, spec=spec(metrics=spec()["metrics"][1:])).run(),
    "GuardrailWorse": lambda: World(candidate_rate=0.2, seed=2).run(),
    "EffectTooSmall": lambda: World(candidate_rate=0.66).run(),
    "MaximumDurationReached": lambda: World(spec=spec(maximumDurationSeconds=40, minimumDurationSeconds=0)).run(),
}


@pytest.mark.parametrize("reason", ENDS)
def test_every_kind_of_verdict_is_reproduced(reason: str, tmp_path: Path):
    world = ENDS[reason]()
    assert world.status["decision"]["reason"] == reason
    assert replayed(tmp_path, world)[-1].to_json()["decision"] == {
        "verdict": world.status["decision"]["verdict"],
        "reason": reason,
    }


@pytest.mark.parametrize(("action", "verdict"), [("abort", "KeepBaseline"), ("promote", "PromoteCandidate")])
def test_what_a_person_decided_is_shown_as_recorded(action: str, verdict: str, tmp_path: Path):
    world = World()
    world.run(seconds=30)
    world.request(f"{action}/1")
    world.run(seconds=10)
    decision = replayed(tmp_path, world)[-1].decision
    assert decision is not None
    assert (decision.verdict, decision.reason) == (verdict, f"Manual{action.capitalize()}")


def paused(world: World) -> None:
    world.request("pause/1")
    world.run(seconds=12)
    world.request("resume/2")


def without_source(world: World) -> None:
    world.source_down = True
    world.run(seconds=12)
    world.source_down = False


def with_a_clock_ahead(world: World) -> None:
    world.clock_wrong, world.server_wrong = 3600.0, 0.0
    world.run(seconds=12)
    world.clock_wrong = 0.0


def without_candidate(world: World) -> None:
    world.candidate = Readiness(False, "Service tutor-r4 has no ready endpoints")
    world.run(seconds=12)
    world.candidate = Readiness(True)


@pytest.mark.parametrize("trouble", [paused, without_source, with_a_clock_ahead, without_candidate])
def test_an_experiment_that_was_held_is_reproduced_with_its_circumstances(
    trouble: Callable[[World], None], tmp_path: Path
):
    world = World()
    world.run(seconds=20)
    trouble(world)
    world.run()
    decided = world.status["decision"]
    assert replayed(tmp_path, world)[-1].to_json()["decision"] == {
        "verdict": decided["verdict"],
        "reason": decided["reason"],
    }


def test_undecided_and_awaiting_a_person_is_no_verdict(tmp_path: Path):
    limits = {"maximumDurationSeconds": 40, "minimumDurationSeconds": 0, "onInconclusive": "Hold"}
    world = World(spec=spec(**limits)).run(seconds=60)
    assert any(json.loads(text)["kind"] == "awaiting" for text in world.lines)
    assert replayed(tmp_path, world)[-1].decision is None


def test_windows_that_were_folded_away_count_and_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = replayed(tmp_path, better())
    monkeypatch.setattr(ledger_module, "KEPT_LINES", 6)
    world = World().run()
    subject, path = files(tmp_path, experiment_of(world), world.ledger or {})
    course = of_ledger(subject, path)
    looks = list(course.looks)
    assert 0 < len(looks) < len(whole)
    assert looks == whole[-len(looks) :]
    assert course.remarks[1].endswith("folded into the checkpoint: their evidence counts, their windows are not shown")


def test_an_experiment_that_is_still_running_has_no_verdict(tmp_path: Path):
    world = World()
    world.run(seconds=30)
    looks = replayed(tmp_path, world)
    assert len(looks) == len(window_lines(world)) > 2
    assert looks[-1].decision is None


def test_an_experiment_that_has_just_begun_has_no_looks(tmp_path: Path):
    world = World()
    world.tick()
    world.tick()
    assert replayed(tmp_path, world) == []


def sealed(data: dict[str, str]) -> dict[str, str]:
    """With hashes made to fit, as somebody would who knows the format."""
    texts = [text for text in data["lines"].split("\n") if text]
    begins = json.loads(data["checkpoint"])
    number, previous = begins["lines"], begins["hash"]
    linked = []
    for text in texts:
        line = {**json.loads(text), "line": number, "previous": previous}
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        linked.append(text)
        number, previous = number + 1, hashlib.sha256(text.encode()).hexdigest()
    state = {**json.loads(data["state"]), "lines": number, "hash": previous}
    parts = {**data, "lines": "\n".join(linked), "state": json.dumps(state, separators=(",", ":"), ensure_ascii=False)}
    digest = {p: hashlib.sha256(parts[p].encode()).hexdigest() for p in ("header", "checkpoint", "state")}
    return {**parts, "digest": json.dumps(digest, separators=(",", ":"))}


def edited(world: World, change: Callable[[list[Object]], None], *, seal: bool) -> Object:
    ledger = copy.deepcopy(world.ledger or {})
    lines = [json.loads(text) for text in world.lines]
    change(lines)
    dumped = (json.dumps(line, separators=(",", ":"), ensure_ascii=False) for line in lines)
    ledger["data"]["lines"] = "\n".join(dumped)
    if seal:
        ledger["data"] = sealed(ledger["data"])
    return ledger


def first_window(lines: list[Object]) -> Object:
    return next(line for line in lines if line["kind"] == "window")


def fewer_likes(lines: list[Object]) -> None:
    sums = first_window(lines)["arms"]["likes"]["candidate"]
    sums[1], sums[2] = sums[1] - 1, sums[2] - 1


def another_verdict_of_a_metric(lines: list[Object]) -> None:
    first_window(lines)["effects"][0]["verdict"] = "Worse"


def another_verdict(lines: list[Object]) -> None:
    lines[-1].update(verdict="KeepBaseline", reason="EffectTooSmall")


def another_message(lines: list[Object]) -> None:
    lines[-1]["message"] = lines[-1]["message"].replace("1,368", "9,368")


def nothing(lines: list[Object]) -> None:
    pass


EDITS: list[tuple[str, Callable[[list[Object]], None], bool, str]] = [
    ("a count edited by hand", fewer_likes, False, "was edited"),
    ("a line removed", lambda lines: lines.remove(first_window(lines)), False, "lines are missing"),
    ("a count edited, hashes made to fit", fewer_likes, True, "(window) is not reproduced: effects is"),
    ("an effect edited, hashes made to fit", another_verdict_of_a_metric, True, 'comes out as [{"metric": "likes"'),
    ("the verdict edited, hashes made to fit", another_verdict, True, "the rules say PromoteCandidate CandidateBetter"),
    ("its numbers edited, hashes made to fit", another_message, True, "its message has other numbers than likes +0.1"),
]


@pytest.mark.parametrize(("sentence", "change", "seal", "words"), EDITS, ids=[edit[0] for edit in EDITS])
def test_an_edited_ledger_is_refused(
    sentence: str, change: Callable[[list[Object]], None], seal: bool, words: str, tmp_path: Path
):
    world = better()
    running = experiment_of(world)
    del running["status"]
    subject, path = files(tmp_path, running, edited(world, change, seal=seal))
    with pytest.raises(Refuted) as error:
        list(of_ledger(subject, path).looks)
    assert words in str(error.value)
    assert str(error.value).startswith(path)


def test_the_same_ledger_sealed_again_is_accepted(tmp_path: Path):
    """Otherwise the test above would prove nothing."""
    world = better()
    assert len(replayed(tmp_path, world, edited(world, nothing, seal=True))) == len(window_lines(world))


def test_a_ledger_that_contradicts_the_status_is_refused(tmp_path: Path):
    world = better()
    experiment = experiment_of(world)
    experiment["status"]["decision"]["reason"] = "ManualPromote"
    subject, path = files(tmp_path, experiment, world.ledger or {})
    with pytest.raises(Refuted, match=r"the ledger says reason 'CandidateBetter', the status of .* 'ManualPromote'"):
        of_ledger(subject, path)
    experiment["status"]["windows"]["count"] = 99
    subject, path = files(tmp_path, experiment, world.ledger or {})
    with pytest.raises(Refuted, match="tells of 99"):
        of_ledger(subject, path)


def test_the_ledger_of_another_experiment_is_no_fraud_but_a_mistake(tmp_path: Path):
    world = better()
    other = {**experiment_of(world), "spec": spec(alpha="0.01")}
    subject, path = files(tmp_path, other, world.ledger or {})
    with pytest.raises(InputError, match=r"another spec .* kubectl get abexperiment tutor-4 -o yaml"):
        of_ledger(subject, path)


def test_a_file_without_a_ledger_says_how_to_get_one(tmp_path: Path):
    subject, path = files(tmp_path, experiment_of(better()), {"data": {"a": "b"}})
    with pytest.raises(InputError, match=r"holds no ledger; .* kubectl get configmap tutor-4-ledger -o yaml"):
        of_ledger(subject, path)

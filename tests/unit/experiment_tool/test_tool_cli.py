"""`retrainer experiment` as it is called: what it prints, where, and with which exit code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from retrainer.__main__ import main
from tests.unit.experiment_tool.tool_files import SAMPLE, experiment, lines, write_lines, write_yaml


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(["experiment", *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def abx(tmp_path: Path) -> str:
    return write_yaml(tmp_path / "abx.yaml", experiment())


@pytest.fixture
def outcomes(tmp_path: Path) -> str:
    rows = [row for n in range(4) for row in lines(n, 50, (450, 500), (350, 500))]
    return write_lines(tmp_path / "outcomes.jsonl", rows)


def test_a_plan_as_table_and_as_json(abx: str, capsys: pytest.CaptureFixture[str]):
    arguments = ("plan", "-f", abx, "--rate", "0.82", "--units-per-day", "4000")
    code, table, errors = call(capsys, *arguments)
    assert (code, errors) == (0, "")
    plan = json.loads(call(capsys, *arguments, "--output", "json")[1])
    assert f"units needed   {plan['unitsNeeded']:,}" in table
    assert plan["feasible"] is True
    assert plan["days"] == pytest.approx(plan["unitsNeeded"] / 4000)


def test_every_experiment_of_a_file_is_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    both = write_yaml(tmp_path / "both.yaml", experiment("a"), experiment("b"))
    _, out, _ = call(capsys, "plan", "-f", both, "--output", "json")
    assert [json.loads(line)["experiment"] for line in out.splitlines()] == ["ABExperiment/a", "ABExperiment/b"]
    _, out, _ = call(capsys, "plan", "-f", both, "--output", "json", "--name", "b")
    assert json.loads(out)["experiment"] == "ABExperiment/b"


def test_a_dash_reads_standard_input(
    abx: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO(Path(abx).read_text(encoding="utf-8")))
    assert call(capsys, "plan", "-f", "-")[0] == 0


def test_a_replay_prints_one_object_per_window(abx: str, outcomes: str, capsys: pytest.CaptureFixture[str]):
    code, out, _ = call(capsys, "replay", "-f", abx, "--outcomes", outcomes, "--rate", "0.7")
    looks = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [look["window"] for look in looks] == [0, 1, 2, 3]
    assert looks[-1]["decision"] == {"verdict": "PromoteCandidate", "reason": "CandidateBetter"}


def test_remarks_go_to_standard_error(abx: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    only_likes = write_lines(tmp_path / "o.jsonl", lines(0, 50, (1, 2), (1, 2), "likes"))
    code, out, errors = call(capsys, "replay", "-f", abx, "--outcomes", only_likes)
    assert code == 0
    assert len(out.splitlines()) == 1
    assert errors == "retrainer: note: no line is about dislikes: it stays undecided\n"


WRONG: list[tuple[str, tuple[str, ...], str]] = [
    ("no command", (), "required: COMMAND"),
    ("no file", ("plan",), "-f/--filename"),
    ("a file that is not there", ("plan", "-f", "missing.yaml"), "missing.yaml: cannot be read: no such file"),
    ("no traffic", ("plan", "-f", "abx.yaml", "--units-per-day", "0"), "must be a number above 0"),
    ("a rate that cannot be", ("plan", "-f", "abx.yaml", "--rate", "82"), "must lie from 0 to 1"),
    ("no runs", ("simulate", "-f", "abx.yaml", "--units-per-day", "9", "--runs", "0"), "from 1 to 1,000,000"),
    ("no units", ("simulate", "-f", "abx.yaml"), "--units-per-day"),
    ("no effect", ("simulate", "-f", "abx.yaml", "--units-per-day", "9", "--effect", "0"), "0: must be above 0"),
    ("nothing to replay", ("replay", "-f", "abx.yaml"), "one of the arguments --outcomes --ledger is required"),
    ("two to replay", ("replay", "-f", "abx.yaml", "--outcomes", "a", "--ledger", "b"), "not allowed with"),
    ("a bad line", ("replay", "-f", "abx.yaml", "--outcomes", "abx.yaml"), "line 1: apiVersion is not a field here"),
    ("no ledger", ("replay", "-f", "abx.yaml", "--ledger", "abx.yaml"), "abx.yaml: holds no ledger"),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "arguments", "words"), WRONG, ids=[w[0] for w in WRONG])
def test_what_cannot_be_used_is_exit_code_2_and_says_why(
    sentence: str,
    arguments: tuple[str, ...],
    words: str,
    abx: str,
    outcomes: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(Path(abx).parent)
    code, out, errors = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in errors
    assert "Traceback" not in errors


def test_every_mistake_has_a_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = write_yaml(tmp_path / "bad.yaml", experiment(alpha=0.05, windowSeconds=1))
    code, _, errors = call(capsys, "plan", "-f", bad)
    assert code == 2
    assert [line.split(":")[0] for line in errors.splitlines()] == ["retrainer"] * 2


@pytest.mark.parametrize("command", ["plan", "simulate", "replay", "plot"])
def test_help_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]):
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert "Exit codes: 0 answered" in " ".join(out.split())
    assert "YAML of an ABExperiment" in out


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert [name for name in ("plan", "simulate", "replay", "plot") if f"    {name}" not in out] == []


def test_the_sample_can_be_planned(capsys: pytest.CaptureFixture[str]):
    code, out, _ = call(capsys, "plan", "-f", str(SAMPLE), "--rate", "0.82", "--units-per-day", "4000")
    assert code == 0
    assert out.startswith("ABExperiment/tutor-prompt-v2")


def test_the_answer_may_be_cut_short_by_its_reader(
    abx: str, outcomes: str, monkeypatch: pytest.MonkeyPatch
):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(["experiment", "replay", "-f", abx, "--outcomes", outcomes]) == 0

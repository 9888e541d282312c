"""`retrainer experiment` in processes of its own: pictures, simulations, pipes, and the operator's memory."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retrainer.experiment_tool import which_settings
from retrainer.experiment_tool.pages import quoted
from tests.unit.experiment_tool.tool_files import ROOT, SAMPLE, experiment, lines, write_lines, write_yaml

PNG = b"\x89PNG\r\n\x1a\n"
RETRAINER = [sys.executable, "-m", "retrainer", "experiment"]


def run(*arguments: str, folder: Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [*RETRAINER, *arguments]
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of four windows, the last two at the last step."""
    write_yaml(tmp_path / "abx.yaml", experiment())
    rows = [
        *lines(0, 10, (80, 100), (630, 900)),
        *lines(1, 10, (80, 100), (630, 900)),
        *lines(3, 50, (420, 500), (350, 500)),
        *lines(4, 50, (420, 500), (350, 500)),
        *lines(5, 50, (420, 500), (350, 500)),
    ]
    write_lines(tmp_path / "outcomes.jsonl", rows)
    return tmp_path


def simulated(folder: Path, *arguments: str) -> dict[str, Any]:
    common = ("-f", "abx.yaml", "--rate", "0.7", "--units-per-day", "1000", "--output", "json")
    done = run("simulate", *common, *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_simulation_is_the_same_with_the_same_seed_and_keeps_its_promises(folder: Path):
    first = simulated(folder, "--runs", "300", "--seed", "3")
    assert first == simulated(folder, "--runs", "300", "--seed", "3")
    assert first != simulated(folder, "--runs", "300", "--seed", "4")
    useless = first["cases"][0]
    assert first["falsePromotions"] <= 0.05 + 3 * useless["standardError"]
    assert first["power"] >= 0.8
    assert first["cases"][1]["effect"] == first["effect"] == pytest.approx(0.1)
    assert 0 < first["medianDays"] <= 10


def test_a_larger_effect_is_found_more_often(folder: Path):
    large, small = (simulated(folder, "--runs", "200", "--effect", d) for d in ("0.15", "0.03"))
    assert large["power"] > small["power"] + 0.3


def test_a_simulation_for_people_has_the_three_answers(folder: Path):
    done = run("simulate", "-f", "abx.yaml", "--units-per-day", "1000", "--runs", "50", folder=folder)
    assert done.returncode == 0
    assert [word for word in ("false promotions", "power", "duration", "alpha 5.0 %") if word not in done.stdout] == []


@pytest.mark.parametrize("arguments", [("-o", "x.png"), ()])
def test_a_picture_is_drawn(arguments: tuple[str, ...], folder: Path):
    done = run("plot", "-f", "abx.yaml", "--outcomes", "outcomes.jsonl", "--rate", "0.7", *arguments, folder=folder)
    name = arguments[-1] if arguments else "tutor.png"
    assert (done.returncode, done.stdout) == (0, f"{name}\n")
    content = (folder / name).read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert content.startswith(PNG)
    assert 1000 < width < 2000 and 800 < height < 2000


def test_a_picture_that_cannot_be_written_is_said_so(folder: Path):
    done = run("plot", "-f", "abx.yaml", "--outcomes", "outcomes.jsonl", "-o", "none/x.png", folder=folder)
    assert done.returncode == 2
    assert "none/x.png: cannot be written: no such file or directory" in done.stderr


def test_commands_can_be_piped(folder: Path):
    outcomes = (folder / "outcomes.jsonl").read_text(encoding="utf-8")
    done = run("replay", "-f", "abx.yaml", "--outcomes", "-", "--rate", "0.7", folder=folder, given=outcomes)
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["decision"]["verdict"] == "PromoteCandidate"


def test_the_sample_can_be_planned_from_a_shell(folder: Path):
    done = run("plan", "-f", str(SAMPLE), "--rate", "0.82", "--units-per-day", "4000", folder=folder)
    assert done.returncode == 0
    assert "feasible       yes" in done.stdout


def test_the_operator_loads_nothing_of_these_commands_but_their_arguments(folder: Path):
    """Nor numpy or matplotlib, which they need."""
    code = (
        "import sys, retrainer.__main__ as m; m.main(['crds']);"
        "print(*sorted(n for n in sys.modules if n.startswith(('retrainer.experiment_tool', 'numpy', 'matplotlib'))),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    tool = "retrainer.experiment_tool"
    assert done.stderr.split() == [tool, f"{tool}.cli", f"{tool}.failure"]


def test_the_table_of_settings_in_the_how_to_is_what_a_simulation_gives():
    """One cheap row, with a quarter of the runs: within four standard errors of the page."""
    page = (ROOT / "docs" / "which-settings.md").read_text(encoding="utf-8")
    shown = which_settings.rows_in(page)[0]
    found = which_settings.foreseen(which_settings.SETTINGS[0], runs=500, seed=7)
    useless, better = found.cases[0], found.cases[1]
    assert better.promoted == pytest.approx(float(shown["power"].removesuffix(" %")) / 100, abs=0.03)
    assert useless.promoted == pytest.approx(float(shown["useless promoted"].removesuffix(" %")) / 100, abs=0.03)
    median, most = (float(days) for days in shown["days to decide (median; 90 %)"].split(";"))
    assert better.days_median == pytest.approx(median, rel=0.2)
    assert better.days_90_percent == pytest.approx(most, rel=0.3)


def test_the_simulation_that_the_reference_quotes_is_real(folder: Path):
    page = (ROOT / "docs" / "experiment-tool.md").read_text(encoding="utf-8")
    command, shown = next((c, out) for c, out in quoted(page) if "simulate" in c)
    done = run(*command.split()[2:], folder=ROOT)
    assert done.stdout.rstrip() == shown

"""The picture: what it shows is chosen apart from how it is drawn."""

from __future__ import annotations

import builtins
import tomllib
from pathlib import Path
from typing import Any

import pytest

from retrainer.__main__ import main
from retrainer.experiment_tool.assumptions import assumptions
from retrainer.experiment_tool.failure import MissingLibrary
from retrainer.experiment_tool.picture import Picture, picture
from retrainer.experiment_tool.plotting import EXTRA, draw
from retrainer.experiment_tool.replaying import of_outcomes
from tests.unit.experiment_tool.tool_files import ROOT, experiment, lines, subject, write_lines


def drawn(folder: Path, rows: list[Any], obj: dict[str, Any] | None = None) -> Picture:
    chosen = subject(folder, obj or experiment())
    course = of_outcomes(chosen, assumptions(chosen, ["0.7"], []), write_lines(folder / "o.jsonl", rows))
    looks = list(course.looks)
    return picture("tutor", looks, course.metrics)


def rising(folder: Path) -> Picture:
    rows = [
        *lines(0, 10, (80, 100), (630, 900)),
        *lines(1, 10, (80, 100), (630, 900)),
        *lines(3, 50, (420, 500), (350, 500)),
        *lines(4, 50, (420, 500), (350, 500)),
        *lines(5, 50, (420, 500), (350, 500)),
    ]
    return drawn(folder, rows)


def test_the_title_bears_the_verdict_and_the_subtitle_its_numbers(tmp_path: Path):
    shown = rising(tmp_path)
    assert shown.title == "tutor: promote the candidate (CandidateBetter)"
    assert shown.subtitle.startswith("likes +0.1")
    assert "at the verdict: Better" in shown.subtitle
    assert shown.decided in shown.times


def test_without_a_verdict_the_title_says_so(tmp_path: Path):
    shown = drawn(tmp_path, lines(0, 10, (7, 10), (63, 90)))
    assert shown.title == "tutor: no verdict yet"
    assert shown.subtitle.endswith("so far: Undecided")
    assert shown.decided is None


def test_weights_are_steps_with_gaps_where_windows_were_left_out(tmp_path: Path):
    shown = rising(tmp_path)
    assert shown.unit == "hours"
    assert shown.weights == ((0.0, 2.0, 10), (3.0, 6.0, 50))
    assert shown.times == (1.0, 2.0, 4.0, 5.0, 6.0)
    assert shown.units == (1000, 2000, 3000, 4000, 5000)


def test_what_matters_lies_within_the_axis(tmp_path: Path):
    for band in rising(tmp_path).bands:
        known = [value for value in (band.estimate[-1], 0.0, band.bar) if value is not None]
        assert len(known) == 3
        assert all(band.low < value < band.high for value in known)


def test_the_bar_of_a_guardrail_is_the_harm_that_is_tolerated(tmp_path: Path):
    primary, guardrail = rising(tmp_path).bands
    assert (primary.bar, primary.bar_label) == (0.1, "smallest effect +0.1")
    assert (guardrail.bar, guardrail.bar_label) == (0.05, "margin +0.05")
    assert guardrail.heading == "dislikes: guardrail, lower is better"


def test_an_interval_that_is_not_known_leaves_the_whole_axis_open(tmp_path: Path):
    """Of dislikes nothing is known: no estimate, no interval, and an axis around the margin."""
    band = drawn(tmp_path, lines(0, 50, (7, 10), (6, 10), "likes")).bands[1]
    assert (band.estimate, band.lower, band.upper) == ((None,), (None,), (None,))
    assert band.low < -0.05 < 0.05 < band.high


@pytest.mark.parametrize(
    ("seconds", "unit"), [(86_400, "days"), (3600, "hours"), (300, "minutes"), (5, "seconds")]
)
def test_time_is_in_a_unit_that_fits(seconds: int, unit: str, tmp_path: Path):
    rows = [row for n in range(3) for row in lines(n, 10, (7, 10), (63, 90))]
    spec = experiment(windowSeconds=seconds, minimumDurationSeconds=0, maximumDurationSeconds=8_640_000)
    assert drawn(tmp_path, rows, spec).unit == unit


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shown = rising(tmp_path)
    real = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingLibrary, match=r"pip install 'retrainer\[plot\]'"):
        draw(shown, str(tmp_path / "x.png"))
    code = main(["experiment", "plot", "-f", str(tmp_path / "abx.yaml"), "--outcomes", str(tmp_path / "o.jsonl")])
    assert code == 1
    assert "plot needs matplotlib" in capsys.readouterr().err


def test_the_extra_that_is_named_has_matplotlib():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(requirement.startswith("matplotlib") for requirement in extras[EXTRA])



"""What the pages about `retrainer experiment` say is what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from retrainer.ab_experiment.config import configure
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.experiment_tool import which_settings
from retrainer.experiment_tool.assumptions import assumptions
from retrainer.experiment_tool.outcomes import EXAMPLE
from retrainer.experiment_tool.pages import output_of, quoted
from retrainer.experiment_tool.planning import plan
from retrainer.experiment_tool.subjects import one_subject
from retrainer.experiment_tool.which_settings import COLUMNS, SETTINGS, Setting
from retrainer.simulation.forecast import Case, Forecast
from tests.unit.experiment_tool.tool_files import ROOT

REFERENCE = (ROOT / "docs" / "experiment-tool.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "which-settings.md").read_text(encoding="utf-8")
NOTHING = Case("", 0.0, 0.0, 0.0, 0.0, {}, 1.0, 1.0, 1.0, 0.0)
NOTHING_FORESEEN = Forecast(1, 1, 1.0, (NOTHING, NOTHING))
"""For the columns that do not depend on a simulation."""
REFRESH = "refresh it: python -m retrainer.experiment_tool.pages docs/experiment-tool.md docs/which-settings.md"


def quoted_output(kind: str) -> tuple[str, str]:
    return next((c, shown) for c, shown in quoted(REFERENCE) if c.startswith(f"retrainer experiment {kind}"))


def test_the_page_quotes_each_command():
    commands = [command.split()[2] for command, _ in quoted(REFERENCE)]
    assert commands == ["plan", "simulate", "replay", "plot"]


def test_the_plan_that_is_quoted_is_real(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    command, shown = quoted_output("plan")
    assert output_of(command) == shown, REFRESH


def test_the_replay_that_is_quoted_is_real(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    command, shown = quoted_output("replay")
    real, told = json.loads(output_of(command)), json.loads(shown)
    assert real.keys() == told.keys()
    assert (real["window"], real["decision"]) == (told["window"], told["decision"]), REFRESH
    for now, then in zip(real["effects"], told["effects"], strict=True):
        assert (now["metric"], now["verdict"]) == (then["metric"], then["verdict"]), REFRESH
        for field in ("estimate", "lower", "upper", "evidence"):
            assert now[field] == pytest.approx(then[field], rel=1e-6), REFRESH


def test_the_line_of_outcomes_that_is_shown_is_a_good_one():
    assert EXAMPLE in REFERENCE


def test_every_field_of_a_plan_is_described():
    subject = one_subject(str(ROOT / "docs" / "experiment-tool" / "experiment.yaml"))
    answer = plan(subject, assumptions(subject, [], []), None).to_json()
    section = REFERENCE.partition("\n## plan\n")[2].partition("\n## simulate\n")[0]
    described = set(re.findall(r"`([A-Za-z]+)`", section))
    fields = {*answer, *answer["metrics"][0], *answer["steps"][0]}
    assert fields - described - {"minimumDurationSeconds", "maximumDurationSeconds"} == set()


def test_the_table_has_a_row_for_each_setting():
    rows = which_settings.rows_in(HOW_TO)
    assert len(rows) == len(SETTINGS) == 10
    for shown, setting in zip(rows, SETTINGS, strict=True):
        now = dict(zip(COLUMNS, which_settings.row(setting, NOTHING_FORESEEN), strict=True))
        assert list(shown) == list(now), REFRESH
        settled = COLUMNS[: COLUMNS.index("units planned")]
        assert {name: shown[name] for name in settled} == {name: now[name] for name in settled}, REFRESH


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.units_per_day} at {s.rate}")
def test_the_units_planned_are_the_operators(setting: Setting):
    config = configure(ABExperimentSpec.model_validate(setting.spec()), setting.rates)
    shown = which_settings.rows_in(HOW_TO)[SETTINGS.index(setting)]
    assert shown["units planned"] == f"{config.units_needed:,}", REFRESH


def test_every_row_keeps_what_it_promises():
    for shown in which_settings.rows_in(HOW_TO):
        assert int(shown["power"].removesuffix(" %")) >= 90
        assert float(shown["useless promoted"].removesuffix(" %")) <= 5
        median, most = (float(days) for days in shown["days to decide (median; 90 %)"].split(";"))
        assert median <= most <= int(shown["maximum days"])


def test_the_example_of_the_how_to_is_its_row():
    example = next(
        obj["spec"]
        for body in re.findall(r"```yaml\n(.*?)```", HOW_TO, re.DOTALL)
        for obj in yaml.safe_load_all(body)
    )
    setting = next(s for s in SETTINGS if (s.units_per_day, s.rate) == (1000, 0.8))
    assert ABExperimentSpec.model_validate(example) == ABExperimentSpec.model_validate(setting.spec())


def test_a_table_can_be_put_into_a_page(tmp_path: Path):
    page = f"before\n{which_settings.BEGIN}\nold\n{which_settings.END}\nafter\n"
    cells = [str(number) for number in range(len(COLUMNS))]
    table = which_settings.markdown([cells, cells[::-1]])
    renewed = which_settings.with_table(page, table)
    assert renewed.startswith("before\n") and renewed.endswith("\nafter\n")
    assert "old" not in renewed
    assert [list(shown.values()) for shown in which_settings.rows_in(renewed)] == [cells, cells[::-1]]

"""The gate's document, its marks and numbers, and the other tests that it compares with."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from retrainer.simulation.gate import comparison
from retrainer.simulation.gate.__main__ import main
from retrainer.simulation.gate.document import (
    BEGIN,
    BETWEEN,
    END,
    line,
    lines_of,
    markdown,
    near,
    numbers_of,
    replace_table,
)
from retrainer.simulation.gate.row import Measure, Row, Section, alpha_bound
from retrainer.simulation.gate.table import ROWS, SECTIONS
from retrainer.simulation.sums import Sums
from retrainer.statistics import msprt
from retrainer.statistics.fixed_horizon import pooled_z
from retrainer.statistics.sums import binary

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "simulations.md"
ROUNDING = 0.0006


def test_the_page_has_every_row_with_its_question_target_and_prototype():
    lines = list(lines_of(PAGE.read_text(encoding="utf-8")))
    written = numbers_of(PAGE.read_text(encoding="utf-8"))
    assert len(lines) == len(ROWS) and list(written) == list(ROWS)
    for row, found in zip(ROWS.values(), lines, strict=True):
        wanted = [f"`{row.key}`", row.text, row.target, row.prototype]
        assert [cell.strip() for cell in found[1:].split(" | ")[:4]] == wanted
        assert found.rstrip("| ").endswith(f"{row.runs:,}")


def test_every_number_on_the_page_keeps_its_promise():
    written = numbers_of(PAGE.read_text(encoding="utf-8"))
    for key, row in ROWS.items():
        for measure, number in zip(row.measures, written[key], strict=True):
            slack = ROUNDING if measure.kind == "Share" else 0.005 * number
            assert measure.at_least - slack <= number <= measure.at_most + slack, f"{row.text}: {measure.label}"


def test_the_designs_rows_are_all_there_and_bound():
    bound = {key for key, row in ROWS.items() if any(not m.kept(math.inf) or not m.kept(-1) for m in row.measures)}
    promised = {"false-flat", "false-adaptive", "false-rates", "power-5", "power-small", "abort-1", "harm-fast5"}
    assert promised | {"units-ratio", "split-fast", "split-fair", "response-flat"} <= bound
    assert all(1_000 <= row.runs <= 10_000 for row in ROWS.values())


SHARES = Row("some", "question", (Measure("one", at_most=0.05), Measure("units", "Units")), lambda: [0.012, 4200], 500)


def test_a_table_is_read_as_it_was_written(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nthe rest\n", encoding="utf-8")
    values = {"some": SHARES.values(), "odd": (1.0, math.inf, 0.9994, 1.379)}
    measures = (Measure("all"), Measure("units", "Units"), Measure("a | b"), Measure("", "Ratio"))
    odd = Row("odd", "another | one", measures, lambda: values["odd"], 10_000)
    replace_table(page, markdown([Section("Both", "Words.", (SHARES, odd))], values))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Title\n") and text.endswith("\nthe rest\n") and "old" not in text
    assert numbers_of(text) == {"some": (0.012, 4200), "odd": (1.0, math.inf, 0.9994, 1.38)}
    assert BETWEEN.join(("one 1.2 %", "units 4,200")) in line(SHARES, SHARES.values())


def test_a_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        replace_table(page, "table")
    assert page.read_text(encoding="utf-8") == "nothing\n"


@pytest.mark.parametrize(
    ("measure", "runs", "one", "other", "same"),
    [
        (Measure(""), 5000, 0.020, 0.024, True),
        (Measure(""), 5000, 0.020, 0.034, False),
        (Measure(""), 5000, 0.0, 0.0006, True),
        (Measure("", "Units"), 5000, 5000, 5200, True),
        (Measure("", "Units"), 5000, 5000, 5400, False),
        (Measure("", "Units"), 5000, math.inf, math.inf, True),
        (Measure("", "Ratio"), 5000, 1.38, 1.50, False),
    ],
)
def test_numbers_may_differ_by_chance_and_rounding_only(measure, runs, one, other, same):
    assert near(measure, runs, one, other) is same


def test_a_row_must_give_a_number_for_each_measure():
    with pytest.raises(ValueError, match="1 numbers for 2 measures"):
        Row("some", "", SHARES.measures, lambda: [1.0], 10).values()


def test_the_bound_of_a_share_allows_for_three_standard_errors():
    assert alpha_bound(0.05, 10_000) == pytest.approx(0.05654, abs=1e-5)


def test_the_command_refuses_rows_that_it_does_not_know_and_a_table_of_some(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["no-such-row"])
    with pytest.raises(SystemExit):
        main(["false-flat", "--write", str(tmp_path / "page.md")])
    assert "no such row: no-such-row" in capsys.readouterr().err


def test_the_other_tests_are_those_of_the_statistics():
    rng = np.random.default_rng(3)
    n = rng.integers(100, 900, (6, 2))
    y = rng.binomial(n, [0.14, 0.10]).astype(float)
    z = comparison.pooled_z(Sums(n.astype(float), y, y, np.zeros_like(y)))
    for run in range(len(n)):
        arms = (binary(int(y[run, 0]), int(n[run, 0])), binary(int(y[run, 1]), int(n[run, 1])))
        assert z[run] == pytest.approx(pooled_z(*arms))
    even = np.full((6, 2), 700.0)
    ratios = comparison.log_msprt(Sums(even, y, y, np.zeros_like(y)))
    for run in range(len(n)):
        rate, difference = y[run].sum() / 1400, (y[run, 0] - y[run, 1]) / 700
        assert ratios[run] == pytest.approx(msprt.log_ratio(700, difference, rate * (1 - rate), 0.02**2))


def test_sections_have_different_rows():
    assert sum(len(section.rows) for section in SECTIONS) == len(ROWS)

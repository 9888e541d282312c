"""Every row of the simulation gate keeps its promise, and docs/explanation/simulations.md says what it found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest

from retrainer.simulation.gate.document import near, numbers_of
from retrainer.simulation.gate.row import Row
from retrainer.simulation.gate.table import ROWS, values

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "simulations.md"
WRITTEN = numbers_of(PAGE.read_text(encoding="utf-8"))
TOGETHER = 2
"""Rows that are simulated at a time."""


@pytest.fixture(scope="session")
def simulated(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[tuple[float, ...]]]]:
    """The rows that this session asks for, being simulated in their order."""
    asked = [item.callspec.params["row"] for item in request.session.items if "simulated" in item.fixturenames]
    with ProcessPoolExecutor(min(TOGETHER, os.cpu_count() or 1)) as pool:
        yield {row.key: pool.submit(values, row.key) for row in asked}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_keeps_its_promise_and_is_what_the_page_says(row: Row, simulated):
    found = simulated[row.key].result()
    for measure, now, written in zip(row.measures, found, WRITTEN[row.key], strict=True):
        assert measure.kept(now), f"{row.text}: {measure.label} {measure.text(now)}, promised {row.target}"
        assert near(measure, row.runs, now, written), f"{measure.label}: {measure.text(now)}, the page has {written}"

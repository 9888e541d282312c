"""All rows of the gate."""

from __future__ import annotations

from retrainer.simulation.gate import comparison, people, promises, scales

SECTIONS = (*promises.SECTIONS, *people.SECTIONS, *scales.SECTIONS, *comparison.SECTIONS)
ROWS = {row.key: row for section in SECTIONS for row in section.rows}


def values(key: str) -> tuple[float, ...]:
    """The numbers of a row, by its key: what a worker process is asked for."""
    return ROWS[key].values()

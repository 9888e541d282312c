"""The table of the gate in a document: written by a command, read by the tests."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from retrainer.simulation.gate.row import Measure, Row, Section
from retrainer.simulation.results import standard_error

BEGIN = "<!-- table of the gate: begin -->"
END = "<!-- table of the gate: end -->"
BETWEEN = " · "
"""Between the numbers of a row."""

Values = Mapping[str, Sequence[float]]
"""Numbers by the key of their row."""

_FAR = 4.0
"""Standard errors of a difference of two simulations by which they may differ."""
_FAR_QUANTILE = 0.05
"""Relative difference of two quantiles of units that chance explains."""


def markdown(sections: Sequence[Section], values: Values) -> str:
    """The table, a heading for every section."""
    lines: list[str] = []
    for section in sections:
        lines += [f"### {section.title}", "", *([section.words, ""] if section.words else [])]
        lines += ["| Row | Question | Target | Prototype | Measured | Runs |", "|---|---|---|---|---|---|"]
        lines += [line(row, values[row.key]) for row in section.rows]
        lines.append("")
    return "\n".join(lines)


def line(row: Row, values: Sequence[float]) -> str:
    """One line of the table."""
    measured = BETWEEN.join(_labelled(m, v) for m, v in zip(row.measures, values, strict=True))
    cells = (f"`{row.key}`", row.text, row.target, row.prototype, measured, f"{row.runs:,}")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _labelled(measure: Measure, value: float) -> str:
    return f"{measure.label} {measure.text(value)}".strip()


def replace_table(path: Path, table: str) -> None:
    """Put the table between its marks; raises ValueError where the document has none."""
    before, found, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not found or not ends:
        raise ValueError(f"{path} has no lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")


def lines_of(text: str) -> Iterator[str]:
    """The rows of the table in a document, as they stand there."""
    _, _, rest = text.partition(BEGIN)
    table, _, _ = rest.partition(END)
    return (line for line in table.splitlines() if line.startswith("| `"))


def numbers_of(text: str) -> dict[str, tuple[float, ...]]:
    """The numbers in a document's table, by row; shares as fractions."""
    found = {}
    for row in lines_of(text):
        key, *_, measured, _ = (cell.strip() for cell in row.strip("|").split(" | "))
        found[key.strip("` ")] = tuple(_number(piece) for piece in measured.split(BETWEEN))
    return found


def _number(piece: str) -> float:
    if piece.endswith("never"):
        return math.inf
    match = re.search(r"([0-9][0-9,]*(?:[.][0-9]+)?)( %)?$", piece)
    if match is None:
        raise ValueError(f"no number in {piece!r}")
    return float(match[1].replace(",", "")) / (100 if match[2] else 1)


def near(measure: Measure, runs: int, one: float, other: float) -> bool:
    """Whether two simulations of the same number differ by no more than chance and rounding."""
    if one == other:
        return True
    if measure.kind != "Share":
        return abs(one - other) <= _FAR_QUANTILE * max(one, other)
    middle = min(max((one + other) / 2, 1 / runs), 1 - 1 / runs)
    return abs(one - other) <= _FAR * math.sqrt(2) * standard_error(middle, runs) + 0.0005

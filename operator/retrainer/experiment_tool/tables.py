"""Tables and numbers for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns two spaces apart; the first `left` of them to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    lines = []
    for line in (header, *rows):
        words = [cell.ljust(width) for cell, width in zip(line[:left], widths[:left], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(line[left:], widths[left:], strict=True)]
        lines.append("  ".join([*words, *numbers]).rstrip())
    return "\n".join(lines)


def number(value: float, digits: int = 3) -> str:
    """With so many significant digits, thousands apart, and no exponent: 4,203 · 0.0201 · 12.5."""
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits: 14 days · 3.5 hours · 40 seconds."""
    for length, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= length:
            return f"{number(seconds / length)} {unit.removesuffix('s') if seconds == length else unit}"
    return f"{number(seconds)} seconds"


def percent(share: float) -> str:
    """One place: 0.823 → 82.3 %."""
    return f"{share * 100:.1f} %"

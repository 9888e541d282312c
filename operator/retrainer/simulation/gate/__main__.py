"""Prints the table of the gate, or writes it into a document."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from retrainer.simulation.gate.document import line, markdown, replace_table
from retrainer.simulation.gate.table import ROWS, SECTIONS, values


def main(arguments: list[str] | None = None) -> int:
    """0 when every promise of the rows that were run is kept, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m retrainer.simulation.gate", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these rows, for example false-flat")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the whole table between its marks in FILE")
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args(arguments)
    unknown = [key for key in chosen.rows if key not in ROWS]
    if unknown or (chosen.rows and chosen.write):
        parser.error(f"no such row: {', '.join(unknown)}" if unknown else "--write needs all rows")
    found, broken = {}, []
    keys = chosen.rows or list(ROWS)
    with ProcessPoolExecutor(chosen.processes) as pool:
        for key, numbers in zip(keys, pool.map(values, keys), strict=True):
            found[key], row = numbers, ROWS[key]
            kept = all(measure.kept(number) for measure, number in zip(row.measures, numbers, strict=True))
            broken += [] if kept else [key]
            print(("" if kept else "NOT KEPT ") + line(row, numbers), flush=True)
    if chosen.write:
        replace_table(chosen.write, markdown(SECTIONS, found))
    if broken:
        print(f"not kept: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

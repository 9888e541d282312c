"""What the terminal shows while the story runs: the tables of kubectl, in place, and a line for each event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from demo.kube import Object
from demo.sight import KINDS, SHORT, Sight, Told

_AGELESS = {"Age", "Last Sync"}
"""Columns that change by themselves; a change of these alone is no news."""
_VERDICTS = {"PromoteCandidate": "bold green", "KeepBaseline": "bold yellow", "Inconclusive": "bold yellow"}


@dataclass(frozen=True)
class Grid:
    """A table of one kind: the columns that `kubectl get` shows without `-o wide`."""

    kind: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def lines(self) -> list[str]:
        """Header and rows, aligned as kubectl aligns them."""
        cells = [tuple(c.upper() for c in self.columns), *self.rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        return ["   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def grid(kind: str, table: Object) -> Grid:
    """The columns of priority 0 of a server's Table."""
    shown = [i for i, c in enumerate(table["columnDefinitions"]) if not c.get("priority")]
    columns = tuple(str(table["columnDefinitions"][i]["name"]) for i in shown)
    ordered = sorted(table.get("rows") or [], key=lambda r: r["object"]["metadata"]["creationTimestamp"])
    rows = tuple(tuple(_cell(row["cells"][i]) for i in shown) for row in ordered)
    return Grid(kind, columns, rows)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def grids(sight: Sight) -> list[Grid]:
    """The tables that have rows, in the order of the loop."""
    found = (grid(kind, sight.tables[kind]) for kind in KINDS if kind in sight.tables)
    return [g for g in found if g.rows]


Row = tuple[str, ...]
News = Mapping[tuple[str, str], Row]
"""By kind and name."""


def changed_rows(before: News, tables: Sequence[Grid]) -> Iterator[tuple[Grid, Row]]:
    """Rows that say something new; `before` is what `news` returned for the last look."""
    for table in tables:
        for row in table.rows:
            if before.get((table.kind, row[0])) != _news(table, row):
                yield table, row


def news(tables: Sequence[Grid]) -> News:
    """What each row says, without the columns that only tell the time."""
    return {(table.kind, row[0]): _news(table, row) for table in tables for row in table.rows}


def _news(table: Grid, row: Row) -> Row:
    return tuple(cell for column, cell in zip(table.columns, row, strict=True) if column not in _AGELESS)


class Screen(Protocol):
    """Where the story is told."""

    def say(self, text: str) -> None:
        """A line of the narrator."""

    def show(self, sight: Sight) -> None:
        """A new look at the cluster."""

    def progress(self, text: str) -> None:
        """What is going on at the moment; replaces what was said before."""

    def close(self) -> None:
        """Nothing more is shown in place."""


def event_line(event: Told, seconds: float) -> Text:
    """One event in one line."""
    line = Text(f"{seconds:6.1f} s  ", style="dim")
    line.append(f"{SHORT[event.kind]}/{event.name}  ", style="cyan")
    line.append(event.reason, style="bold red" if event.warning else "bold")
    line.append(f"  {event.message}", style="")
    return line


class _Storyteller:
    """What both screens share: which events were told."""

    def __init__(self, console: Console, start: datetime) -> None:
        self._console = console
        self._start = start
        self._told: set[str] = set()

    def _tell_events(self, sight: Sight) -> None:
        for event in sight.events:
            if event.uid not in self._told:
                self._told.add(event.uid)
                self._console.print(event_line(event, (sight.time - self._start).total_seconds()), soft_wrap=True)


class PlainScreen(_Storyteller):
    """For logs and pipes: every row that changed, as `kubectl get -w` prints it."""

    def __init__(self, console: Console, start: datetime) -> None:
        super().__init__(console, start)
        self._before: News = {}
        self._headed = ""
        self._progress = ""

    def say(self, text: str) -> None:
        self._console.print(f"\n{text}", soft_wrap=True, highlight=False)
        self._headed = ""

    def progress(self, text: str) -> None:
        """Numbers that only grow are no news for a log; a new beginning is."""
        if text.split(":")[0] != self._progress:
            self._progress = text.split(":")[0]
            self._console.print(f"  … {text}", soft_wrap=True, highlight=False)

    def show(self, sight: Sight) -> None:
        self._tell_events(sight)
        tables = grids(sight)
        for table, row in changed_rows(self._before, tables):
            self._print_row(table, row)
        self._before = news(tables)

    def close(self) -> None:
        return

    def _print_row(self, table: Grid, row: Row) -> None:
        header, *lines = table.lines()
        if self._headed != header:
            self._console.print(f"    {header}", style="dim", soft_wrap=True, highlight=False)
            self._headed = header
        self._console.print(f"    {lines[table.rows.index(row)]}", soft_wrap=True, highlight=False)


class LiveScreen(_Storyteller):
    """For terminals: the tables stay at the bottom and are refreshed in place; the story scrolls above."""

    def __init__(self, console: Console, start: datetime) -> None:
        super().__init__(console, start)
        self._tables: list[Grid] = []
        self._progress = ""
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        self._console.print(f"\n{text}", highlight=False)

    def progress(self, text: str) -> None:
        self._progress = text
        self._live.update(self._picture())

    def show(self, sight: Sight) -> None:
        self._tell_events(sight)
        self._tables = grids(sight)
        self._live.update(self._picture())

    def close(self) -> None:
        self._live.stop()

    def _picture(self) -> RenderableType:
        parts: list[RenderableType] = [Rule("kubectl -n demo get fbs,rtp,trun,abx -w", style="dim")]
        for table in self._tables:
            header, *rows = table.lines()
            parts.append(Text(header, style="dim", no_wrap=True, overflow="ellipsis"))
            parts.extend(_coloured(row) for row in rows)
        parts.append(Text(self._progress, style="italic"))
        return Group(*parts)


def _coloured(row: str) -> Text:
    text = Text(row, no_wrap=True, overflow="ellipsis")
    for word, style in _VERDICTS.items():
        text.highlight_words([word], style=style)
    return text


def open_screen(console: Console, start: datetime) -> Screen:
    """The screen that fits the terminal."""
    return LiveScreen(console, start) if console.is_terminal else PlainScreen(console, start)

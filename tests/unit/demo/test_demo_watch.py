"""What the terminal shows: kubectl's columns, changed rows only, each event once."""

import io
from typing import Any

from rich.console import Console
from unit.demo.demo_sights import START, Object, obj, sight, table, told

from demo.sight import Sight
from demo.watch import LiveScreen, PlainScreen, changed_rows, event_line, grid, grids, news, open_screen

COLUMNS = {"Name": 0, "Ready": 0, "Reason": 1, "Records": 0, "Last Sync": 0, "Age": 0}


def sources(*rows: tuple[str, str, int, str]) -> Object:
    return table(
        COLUMNS, [(obj(name), (name, ready, "wide only", records, age, age)) for name, ready, records, age in rows]
    )


def looked(*rows: tuple[str, str, int, str], **more: Any) -> Sight:
    return sight(1, tables={"FeedbackSource": sources(*rows)}, **more)


def plain() -> tuple[PlainScreen, io.StringIO]:
    out = io.StringIO()
    return PlainScreen(Console(file=out, width=200, force_terminal=False), START), out


def test_a_grid_has_the_columns_of_kubectl_get() -> None:
    shown = grid("FeedbackSource", sources(("digits", "True", 12, "1s")))
    assert shown.columns == ("Name", "Ready", "Records", "Last Sync", "Age")
    assert shown.lines() == ["NAME     READY   RECORDS   LAST SYNC   AGE", "digits   True    12        1s          1s"]


def test_an_empty_cell_is_empty_as_in_kubectl() -> None:
    shown = grid("FeedbackSource", table({"Name": 0, "Ready": 0}, [(obj("digits"), ("digits", None))]))
    assert shown.rows == (("digits", ""),)


def test_kinds_without_objects_have_no_table() -> None:
    assert grids(sight(tables={"FeedbackSource": sources()})) == []


def test_a_row_that_only_got_older_is_no_news() -> None:
    before = news(grids(looked(("digits", "True", 12, "1s"))))
    assert list(changed_rows(before, grids(looked(("digits", "True", 12, "2s"))))) == []
    after = list(changed_rows(before, grids(looked(("digits", "True", 13, "2s"), ("other", "", 0, "1s")))))
    assert [row[0] for _, row in after] == ["digits", "other"]


def test_a_log_gets_each_change_once_and_the_header_when_it_is_new() -> None:
    screen, out = plain()
    for records in (1, 1, 2):
        screen.show(looked(("digits", "True", records, "1s")))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert [line[0] for line in lines] == ["NAME", "digits", "digits"]
    assert [line[2] for line in lines[1:]] == ["1", "2"]


def test_every_event_is_told_once() -> None:
    screen, out = plain()
    for _ in range(3):
        screen.show(looked(("digits", "True", 1, "1s"), events=(told("e1"),)))
    screen.show(looked(("digits", "True", 1, "1s"), events=(told("e1"), told("e2", "RunCreated"))))
    assert out.getvalue().count("TriggerFired") == 1
    assert out.getvalue().count("RunCreated") == 1


def test_an_event_names_time_object_reason_and_message() -> None:
    line = event_line(told("e1"), 12.34).plain
    assert line.split() == ["12.3", "s", "rtp/digits", "TriggerFired", "people", "like", "it", "less"]


def test_progress_in_a_log_is_told_when_it_begins() -> None:
    screen, out = plain()
    for text in ("training: 1 s", "training: 2 s", "deciding: 3 s"):
        screen.progress(text)
    assert out.getvalue().split("…")[1:] == [" training: 1 s\n  ", " deciding: 3 s\n"]


def test_a_terminal_shows_the_tables_in_place_and_the_story_above() -> None:
    out = io.StringIO()
    screen = LiveScreen(Console(file=out, width=120, force_terminal=True), START)
    screen.say("A story begins.")
    screen.show(looked(("digits", "True", 12, "1s"), events=(told("e1"),)))
    screen.progress("waiting: 1 s")
    screen.close()
    text = out.getvalue()
    assert "A story begins." in text
    assert "TriggerFired" in text
    assert "RECORDS" in text
    assert "waiting: 1 s" in text


def test_the_screen_fits_where_it_is_shown() -> None:
    assert isinstance(open_screen(Console(file=io.StringIO()), START), PlainScreen)
    live = open_screen(Console(file=io.StringIO(), force_terminal=True), START)
    assert isinstance(live, LiveScreen)
    live.close()

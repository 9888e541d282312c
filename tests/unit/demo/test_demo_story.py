"""Waiting, giving up with a reason, and the days of the history."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from unit.demo.demo_sights import START, conditions, obj, route, sight

from demo import operator_process
from demo.digits import Images
from demo.people import Crowd
from demo.record import Record
from demo.settings import Settings
from demo.sight import Sight
from demo.story import Stage, StoryFailed, ended, history_start, lasting_error, note, serves, stuck_policy
from demo.watch import PlainScreen


class FakeWorld:
    """Has no trouble, unless told."""

    def __init__(self, trouble: str | None = None) -> None:
        self._trouble = trouble

    def trouble(self) -> str | None:
        return self._trouble


def stage(world: Any = None) -> Stage:
    screen = PlainScreen(Console(file=io.StringIO()), START)
    nothing: Any = None
    return Stage(
        nothing, world or FakeWorld(), Crowd("http://127.0.0.1:9"), screen, Record(START), Settings(),
        Images((), (), ()), sight(),
    )  # fmt: skip


READY = obj("digits", status={"conditions": conditions(Ready="True/Ready")})


def test_waiting_ends_when_it_is_seen() -> None:
    async def wait() -> None:
        scene = stage()
        waiting = asyncio.create_task(scene.until("service", serves(1), 5))
        await asyncio.sleep(0)
        assert not waiting.done()
        note(scene, sight(1, policy=READY, route=route(r1=100)))
        await waiting

    asyncio.run(wait())


def test_waiting_gives_up_after_its_limit() -> None:
    with pytest.raises(StoryFailed, match=r"waited for: service\. Nothing came of it in 0 seconds"):
        asyncio.run(stage().until("service", serves(1), 0))


def test_waiting_ends_with_the_reason_that_is_seen() -> None:
    with pytest.raises(StoryFailed, match="it is broken"):
        asyncio.run(stage().until("service", serves(1), 5, lambda s: "it is broken"))


def test_an_operator_that_ended_is_noticed_at_once() -> None:
    with pytest.raises(StoryFailed, match="the operator ended"):
        asyncio.run(stage(FakeWorld("the operator ended by itself")).until("service", serves(1), 5))


def test_a_stalled_policy_is_told_with_its_message() -> None:
    stalled = obj("digits", status={"conditions": conditions(Stalled="True/MissingReference")})
    assert stuck_policy(sight(policy=stalled)) == "Stalled message"
    assert stuck_policy(sight(policy=READY)) is None
    assert stuck_policy(sight()) is None


@pytest.mark.parametrize(("seconds", "expected"), [(5, None), (30, "RetrainPolicy digits: Ready message")])
def test_an_error_counts_when_it_lasts(seconds: int, expected: str | None) -> None:
    broken = conditions(Ready="Unknown/Error")
    broken[0]["lastTransitionTime"] = "2026-03-05T12:00:00Z"
    assert lasting_error(sight(seconds, policy=obj("digits", status={"conditions": broken}))) == expected


def test_a_run_has_ended_well_or_not() -> None:
    def seen(status: str) -> Sight:
        return sight(runs=[obj("digits-2", status={"conditions": conditions(Succeeded=f"{status}/X")})])

    assert [ended("digits-2")(seen(status)) for status in ("Unknown", "True", "False")] == [False, True, True]
    assert ended("digits-2")(sight()) is False


def test_serving_means_ready_and_alone_on_the_route() -> None:
    assert serves(1)(sight(policy=READY, route=route(r1=100)))
    assert not serves(1)(sight(policy=READY, route=route(r1=90, r2=10)))
    assert not serves(1)(sight(policy=obj("digits"), route=route(r1=100)))


@pytest.mark.parametrize(
    ("now", "start"),
    [
        (datetime(2026, 3, 5, 12, 0, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (datetime(2026, 3, 5, 0, 11, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (datetime(2026, 3, 5, 0, 5, tzinfo=UTC), datetime(2026, 2, 28, tzinfo=UTC)),
    ],
)
def test_the_last_day_of_the_history_is_over_for_a_while(now: datetime, start: datetime) -> None:
    assert history_start(now, Settings()) == start


def test_the_history_lies_within_the_training_window_and_the_archive_before_it() -> None:
    settings = Settings()
    now = datetime(2026, 3, 5, 0, 5, tzinfo=UTC)
    assert now - history_start(now, settings) < timedelta(days=7)
    assert settings.archive_days > 0
    assert settings.audited > 0.5


def test_no_operator_is_stopped_where_none_was_kept(tmp_path: Path) -> None:
    assert operator_process.stop_kept(tmp_path / "operator.pid") is False


@pytest.mark.parametrize("text", ["", "no number", "1", "999999999"])
def test_a_process_that_is_no_operator_is_left_alone(tmp_path: Path, text: str) -> None:
    pid_file = tmp_path / "operator.pid"
    pid_file.write_text(text)
    assert operator_process.stop_kept(pid_file) is False


def test_an_operator_is_started_told_about_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The command line is what identifies an operator; this one only waits.
    waiting = (operator_process.sys.executable, "-c", "import time; time.sleep(60)")
    monkeypatch.setattr(operator_process, "_COMMAND", waiting)
    process = operator_process.OperatorProcess.start(
        tmp_path / "log", tmp_path / "operator.pid", {"A": "b"}, survives=False
    )
    assert process.running
    process.stop()
    assert not process.running

"""Readings never wait, read each source one question at a time, and let no source hold up another."""

import asyncio
import threading

import pytest

from retrainer.feedback.errors import SchemaMismatch, TimedOut, Unreachable
from retrainer.feedback_source.readings import Opened, Question, Readings

A, B = ("ns", "a"), ("ns", "b")


class FakeConnector:
    def __init__(self, name="c"):
        self.name = name
        self.closed = False

    def close(self):
        self.closed = True


class Stage:
    """Readings with a clock to move by hand, a settable way to open sources, and a list of who was woken."""

    def __init__(self, timeout=5.0):
        self.now = 0.0
        self.woken = []
        self.fingerprint = 1
        self.opened = []
        self.error = None
        self._changed = asyncio.Event()
        self.readings = Readings(self._load, self._wake, timeout, lambda: self.now)

    async def _load(self, key):
        if self.error is not None:
            raise self.error
        return Opened((key, self.fingerprint), self._open)

    def _open(self):
        self.opened.append(FakeConnector(f"c{len(self.opened)}"))
        return self.opened[-1]

    def _wake(self, owner):
        self.woken.append(owner)
        self._changed.set()

    async def until_woken(self, number):
        while len(self.woken) < number:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 10)


def run(scenario, **settings):
    async def play():
        stage = Stage(**settings)
        try:
            await scenario(stage)
        finally:
            await stage.readings.close()

    asyncio.run(play())


def question(name="q", ask=lambda connector: connector.name):
    return Question(name, ask)


def test_the_first_get_is_pending_and_the_owner_is_woken_when_there_is_an_answer():
    async def scenario(stage):
        assert stage.readings.get(A, question(), "owner", 60).pending
        await stage.until_woken(1)
        reading = stage.readings.get(A, question(), "owner", 60)
        assert (reading.value, reading.error, reading.age_seconds) == ("c0", None, 0.0)
        assert stage.woken == ["owner"]

    run(scenario)


def test_an_answer_that_is_young_enough_is_not_read_again_and_tells_its_age():
    async def scenario(stage):
        asked = []
        counting = question(ask=lambda c: asked.append(1) or len(asked))
        stage.readings.get(A, counting, "x", 60)
        await stage.until_woken(1)
        stage.now = 59
        assert stage.readings.get(A, counting, "x", 60).age_seconds == 59
        stage.now = 60
        assert stage.readings.get(A, counting, "x", 60).value == 1, "the old answer, at once"
        await stage.until_woken(2)
        assert stage.readings.get(A, counting, "x", 60).value == 2

    run(scenario)


def test_an_answer_without_age_limit_is_never_read_again():
    async def scenario(stage):
        stage.readings.get(A, question(), "x", None)
        await stage.until_woken(1)
        stage.now = 1e9
        assert stage.readings.get(A, question(), "x", None).value == "c0"
        assert stage.readings.has_answer(A, "q") and not stage.readings.has_answer(A, "other")
        assert not stage.readings.has_answer(B, "q")

    run(scenario)


def test_everybody_who_asked_is_woken_once_by_one_read():
    async def scenario(stage):
        asked = []
        for owner in ("x", "y", "x"):
            stage.readings.get(A, question(ask=asked.append), owner, 60)
        await stage.until_woken(2)
        assert sorted(stage.woken) == ["x", "y"]
        assert len(asked) == 1

    run(scenario)


def test_an_error_of_the_catalogue_is_an_answer_and_is_not_repeated_at_once():
    async def scenario(stage):
        asked = []

        def refuse(connector):
            asked.append(1)
            raise SchemaMismatch("record.id: no such column")

        stage.readings.get(A, question(ask=refuse), "x", 60)
        await stage.until_woken(1)
        for _ in range(3):
            assert isinstance(stage.readings.get(A, question(ask=refuse), "x", 60).error, SchemaMismatch)
        assert len(asked) == 1
        stage.now = 5
        stage.readings.get(A, question(ask=refuse), "x", 60)
        await stage.until_woken(2)
        assert len(asked) == 2

    run(scenario)


def test_a_source_that_cannot_be_opened_is_an_error():
    async def scenario(stage):
        stage.error = Unreachable("no such file")
        stage.readings.get(A, question(), "x", 60)
        await stage.until_woken(1)
        assert stage.readings.get(A, question(), "x", 60).error is stage.error

    run(scenario)


def test_an_unexpected_error_is_neither_shown_nor_logged_with_its_text(caplog):
    async def scenario(stage):
        def explode(connector):
            raise ValueError("password=hunter2")

        stage.readings.get(A, question(ask=explode), "x", 60)
        await stage.until_woken(1)
        error = stage.readings.get(A, question(ask=explode), "x", 60).error
        assert isinstance(error, Unreachable) and "hunter2" not in error.message

    run(scenario)
    assert "ValueError" in caplog.text and "hunter2" not in caplog.text


def test_questions_to_one_source_are_asked_one_after_another():
    async def scenario(stage):
        inside, most = [0], [0]
        lock = threading.Lock()

        def ask(connector):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.01)
            with lock:
                inside[0] -= 1

        for i in range(5):
            stage.readings.get(A, question(i, ask), i, 60)
        await stage.until_woken(5)
        assert most == [1]

    run(scenario)


def test_a_hung_source_delays_no_other():
    async def scenario(stage):
        release = threading.Event()
        stage.readings.get(A, question(ask=lambda c: release.wait(30)), "hung", 60)
        stage.readings.get(B, question(), "quick", 60)
        await stage.until_woken(1)
        assert stage.woken == ["quick"]
        assert stage.readings.get(A, question(), "hung", 60).pending
        release.set()
        await stage.until_woken(2)

    run(scenario)


def test_a_read_that_never_ends_is_given_up_and_takes_no_second_thread(monkeypatch):
    monkeypatch.setattr("retrainer.feedback_source.readings._GRACE_SECONDS", 0.0)

    async def scenario(stage):
        release = threading.Event()
        asked = []
        hang = question("hang", lambda c: asked.append(1) or release.wait(30))
        stage.readings.get(A, hang, "x", 60)
        await stage.until_woken(1)
        assert isinstance(stage.readings.get(A, hang, "x", 60).error, TimedOut)
        stage.readings.get(A, question("next", asked.append), "y", 60)
        await stage.until_woken(2)
        refused = stage.readings.get(A, question("next", asked.append), "y", 60)
        assert isinstance(refused.error, TimedOut) and "not ended" in refused.error.message
        assert len(asked) == 1
        release.set()

    run(scenario, timeout=0.05)


def test_a_changed_spec_or_secret_opens_the_source_anew_and_forgets_its_answers():
    async def scenario(stage):
        stage.readings.get(A, question("old"), "x", 60)
        await stage.until_woken(1)
        stage.fingerprint = 2
        stage.readings.get(A, question("new"), "x", 60)
        await stage.until_woken(2)
        assert stage.readings.get(A, question("new"), "x", 60).value == "c1"
        assert not stage.readings.has_answer(A, "old")
        while not stage.opened[0].closed:
            await asyncio.sleep(0.001)

    run(scenario)


def test_only_so_many_answers_are_kept_per_source():
    async def scenario(stage):
        for i in range(70):
            stage.readings.get(A, question(i), i, 60)
        await stage.until_woken(70)
        assert not stage.readings.has_answer(A, 0)
        assert stage.readings.has_answer(A, 69)

    run(scenario)


def test_a_source_that_nobody_asks_for_is_forgotten():
    async def scenario(stage):
        stage.readings.get(A, question(), "x", 60)
        await stage.until_woken(1)
        stage.now = 3 * 86_400.0
        stage.readings.get(B, question(), "x", 60)
        assert not stage.readings.has_answer(A, "q")
        await stage.until_woken(2)

    run(scenario)


@pytest.mark.parametrize("number", [200])
def test_many_sources_are_all_answered(number):
    async def scenario(stage):
        for i in range(number):
            stage.readings.get(("ns", str(i)), question(), i, 60)
        await stage.until_woken(number)
        assert sorted(stage.woken) == list(range(number))

    run(scenario)

"""Counts of an experiment's windows out of a real Prometheus that scrapes real processes every second."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_proxy import running_proxy
from prometheus_server import Exporter, Prometheus, running_prometheus, until

from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, Unauthorized, Unreachable
from retrainer.feedback_source.readings import Opened, Question, Readings
from retrainer.prometheus.client import PrometheusSource, Server
from retrainer.prometheus.counters import Span
from retrainer.prometheus.reading import ArmCounts, CountsQuery, NotYet

ARMS = (("candidate", ("4",)), ("baseline", ("3",)))
TOKEN = "s3cret-Token-0451"
LATER = 20.0
"""Clocks that are set ahead by this have waited for scrapes long enough."""


class World:
    """Prometheus, and one process per arm that counts its requests and errors."""

    def __init__(self, prometheus: Prometheus, exporters: list[Exporter]) -> None:
        self.prometheus = prometheus
        self.exporters = dict(zip(("3", "4"), exporters, strict=True))
        self.began = time.time()
        self._totals: dict[str, dict[str, int]] = {"3": {}, "4": {}}

    def happens(self, revision: str, requests: int, errors: int = 0) -> None:
        """Requests and errors of one arm."""
        rises = {f'requests_total{{revision="{revision}"}}': requests}
        if errors:
            rises[f'errors_total{{revision="{revision}"}}'] = errors
        self.exporters[revision].rise(rises)
        totals = self._totals[revision]
        totals.update({series: totals.get(series, 0) + rise for series, rise in rises.items()})

    def restarts(self, revision: str) -> None:
        """The arm's process begins anew, from 0."""
        self.stops(revision)
        self.exporters[revision].start()

    def stops(self, revision: str) -> None:
        """The arm's process is gone."""
        self.exporters[revision].stop()
        self._totals[revision] = {}

    def scraped(self) -> None:
        """Returns when Prometheus has seen everything that happened."""
        for totals in self._totals.values():
            for series, value in totals.items():
                self.prometheus.shows(series, value)

    def mend(self) -> None:
        """Everything runs, and both arms have answered something."""
        if not self.prometheus.is_running:
            self.prometheus.start()
        for revision, exporter in self.exporters.items():
            if not exporter.is_running:
                exporter.start()
            self.happens(revision, 100)
        self.scraped()

    def span(self, start: float, end: float) -> Span:
        return Span(start, end, self.began - 600)

    def source(self, ahead: float = 0.0, **server: Any) -> PrometheusSource:
        given = {"url": self.prometheus.url, "credentials": None, "timeout_seconds": 5.0, "loopback": True}
        return PrometheusSource(Server(**(given | server)), clock=lambda: time.time() + ahead)

    def counts(self, start: float, end: float, ahead: float = 0.0, **changes: Any) -> Any:
        """As soon as they are known."""
        given = {"query": "errors_total", "units_query": "requests_total", "label": "revision", "arms": ARMS,
                 "span": self.span(start, end), "since": self.began}  # fmt: skip
        query = CountsQuery(**(given | changes))
        last = 'timestamp(requests_total{revision="3"})'
        until(lambda: (self.prometheus.value(last) or 0) > end, "the baseline was scraped after the window")
        source = self.source(ahead)

        def known() -> Any:
            found = source.counts(query)
            return None if isinstance(found, NotYet) else found

        return until(known, "the counts are known")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), 2) as (prometheus, exporters):
        yield World(prometheus, exporters)


@pytest.fixture
def world(stack: World) -> World:
    stack.mend()
    return stack


def now() -> float:
    return float(math.ceil(time.time()))


def test_windows_in_a_row_count_every_request_once_over_a_restart_of_the_process(world: World) -> None:
    start = now()
    until(lambda: time.time() > start, "the first window begins")
    for _ in range(10):
        world.happens("3", 7)
        world.happens("4", 3, errors=1)
    world.scraped()
    world.restarts("4")
    world.happens("4", 5, errors=2)
    world.scraped()
    last = now() + 1
    windows = [world.counts(a, a + 1) for a in range(int(start), int(last))]
    assert sum(w["baseline"].units for w in windows) == 70
    assert sum(w["candidate"].units for w in windows) == 30 + 5
    assert sum(w["candidate"].events for w in windows) == 10 + 2
    assert world.counts(start, last) == {"candidate": ArmCounts(12, 35), "baseline": ArmCounts(0, 70)}


def test_a_target_that_is_down_holds_and_its_counts_come_when_it_is_back(world: World) -> None:
    start = now()
    world.stops("4")
    world.prometheus.shows(f'up{{instance="127.0.0.1:{world.exporters["4"].port}"}}', 0)
    end = now() + 1
    with pytest.raises(Unreachable, match="no sample of the candidate since the window's end; is it still scraped"):
        world.counts(start, end, ahead=LATER)
    world.exporters["4"].start()
    world.happens("4", 9)
    world.scraped()
    assert world.counts(start, end, ahead=LATER)["candidate"].units == 0
    assert world.counts(end, now() + 1)["candidate"].units == 9


def test_series_that_do_not_exist_mean_no_events_or_hold(world: World) -> None:
    world.restarts("4")
    world.happens("4", 2)
    world.scraped()
    start = now()
    until(lambda: time.time() > start, "the window begins")
    world.happens("3", 1, errors=1)
    world.scraped()
    end = now()
    assert world.counts(start, end) == {"candidate": ArmCounts(0, 0), "baseline": ArmCounts(1, 1)}
    with pytest.raises(Unreachable, match="query has no series of the candidate: none at all and no events look alike"):
        world.counts(start, end, ahead=LATER, units_query=None, query='errors_total{revision="3"}')
    with pytest.raises(Unreachable, match="unitsQuery has no series of the candidate"):
        world.counts(start, end, ahead=LATER, units_query="request_total")
    with pytest.raises(SchemaMismatch, match='no label "revison"; did you mean "revision"'):
        world.counts(start, end, label="revison")
    with pytest.raises(SchemaMismatch, match="cannot read the selector"):
        world.counts(start, end, query="errors_total{")
    with pytest.raises(SchemaMismatch, match="cannot read the selector"):
        world.counts(start, end, query="rate(errors_total[1m])")


def test_a_server_that_was_killed_loses_no_count_and_invents_none(world: World) -> None:
    start = now()
    world.prometheus.kill()
    world.happens("4", 11)
    with pytest.raises(Unreachable, match="no connection to the server"):
        world.source().counts(
            CountsQuery("errors_total", "requests_total", "revision", ARMS, world.span(start, start + 1), world.began)
        )
    middle = now() + 1
    until(lambda: time.time() > middle, "a window passes without a server")
    world.prometheus.start()
    world.scraped()
    assert world.counts(start + 1, middle)["candidate"].units == 0
    assert world.counts(middle, now())["candidate"].units == 11


def test_a_server_that_lost_its_data_invents_no_count(world: World) -> None:
    start = now()
    world.prometheus.kill()
    world.prometheus.start(forgetful=True)
    world.scraped()
    world.happens("4", 2)
    world.scraped()
    found = world.counts(start, now())
    assert (found["candidate"].units, found["baseline"].units) == (2, 0)


def test_a_token_goes_to_the_hosts_of_its_secret_only_and_must_be_right(world: World) -> None:
    start = now() - 2
    query = CountsQuery("errors_total", "requests_total", "revision", ARMS, world.span(start, start + 1), world.began)
    with running_proxy(world.prometheus.url, TOKEN) as proxy:
        def asked_with(token: str | None, *hosts: str) -> Any:
            credentials = None if token is None else Credentials(token, hosts)
            source = world.source(url=proxy.url, credentials=credentials)
            return until(lambda: not isinstance(source.counts(query), NotYet) and source.counts(query), "an answer")

        assert asked_with(TOKEN, "127.0.0.1").keys() == {"candidate", "baseline"}
        for token in ("wrong", None):
            with pytest.raises(Unauthorized, match=r"HTTP 401.*tokenSecretRef") as refused:
                asked_with(token, "127.0.0.1")
            assert TOKEN not in refused.value.message
        before = len(proxy.authorizations)
        with pytest.raises(Unauthorized, match="the host of url is not among the hosts"):
            asked_with(TOKEN, "prometheus.monitoring")
        with pytest.raises(Unauthorized, match="does not hold a bearer token"):
            asked_with("two\nlines", "127.0.0.1")
        assert len(proxy.authorizations) == before, "nothing was sent"


def test_a_certificate_must_be_trusted(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = now() - 2
    query = CountsQuery("errors_total", "requests_total", "revision", ARMS, world.span(start, start + 1), world.began)
    with running_proxy(world.prometheus.url, TOKEN, tls=tmp_path) as proxy:
        source = world.source(url=proxy.url, credentials=Credentials(TOKEN, ("localhost",)))
        with pytest.raises(Unreachable, match="no trustworthy TLS connection"):
            source.counts(query)
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.authority))
        until(lambda: not isinstance(source.counts(query), NotYet), "an answer")


def test_readings_tell_of_a_server_that_is_gone_and_give_the_counts_when_it_is_back(world: World) -> None:
    start = now() - 2
    query = CountsQuery("errors_total", "requests_total", "revision", ARMS, world.span(start, start + 1), world.began)
    question, owner = Question(query, lambda source: source.counts(query)), ("abexperiment", ("ns", "x"))

    async def story() -> tuple[Any, Any]:
        async def load(key: Any) -> Opened:
            return Opened("the same", lambda: world.source(ahead=LATER))

        woken = asyncio.Event()
        readings = Readings(load, lambda owner: woken.set(), timeout_seconds=5.0)

        async def answer() -> Any:
            readings.get("endpoint", question, owner, 0.0)
            await asyncio.wait_for(woken.wait(), 30)
            woken.clear()
            return readings.get("endpoint", question, owner, None)

        try:
            world.prometheus.kill()
            gone = await answer()
            await asyncio.to_thread(world.mend)
            while (back := await answer()).error is not None:  # a failed read is repeated after five seconds
                pass
            return gone, back
        finally:
            await readings.close()

    gone, back = asyncio.run(story())
    assert isinstance(gone.error, Unreachable) and "no connection" in gone.error.message
    assert set(back.value) == {"candidate", "baseline"}

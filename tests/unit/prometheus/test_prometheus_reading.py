"""One window's counts per arm: what is asked, what is waited for, and when the experiment must hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from retrainer.feedback.errors import SchemaMismatch, SourceError, Unreachable
from retrainer.prometheus.counters import Sample, Series, Span
from retrainer.prometheus.reading import ArmCounts, CountsQuery, NotYet, read_counts

DIGEST = "sha256:" + "ab" * 32
ARMS = (("candidate", ("4", DIGEST, "ab" * 32, "candidate", "r4")), ("baseline", ("3", "baseline", "r3")))
START, END, NOW = 10_000.0, 10_060.0, 10_075.0


@dataclass
class Server:
    """A Prometheus in memory: series by metric name, `up` since `began`; remembers what it was asked."""

    series: dict[str, list[Series]]
    began: float = 0.0
    asked: list[str] = field(default_factory=list)

    def ask(self, query: str, at: float) -> Sequence[Series]:
        self.asked.append(query)
        if query == "count(up)":
            return [Series({}, (Sample(at, 1.0),))] if self.began <= at else []
        match = re.fullmatch(r"(last_over_time\()?(\w+)\[(\d+)s\]\)?", query)
        assert match is not None, query
        kept = []
        for found in self.series.get(match[2], []):
            samples = tuple(s for s in found.samples if at - int(match[3]) <= s.time <= at)
            if samples:
                kept.append(Series(found.labels, samples[-1:] if match[1] else samples))
        return kept


def counter(revision: str, rise: float, *, since: float = 9_000.0, until: float = 10_080.0, **labels: str) -> Series:
    """Scraped every five seconds; rises by `rise` at every scrape from START on, and stands at 100 before."""
    samples, value, time = [], 100.0, since
    while time <= until:
        value += rise if time > START else 0.0
        samples.append(Sample(time, value))
        time += 5.0
    return Series({"__name__": "x", "revision": revision, **labels}, tuple(samples))


def query(**changes: Any) -> CountsQuery:
    given = {"query": "errors", "units_query": "requests", "label": "revision", "arms": ARMS,
             "span": Span(START, END, 5_000.0), "since": 5_000.0}  # fmt: skip
    return CountsQuery(**(given | changes))


def read(server: Server, now: float = NOW, **changes: Any) -> Any:
    return read_counts(query(**changes), server.ask, now)


def usual(**changes: list[Series]) -> Server:
    series = {"errors": [counter("3", 1), counter("4", 2)], "requests": [counter("3", 50), counter("4", 10)]}
    return Server(series | changes)


def test_the_usual_window_costs_one_question_per_selector() -> None:
    server = usual()
    assert read(server) == {"candidate": ArmCounts(24, 120), "baseline": ArmCounts(12, 600)}
    assert len(server.asked) == 2


def test_without_a_counter_of_requests_only_events_are_known() -> None:
    assert read(usual(), units_query=None) == {"candidate": ArmCounts(24, None), "baseline": ArmCounts(12, None)}


@pytest.mark.parametrize("name", ["4", DIGEST, "ab" * 32, "candidate", "r4"])
def test_an_arm_is_known_by_revision_digest_name_and_service(name: str) -> None:
    server = usual(errors=[counter(name, 2)], requests=[counter("baseline", 50), counter(name, 10)])
    assert read(server)["candidate"] == ArmCounts(24, 120)


def test_all_series_of_an_arm_are_added_up_and_other_models_left_out() -> None:
    errors = [counter("4", 2, pod="a"), counter("4", 3, pod="b"), counter("2", 100), counter("3", 0)]
    assert read(usual(errors=errors))["candidate"].events == 60


def test_no_event_series_of_an_arm_that_has_requests_means_no_events() -> None:
    assert read(usual(errors=[counter("3", 1)]))["candidate"] == ArmCounts(0, 120)
    assert read(usual(errors=[]))["baseline"] == ArmCounts(0, 600)
    assert read(usual(errors=[counter("2", 9)]))["baseline"] == ArmCounts(0, 600)


HELD: tuple[tuple[str, dict[str, list[Series]], dict[str, Any], type[SourceError], str], ...] = (
    ("without requests, no series of an arm is no answer", {"errors": [counter("3", 1)]}, {"units_query": None},
     Unreachable, "query has no series of the candidate: none at all and no events look alike; give unitsQuery"),
    ("an arm without requests holds", {"requests": [counter("3", 50)]}, {}, Unreachable,
     'unitsQuery has no series of the candidate .label "revision".; it has answered nothing yet'),
    ("an arm that is no longer scraped holds",
     {"requests": [counter("3", 50), counter("4", 10, until=10_050)]}, {}, Unreachable,
     "unitsQuery: no sample of the candidate since the window's end"),
    ("a label that no series has", {}, {"label": "revison"}, SchemaMismatch,
     'series of query have no label "revison"; did you mean "revision"'),
    ("values that name neither arm", {"requests": [counter("v1", 50), counter("v2", 10)]}, {}, Unreachable,
     'its label "revision" names neither arm; it must be 4 or 3'),
    ("a gauge of fractions", {"errors": [counter("3", 0.25), counter("4", 0.3)]}, {"span": Span(START, END - 50, 0)},
     SchemaMismatch, "query must count whole things"),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "series", "changes", "error", "words"), HELD, ids=[h[0] for h in HELD])
def test_what_is_not_known_holds_with_the_remedy(
    sentence: str, series: dict[str, list[Series]], changes: dict[str, Any], error: type[SourceError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(usual(**series), **changes)


def test_the_sample_after_the_window_is_waited_for() -> None:
    late = {name: [counter(r, 1, until=10_055) for r in "34"] for name in ("errors", "requests")}
    assert read(Server(late), now=10_061) == NotYet()
    arrived = {name: [counter(r, 1, until=10_060) for r in "34"] for name in ("errors", "requests")}
    assert read(Server(arrived), now=10_061)["candidate"] == ArmCounts(12, 12)


def test_an_arm_that_was_never_seen_is_waited_for_before_it_holds() -> None:
    server = usual(requests=[counter("3", 50)])
    assert read(server, now=10_061) == NotYet()
    with pytest.raises(Unreachable):
        read(server, now=10_076)


def test_a_pod_that_died_counts_what_was_seen_of_it_and_delays_nothing_for_long() -> None:
    requests = [counter("3", 50), counter("4", 10, pod="a", until=10_030), counter("4", 10, pod="b")]
    server = usual(requests=requests)
    assert read(server)["candidate"].units == 60 + 120
    dead_before = usual(requests=[*requests[::2], counter("4", 10, pod="a", until=9_990)])
    assert read(dead_before, now=10_061)["candidate"].units == 120


def test_a_pod_that_was_born_in_the_window_counts_from_0() -> None:
    born = Series({"revision": "4", "pod": "b"}, tuple(Sample(10_031.0 + 5 * i, 7.0 + i) for i in range(10)))
    server = usual(requests=[counter("3", 50), counter("4", 10), born])
    assert read(server)["candidate"].units == 120 + 12
    assert sum("last_over_time" in q for q in server.asked) == 1


def test_a_gap_is_counted_when_samples_resume_and_only_there() -> None:
    """The server was away from 9,800 to 10,200: nothing is lost, nothing is counted twice, nothing holds for ever."""
    def with_gap(whole: Series) -> Series:
        return Series(whole.labels, tuple(s for s in whole.samples if not 9_800 < s.time < 10_200))

    found = {name: [with_gap(counter(r, 1, until=11_000)) for r in "34"] for name in ("errors", "requests")}
    inside, resuming = Span(10_000.0, 10_060.0, 5_000.0), Span(10_180.0, 10_240.0, 5_000.0)
    with pytest.raises(Unreachable):
        read(Server(found), now=10_190, span=inside)
    assert read(Server(found), now=10_900, span=inside)["candidate"] == ArmCounts(0, 0)
    assert read(Server(found), now=10_900, span=resuming)["candidate"] == ArmCounts(48, 48)


def test_an_arm_that_was_silent_for_long_after_the_window_holds_until_it_is_seen_again() -> None:
    def until_back(whole: Series) -> Series:
        return Series(whole.labels, tuple(s for s in whole.samples if not 10_030 < s.time < 11_000))

    found = {name: [counter("3", 1, until=11_100), until_back(counter("4", 1, until=11_100))]
             for name in ("errors", "requests")}  # fmt: skip
    with pytest.raises(Unreachable, match="no sample of the candidate since the window's end"):
        read(Server(found), now=10_990)
    assert read(Server(found), now=11_050)["candidate"] == ArmCounts(6, 6)


def test_a_server_that_lost_its_data_does_not_count_what_was_before() -> None:
    found = {name: [counter(r, 1, since=10_020) for r in "34"] for name in ("errors", "requests")}
    forgetful, new_pods = Server(found, began=10_020), Server(found)
    assert read(forgetful)["candidate"] == ArmCounts(8, 8)
    assert read(new_pods)["candidate"] == ArmCounts(109, 109)


def test_nothing_from_before_the_weight_was_applied_is_counted() -> None:
    def changed_at_start(revision: str) -> Series:
        return Series({"revision": revision}, tuple(Sample(9_990.0 + 15 * i, 100.0 + 10 * i) for i in range(8)))

    found = {name: [changed_at_start(r) for r in "34"] for name in ("errors", "requests")}
    assert read(Server(found), span=Span(START, END, 9_980.0))["candidate"] == ArmCounts(40, 40)
    assert read(Server(found), span=Span(START, END, 9_998.0))["candidate"] == ArmCounts(30, 30)

"""At most one process leads: by our own clock, whatever the clocks of others say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from unit.kube.kube_fakes import FakeClient

from retrainer.kube.errors import ApiError, Conflict
from retrainer.kube.resources import LEASE
from retrainer.runtime import lease as lease_module
from retrainer.runtime.lease import LeaderLease, NotLeader

SECONDS = 15


class Clock:
    """A monotonic clock that tests move; sleeping moves it."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    yield_once = asyncio.sleep

    async def sleep(seconds: float) -> None:
        moved.now += seconds
        await yield_once(0)

    monkeypatch.setattr(lease_module.asyncio, "sleep", sleep)
    return moved


def contender(client: FakeClient, name: str, clock: Clock) -> LeaderLease:
    return LeaderLease(client, "team", "operator", name, SECONDS, clock)


def stored(client: FakeClient) -> dict[str, Any]:
    live = client.live("Lease", "operator", "coordination.k8s.io/v1")
    assert live is not None
    spec: dict[str, Any] = live["spec"]
    return spec


def run(body: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(body(), 10)

    return asyncio.run(main())


class TestAcquiring:
    def test_the_first_creates_the_lease_and_leads(self, clock: Clock) -> None:
        client = FakeClient()
        lease = contender(client, "a", clock)
        run(lease.acquire)
        assert lease.held
        assert stored(client)["holderIdentity"] == "a"
        assert stored(client)["leaseDurationSeconds"] == SECONDS
        assert stored(client)["leaseTransitions"] == 0

    def test_nobody_leads_before_acquiring(self, clock: Clock) -> None:
        lease = contender(FakeClient(), "a", clock)
        assert not lease.held
        with pytest.raises(NotLeader, match="team/operator"):
            run(lease.check)

    def test_a_second_one_waits_a_full_duration_without_renewal_by_its_own_clock(self, clock: Clock) -> None:
        client = FakeClient()
        run(contender(client, "a", clock).acquire)
        began = clock.now
        second = contender(client, "b", clock)
        run(second.acquire)
        assert clock.now - began > SECONDS
        assert stored(client)["holderIdentity"] == "b"
        assert stored(client)["leaseTransitions"] == 1

    def test_times_written_by_a_process_whose_clock_is_wrong_are_only_compared_for_equality(self, clock: Clock) -> None:
        client = FakeClient()
        run(contender(client, "a", clock).acquire)
        live = client.live("Lease", "operator", "coordination.k8s.io/v1")
        assert live is not None
        live["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
        assert run(contender(client, "b", clock)._try) is False

    def test_a_holder_that_renews_is_never_overtaken(self, clock: Clock) -> None:
        client = FakeClient()
        first, second = contender(client, "a", clock), contender(client, "b", clock)
        run(first.acquire)
        for _ in range(50):
            clock.now += SECONDS / 5
            assert run(first._try) is True
            assert run(second._try) is False
            assert first.held and not second.held

    def test_a_lease_that_was_released_is_taken_at_once(self, clock: Clock) -> None:
        client = FakeClient()
        first = contender(client, "a", clock)
        run(first.acquire)
        run(first.release)
        began = clock.now
        run(contender(client, "b", clock).acquire)
        assert clock.now == began

    def test_a_restarted_process_of_the_same_name_continues(self, clock: Clock) -> None:
        client = FakeClient()
        run(contender(client, "a", clock).acquire)
        began = clock.now
        run(contender(client, "a", clock).acquire)
        assert clock.now == began
        assert stored(client)["leaseTransitions"] == 0

    def test_of_two_that_write_at_once_the_slower_waits(self, clock: Clock) -> None:
        client = FakeClient()
        run(contender(client, "a", clock).acquire)
        client.fail["replace", "Lease"] = Conflict(409, "Conflict", "modified")
        second = contender(client, "a", clock)
        assert run(second._try) is False
        assert not second.held

    def test_an_api_server_that_does_not_answer_is_asked_again(self, clock: Clock) -> None:
        client = FakeClient()
        client.fail["get", "Lease"] = ApiError(0, "NoAnswer", "down")
        lease = contender(client, "a", clock)
        run(lease.acquire)
        assert lease.held


class TestKeeping:
    def test_it_is_held_for_less_than_its_duration_without_renewal(self, clock: Clock) -> None:
        """Others take over after the full duration: between the two nobody leads, and never two."""
        lease = contender(FakeClient(), "a", clock)
        run(lease.acquire)
        clock.now += SECONDS * 0.79
        run(lease.check)
        clock.now += SECONDS * 0.02
        with pytest.raises(NotLeader):
            run(lease.check)

    def test_the_time_counts_from_before_the_request(self, clock: Clock) -> None:
        """The server may have written the renewal at once and answered late."""
        client = FakeClient()
        lease = contender(client, "a", clock)
        original = client.create

        async def slow(obj: dict[str, Any]) -> dict[str, Any]:
            written = await original(obj)
            clock.now += 10
            return written

        client.create = slow  # type: ignore[method-assign]
        run(lease.acquire)
        clock.now += 2.5
        assert not lease.held

    def test_keeping_ends_when_somebody_else_holds_the_lease(self, clock: Clock) -> None:
        client = FakeClient()
        lease = contender(client, "a", clock)

        async def body() -> None:
            await lease.acquire()
            live = client.live("Lease", "operator", "coordination.k8s.io/v1")
            assert live is not None
            live["spec"]["holderIdentity"] = "b"
            await lease.keep()

        run(body)
        assert not lease.held
        assert stored(client)["holderIdentity"] == "b"

    def test_a_few_renewals_that_fail_are_survived_and_more_are_not(self, clock: Clock) -> None:
        client = FakeClient()
        lease = contender(client, "a", clock)
        outages = iter([True, True, False, *[True] * 10])

        async def flaky(*_: Any) -> Any:
            if next(outages):
                raise ApiError(0, "NoAnswer", "down")
            return await original(LEASE, "team", "operator")

        async def body() -> float:
            await lease.acquire()
            client.get = flaky  # type: ignore[method-assign]
            await lease.keep()
            return clock.now

        original = client.get
        assert run(body) > SECONDS

    def test_releasing_what_is_lost_writes_nothing(self, clock: Clock) -> None:
        client = FakeClient()
        lease = contender(client, "a", clock)
        run(lease.acquire)
        clock.now += SECONDS
        before = len(client.log)
        run(lease.release)
        assert len(client.log) == before

    def test_who_released_may_not_write_any_more(self, clock: Clock) -> None:
        lease = contender(FakeClient(), "a", clock)
        run(lease.acquire)
        run(lease.release)
        with pytest.raises(NotLeader):
            run(lease.check)

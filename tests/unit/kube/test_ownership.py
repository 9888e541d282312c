"""An object that is not ours is never taken over; one that is ours is managed so that fields can be dropped."""

from __future__ import annotations

import asyncio

import pytest
from unit.kube.kube_fakes import FakeClient, child

from retrainer.kube.errors import AlreadyExists, ApiError, Conflict, NameConflict
from retrainer.kube.ownership import apply_if_ours, create_or_adopt, is_ours
from retrainer.plan import Object

OURS = child()
LABELS = {"retrainer.dev/managed-by": "retrainer", "retrainer.dev/owner-name": "tutor"}
RECORD = child(owner=None, **LABELS)


class NotLeader(Exception):
    """As the lease raises it."""


@pytest.mark.parametrize(
    ("sentence", "found", "wanted", "expected"),
    [
        ("the same controller by uid", child(), OURS, True),
        ("a controller of the same name with another uid", child(owner="earlier-uid"), OURS, False),
        ("no owner at all", child(owner=None), OURS, False),
        ("no owner, but all our labels", child(owner=None, **LABELS), child(**LABELS), False),
        ("a record with all our labels", child(owner=None, **LABELS), RECORD, True),
        ("a record with further labels", child(owner=None, extra="1", **LABELS), RECORD, True),
        ("a record that lacks a label", child(owner=None, **{"retrainer.dev/managed-by": "retrainer"}), RECORD, False),
        ("a record that somebody controls", child(owner="theirs", **LABELS), RECORD, False),
        ("a record without labels to recognise it by", child(owner=None), child(owner=None), False),
    ],
)
def test_what_counts_as_ours(sentence: str, found: Object, wanted: Object, expected: bool) -> None:
    assert is_ours(found, wanted) is expected


def test_an_owner_that_does_not_control_does_not_count() -> None:
    found = child()
    found["metadata"]["ownerReferences"][0]["controller"] = False
    assert not is_ours(found, OURS)


class TestCreateOrAdopt:
    def test_an_absent_object_is_posted(self) -> None:
        client = FakeClient()
        assert asyncio.run(create_or_adopt(client, OURS))["metadata"]["name"] == "child"
        assert client.log == [("create", "ConfigMap", "child")]

    def test_one_of_ours_from_an_interrupted_pass_counts_as_created_and_is_not_written(self) -> None:
        client = FakeClient({**OURS, "data": {"from": "before"}})
        assert asyncio.run(create_or_adopt(client, OURS))["data"] == {"from": "before"}
        assert client.log == [("create", "ConfigMap", "child")]

    def test_one_that_is_not_ours_is_a_name_conflict_and_stays_as_it_is(self) -> None:
        theirs = child(owner=None)
        client = FakeClient({**theirs, "data": {"mine": "1"}})
        with pytest.raises(NameConflict, match="ConfigMap child exists and does not belong to this object; rename"):
            asyncio.run(create_or_adopt(client, OURS))
        live = client.live("ConfigMap", "child")
        assert live is not None and live["data"] == {"mine": "1"}

    def test_one_that_vanishes_between_two_requests_is_tried_again_later(self) -> None:
        client = FakeClient()
        client.fail["create", "ConfigMap"] = AlreadyExists(409, "AlreadyExists", "exists")
        with pytest.raises(AlreadyExists):
            asyncio.run(create_or_adopt(client, OURS))


class TestApplyIfOurs:
    def managers(self, client: FakeClient) -> list[tuple[str, str]]:
        live = client.live("ConfigMap", "child")
        assert live is not None
        return [(entry["manager"], entry["operation"]) for entry in live["metadata"]["managedFields"]]

    def test_an_absent_object_is_created_with_post_never_with_apply(self) -> None:
        """An apply would silently merge into an object that somebody else created a moment ago."""
        client = FakeClient()
        asyncio.run(apply_if_ours(client, OURS))
        assert [verb for verb, _, _ in client.log] == ["create"]

    def test_what_the_post_wrote_counts_as_applied_at_the_next_apply_so_that_a_field_can_be_dropped(self) -> None:
        client = FakeClient()
        asyncio.run(apply_if_ours(client, OURS))
        asyncio.run(apply_if_ours(client, OURS))
        assert [verb for verb, _, _ in client.log] == ["create", "merge", "apply"]
        assert self.managers(client) == [("retrainer", "Apply")]

    def test_once_that_is_so_an_apply_is_one_write(self) -> None:
        client = FakeClient()
        for _ in range(3):
            asyncio.run(apply_if_ours(client, OURS))
        assert [verb for verb, _, _ in client.log] == ["create", "merge", "apply", "apply"]

    def test_one_of_ours_is_applied_and_left_to_its_other_managers(self) -> None:
        client = FakeClient(OURS)
        asyncio.run(apply_if_ours(client, OURS))
        assert [verb for verb, _, _ in client.log] == ["apply"]
        assert self.managers(client) == [("somebody", "Update"), ("retrainer", "Apply")]

    def test_one_that_is_not_ours_is_not_written_at_all(self) -> None:
        client = FakeClient(child(owner=None))
        with pytest.raises(NameConflict):
            asyncio.run(apply_if_ours(client, OURS))
        assert client.log == []

    def test_one_that_takes_the_name_between_look_and_creation_is_not_touched(self) -> None:
        client = FakeClient()

        async def somebody_is_faster() -> None:
            original = client.create

            async def create(obj: Object) -> Object:
                client._store(child(owner=None), "somebody", "Update")
                return await original(obj)

            client.create = create  # type: ignore[method-assign]
            with pytest.raises(NameConflict):
                await apply_if_ours(client, OURS)

        asyncio.run(somebody_is_faster())
        assert self.managers(client) == [("somebody", "Update")]

    def test_one_that_takes_the_name_between_look_and_apply_is_refused_by_its_uid(self) -> None:
        client = FakeClient(OURS)

        async def somebody_is_faster() -> None:
            original = client.apply

            async def apply(obj: Object) -> Object:
                theirs = child(owner=None)
                client._store({**theirs, "metadata": {**theirs["metadata"], "uid": "other"}}, "somebody", "Update")
                return await original(obj)

            client.apply = apply  # type: ignore[method-assign]
            with pytest.raises(ApiError):
                await apply_if_ours(client, OURS)

        asyncio.run(somebody_is_faster())
        assert self.managers(client) == [("somebody", "Update")]

    @pytest.mark.parametrize(("exists", "checks", "written"), [(False, 0, []), (True, 0, []), (True, 1, ["merge"])])
    def test_a_process_that_no_longer_leads_when_an_answer_comes_writes_no_more(
        self, exists: bool, checks: int, written: list[str]
    ) -> None:
        """It may have been stopped while it waited, and woken when another had changed the object."""
        client = FakeClient()
        if exists:
            client._store(OURS, "retrainer", "Update")
        passed = iter(range(checks))

        async def may_write() -> None:
            if next(passed, None) is None:
                raise NotLeader

        with pytest.raises(NotLeader):
            asyncio.run(apply_if_ours(client, OURS, may_write))
        assert [verb for verb, _, _ in client.log] == written

    def test_a_write_by_somebody_else_meanwhile_is_a_conflict_that_the_next_pass_repeats(self) -> None:
        client = FakeClient()
        asyncio.run(apply_if_ours(client, OURS))
        client.fail["merge", "ConfigMap"] = Conflict(409, "Conflict", "modified")
        with pytest.raises(Conflict):
            asyncio.run(apply_if_ours(client, OURS))
        asyncio.run(apply_if_ours(client, OURS))
        assert self.managers(client) == [("retrainer", "Apply")]

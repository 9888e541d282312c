"""The cache is fed by watches, lists and our own writes, in any order, and must end up with what exists."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from retrainer.kube.cache import Cache, owner_of, trim
from retrainer.kube.resources import CONFIG_MAP, JOB, POD

KEY = ("team", "a")


def obj(
    name: str = "a", version: int | str = 1, uid: str = "u1", namespace: str = "team", **more: Any
) -> dict[str, Any]:
    meta = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version), **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta}


def owned(name: str, owner: str, version: int = 1, kind: str = "trainingrun", **more: Any) -> dict[str, Any]:
    labels = {"retrainer.dev/owner-kind": kind, "retrainer.dev/owner-name": owner}
    return obj(name, version, uid=f"uid-{name}", labels=labels, **more)


def version_of(cache: Cache) -> str | None:
    known = cache.get(JOB, KEY)
    return known["metadata"]["resourceVersion"] if known else None


class TestStaleNews:
    def test_a_newer_version_replaces_an_older_one(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=9))
        cache.put(JOB, obj(version=10))
        assert version_of(cache) == "10"

    def test_an_older_version_is_ignored_however_many_digits_it_has(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=100))
        cache.put(JOB, obj(version=99))
        assert version_of(cache) == "100"

    def test_the_same_version_again_changes_nothing(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=5))
        cache.put(JOB, obj(version=5))
        assert version_of(cache) == "5"

    def test_a_successor_of_the_same_name_replaces_its_predecessor(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=5, uid="old"))
        cache.put(JOB, obj(version=8, uid="new"))
        assert version_of(cache) == "8"

    def test_late_news_of_a_predecessor_does_not_replace_its_successor(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=8, uid="new"))
        cache.put(JOB, obj(version=5, uid="old"))
        assert version_of(cache) == "8"

    def test_the_end_of_a_predecessor_told_late_leaves_its_successor(self) -> None:
        """kopf tells the events of two identities independently of each other."""
        cache = Cache()
        cache.put(JOB, obj(version=5, uid="old"))
        cache.put(JOB, obj(version=8, uid="new"))
        assert not cache.remove(JOB, obj(version=7, uid="old"))
        assert version_of(cache) == "8"

    def test_what_is_gone_does_not_come_back_with_a_list_or_an_answer_that_was_under_way(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=5))
        assert cache.remove(JOB, obj(version=7))
        cache.put(JOB, obj(version=6))
        assert cache.get(JOB, KEY) is None

    def test_what_lost_our_label_is_told_to_be_gone_and_comes_back_with_the_label(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=5))
        cache.remove(JOB, obj(version=6))
        cache.put(JOB, obj(version=8))
        assert version_of(cache) == "8"

    def test_the_end_told_after_the_return_does_not_undo_it(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version=8))
        assert not cache.remove(JOB, obj(version=6))
        assert version_of(cache) == "8"

    def test_a_version_that_is_no_number_is_taken_as_news(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(version="opaque-1"))
        cache.put(JOB, obj(version="opaque-2"))
        assert version_of(cache) == "opaque-2"

    def test_the_memory_of_what_is_gone_is_bounded(self) -> None:
        cache = Cache()
        for number in range(10_050):
            cache.remove(JOB, obj(uid=f"gone-{number}"))
        cache.put(JOB, obj(uid="gone-10049"))
        assert cache.get(JOB, KEY) is None
        cache.put(JOB, obj(uid="gone-0"))
        assert cache.get(JOB, KEY) is not None


EVENTS = [
    ("put", obj(version=1, uid="old")),
    ("put", obj(version=3, uid="old")),
    ("gone", obj(version=4, uid="old")),
    ("put", obj(version=5, uid="new")),
    ("put", obj(version=7, uid="new")),
]


@given(st.randoms(use_true_random=False), st.booleans())
def test_in_whatever_order_news_arrives_the_latest_wins(rng: random.Random, is_deleted: bool) -> None:
    """Law: the end state depends on what was told, not on when."""
    events = [*EVENTS, *([("gone", obj(version=8, uid="new"))] if is_deleted else [])]
    rng.shuffle(events)
    cache = Cache()
    for what, told in events:
        if what == "put":
            cache.put(JOB, told)
        else:
            cache.remove(JOB, told)
    assert version_of(cache) == (None if is_deleted else "7")


class TestPrune:
    def test_what_a_list_does_not_have_is_dropped_and_returned(self) -> None:
        cache = Cache()
        cache.put(JOB, obj("a"))
        cache.put(JOB, obj("b", uid="u2"))
        dropped = cache.prune(JOB, [("team", "b")], cache.uids(JOB, "team"))
        assert [d["metadata"]["name"] for d in dropped] == ["a"]
        assert cache.get(JOB, KEY) is None and cache.get(JOB, ("team", "b")) is not None

    def test_what_appeared_while_the_list_was_under_way_stays(self) -> None:
        cache = Cache()
        before = cache.uids(JOB, "team")
        cache.put(JOB, obj())
        assert cache.prune(JOB, [], before) == []
        assert cache.get(JOB, KEY) is not None

    def test_what_was_replaced_while_the_list_was_under_way_stays(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(uid="old"))
        before = cache.uids(JOB, "team")
        cache.put(JOB, obj(version=9, uid="new"))
        assert cache.prune(JOB, [], before) == []
        assert version_of(cache) == "9"

    def test_other_namespaces_and_resources_are_left_alone(self) -> None:
        cache = Cache()
        cache.put(JOB, obj(namespace="other"))
        cache.put(POD, obj())
        assert cache.prune(JOB, [], cache.uids(JOB, "team")) == []
        assert len(cache.all(JOB)) == len(cache.all(POD)) == 1


class TestChildren:
    OWNER = ("team", "run")

    def names(self, cache: Cache) -> list[str]:
        return [c["metadata"]["name"] for c in cache.children(JOB, "trainingrun", self.OWNER)]

    def test_children_are_found_by_the_owner_their_labels_name_in_order_of_name(self) -> None:
        cache = Cache()
        for name in ("b", "a"):
            cache.put(JOB, owned(name, "run"))
        cache.put(JOB, owned("c", "other"))
        cache.put(JOB, owned("d", "run", kind="retrainpolicy"))
        cache.put(JOB, obj("e", uid="u9"))
        assert self.names(cache) == ["a", "b"]

    def test_a_namesake_of_the_owner_in_another_namespace_has_other_children(self) -> None:
        cache = Cache()
        cache.put(JOB, owned("a", "run", namespace="other"))
        assert self.names(cache) == []

    def test_a_child_whose_labels_change_moves_to_its_new_owner(self) -> None:
        cache = Cache()
        cache.put(JOB, owned("a", "run"))
        cache.put(JOB, owned("a", "other", version=2))
        assert self.names(cache) == []
        assert len(cache.children(JOB, "trainingrun", ("team", "other"))) == 1

    def test_a_child_that_is_gone_is_no_child(self) -> None:
        cache = Cache()
        cache.put(JOB, owned("a", "run"))
        cache.remove(JOB, owned("a", "run"))
        assert self.names(cache) == []

    def test_late_news_of_a_child_does_not_move_it_back(self) -> None:
        cache = Cache()
        cache.put(JOB, owned("a", "other", version=5))
        cache.put(JOB, owned("a", "run", version=4))
        assert self.names(cache) == []

    def test_an_incomplete_label_names_no_owner(self) -> None:
        assert owner_of(obj(labels={"retrainer.dev/owner-kind": "trainingrun"})) is None
        assert owner_of(obj(labels=None)) is None


class TestTrim:
    def test_field_managers_and_kubectls_copy_are_left_out_and_the_original_is_untouched(self) -> None:
        whole = obj(
            managedFields=[{}], annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "1"}
        )
        trimmed = trim(whole)
        assert "managedFields" not in trimmed["metadata"]
        assert trimmed["metadata"]["annotations"] == {"a": "1"}
        assert "managedFields" in whole["metadata"] and len(whole["metadata"]["annotations"]) == 2

    def test_a_config_map_loses_its_data_and_other_objects_keep_theirs(self) -> None:
        stored = {**obj(), "kind": "ConfigMap", "data": {"ledger": "…"}, "binaryData": {}}
        assert not {"data", "binaryData"} & trim(stored).keys()
        assert trim({**obj(), "data": 1})["data"] == 1

    def test_the_cache_holds_trimmed_objects(self) -> None:
        cache = Cache()
        cache.put(CONFIG_MAP, {**obj(), "kind": "ConfigMap", "data": {"ledger": "…"}})
        known = cache.get(CONFIG_MAP, KEY)
        assert known is not None and "data" not in known

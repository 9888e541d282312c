"""kopf only watches: no annotations, no events of its own, children selected by label on the server."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from retrainer.kube.cache import Cache
from retrainer.kube.resources import AB_EXPERIMENT, CONFIG_MAP, JOB, POD, Resource
from retrainer.plan import Object
from retrainer.runtime.watches import (
    CHILD_SELECTOR,
    CHILDREN,
    OURS,
    build_registry,
    build_settings,
    key_of,
    selector_for,
)


def job(version: int, uid: str = "u1") -> Object:
    return {"metadata": {"namespace": "team", "name": "j", "uid": uid, "resourceVersion": str(version)}}


class Heard:
    def __init__(self) -> None:
        self.cache = Cache()
        self.told: list[tuple[str, str, bool]] = []
        self.registry = build_registry(self.cache, self._changed)

    def _changed(self, resource: Resource, obj: Object, deleted: bool) -> None:
        self.told.append((obj["kind"], obj["metadata"]["name"], deleted))

    def hear(self, plural: str, event: dict[str, Any]) -> None:
        handlers = [h for h in self.registry._watching.get_all_handlers() if h.id == f"watch-{plural}"]
        (handler,) = handlers
        asyncio.run(handler.fn(event=event))


def test_every_kind_of_ours_and_every_kind_of_child_is_watched_once() -> None:
    ids = sorted(str(handler.id) for handler in Heard().registry._watching.get_all_handlers())
    assert ids == sorted(f"watch-{resource.plural}" for resource in (*OURS, *CHILDREN))


def test_no_handler_changes_objects_so_that_kopf_adds_neither_finalizers_nor_annotations() -> None:
    registry = Heard().registry
    assert list(registry._changing.get_all_handlers()) == []
    assert list(registry._spawning.get_all_handlers()) == []


def test_an_event_fills_the_cache_and_is_told_with_the_kind_that_lists_leave_out() -> None:
    heard = Heard()
    heard.hear("jobs", {"type": "ADDED", "object": job(1)})
    assert heard.told == [("Job", "j", False)]
    known = heard.cache.get(JOB, ("team", "j"))
    assert known is not None and known["apiVersion"] == "batch/v1"


@pytest.mark.parametrize("type", [None, "ADDED", "MODIFIED"])
def test_what_exists_at_the_start_comes_without_a_type(type: str | None) -> None:
    heard = Heard()
    heard.hear("jobs", {"type": type, "object": job(1)})
    assert heard.cache.get(JOB, ("team", "j")) is not None


def test_the_end_of_an_object_empties_the_cache_and_is_told() -> None:
    heard = Heard()
    heard.hear("jobs", {"type": "ADDED", "object": job(1)})
    heard.hear("jobs", {"type": "DELETED", "object": job(2)})
    assert heard.cache.get(JOB, ("team", "j")) is None
    assert heard.told[-1] == ("Job", "j", True)


def test_the_end_of_a_predecessor_told_late_leaves_its_successor() -> None:
    heard = Heard()
    heard.hear("jobs", {"type": "ADDED", "object": job(1, "old")})
    heard.hear("jobs", {"type": "ADDED", "object": job(3, "new")})
    heard.hear("jobs", {"type": "DELETED", "object": job(2, "old")})
    assert heard.cache.get(JOB, ("team", "j")) is not None


def test_children_are_selected_on_the_server_and_ours_are_not() -> None:
    settings = build_settings()
    assert {settings.watching.label_selectors[r.plural] for r in CHILDREN} == {CHILD_SELECTOR}
    assert not {r.plural for r in OURS} & set(settings.watching.label_selectors)
    assert selector_for(POD) == selector_for(CONFIG_MAP) == "retrainer.dev/managed-by=retrainer"
    assert selector_for(AB_EXPERIMENT) is None


def test_kopf_is_reduced_to_watching() -> None:
    settings = build_settings()
    assert isinstance(settings, kopf.OperatorSettings)
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True
    assert settings.watching.server_timeout is not None and settings.watching.client_timeout is not None
    assert settings.watching.server_timeout < settings.watching.client_timeout
    assert settings.networking.request_timeout


def test_a_key_is_namespace_and_name() -> None:
    assert key_of(job(1)) == ("team", "j")

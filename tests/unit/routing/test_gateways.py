"""What gateways say of a route: believed only from all of ours, of this generation."""

from __future__ import annotations

from typing import Any

import pytest

from retrainer.api.v1alpha1.traffic import ParentRef
from retrainer.routing.gateways import acceptance

PUBLIC = ParentRef(name="public")
EDGE = ParentRef(name="edge", namespace="gateways", section_name="https")
AT_EDGE = {"name": "edge", "namespace": "gateways", "sectionName": "https"}


def entry(parent: dict[str, Any] | None = None, generation: int = 4, **overrides: str) -> dict[str, Any]:
    """A controller's entry that accepts everything, but for the overridden conditions."""
    conditions = [
        {"type": t, "status": overrides.get(t, "True"), "reason": "Because", "observedGeneration": generation}
        for t in ("Accepted", "ResolvedRefs")
    ]
    return {"parentRef": parent or {"name": "public"}, "conditions": conditions}


def route(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": "ml", "generation": 4}, "status": {"parents": list(entries)}}


def test_a_route_that_its_gateway_accepts_and_resolves_is_taken_up():
    said = acceptance(route(entry()), (PUBLIC,))
    assert (said.accepted, said.resolved, said.refused, said.message) == (True, True, False, None)


DISBELIEVED: dict[str, Any] = {
    "nobody has looked": ((), False, "has not looked at the route yet"),
    "another gateway accepted it": ((entry({"name": "other"}),), False, "has not looked at the route yet"),
    "an older generation was accepted": ((entry(generation=3),), False, "last change"),
    "it is not accepted": ((entry(Accepted="False"),), True, "Accepted is False (Because)"),
    "a backend is not resolved": ((entry(ResolvedRefs="False"),), True, "ResolvedRefs is False (Because)"),
    "it is not known": ((entry(Accepted="Unknown"),), False, "Accepted is Unknown"),
    "one of two controllers refuses": ((entry(), entry(Accepted="False")), True, "Accepted is False"),
    "one of two controllers is behind": ((entry(), entry(generation=3)), False, "last change"),
    "a condition is not stated": (({**entry(), "conditions": []},), False, "does not say Accepted yet"),
}


@pytest.mark.parametrize(("entries", "refused", "words"), DISBELIEVED.values(), ids=DISBELIEVED)
def test_it_is_not_taken_up_when(entries, refused, words):
    said = acceptance(route(*entries), (PUBLIC,))
    assert not (said.accepted and said.resolved)
    assert said.refused is refused
    assert said.message is not None and words in said.message


def test_a_route_without_a_status_has_not_been_looked_at():
    said = acceptance({"metadata": {"namespace": "ml", "generation": 1}}, (PUBLIC,))
    assert not said.accepted and not said.refused


def test_without_a_named_gateway_nothing_is_taken_up():
    said = acceptance(route(entry()), ())
    assert not said.accepted and "no gateway is named" in str(said.message)


def test_a_refusal_is_told_before_a_gateway_that_is_behind():
    said = acceptance(route(entry(generation=3), entry(AT_EDGE, ResolvedRefs="False")), (PUBLIC, EDGE))
    assert said.refused and "ResolvedRefs is False" in str(said.message)


def test_every_one_of_our_gateways_must_accept():
    assert not acceptance(route(entry()), (PUBLIC, EDGE)).accepted
    assert acceptance(route(entry(), entry(AT_EDGE)), (PUBLIC, EDGE)).accepted


@pytest.mark.parametrize("parent", [{"name": "edge"}, {**AT_EDGE, "sectionName": "http"}, {**AT_EDGE, "port": 80}])
def test_an_entry_for_another_listener_namespace_or_port_is_not_ours(parent):
    assert not acceptance(route(entry(parent)), (EDGE,)).accepted


def test_a_parent_with_its_defaults_written_out_is_the_same_parent():
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "ml"}
    assert acceptance(route(entry(parent)), (PUBLIC,)).accepted


@pytest.mark.parametrize("parent", [{"kind": "Service"}, {"group": "example.com"}])
def test_a_parent_of_another_kind_with_its_name_is_not_ours(parent):
    assert not acceptance(route(entry({"name": "public", **parent})), (PUBLIC,)).accepted

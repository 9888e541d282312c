"""What the operator may do to what carries the weights: everything to its own kinds of objects, little to a user's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from retrainer.kube.resources import HTTP_ROUTE, INFERENCE_SERVICE, VIRTUAL_SERVICE

ROLE = yaml.safe_load((Path(__file__).resolve().parents[3] / "manifests" / "base" / "role.yaml").read_text())


def verbs(group: str, plural: str) -> set[str]:
    rules = [r for r in ROLE["rules"] if group in r["apiGroups"] and plural in r["resources"]]
    return {verb for rule in rules for verb in rule["verbs"]}


@pytest.mark.parametrize("resource", [HTTP_ROUTE, VIRTUAL_SERVICE], ids=lambda r: r.kind)
def test_routes_of_both_kinds_are_created_and_repaired(resource):
    assert verbs(resource.group, resource.plural) == {"get", "create", "patch", "delete"}


def test_an_inference_service_is_read_and_patched_and_neither_made_nor_deleted():
    assert verbs(INFERENCE_SERVICE.group, INFERENCE_SERVICE.plural) == {"get", "patch"}


def test_none_of_them_is_watched_for_a_cluster_may_not_have_the_kind():
    for resource in (HTTP_ROUTE, VIRTUAL_SERVICE, INFERENCE_SERVICE):
        assert not verbs(resource.group, resource.plural) & {"list", "watch"}

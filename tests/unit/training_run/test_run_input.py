"""Kubernetes objects reduced to what decisions look at."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.training_run.input import Stage, attempt_of, is_owned_by, pod_facts, secret_facts, secret_of
from retrainer.training_run.numbers import decimal_string
from tests.unit.training_run.run_world import NOON, pod, run, secret, source, sqlite_source
from tests.unit.training_run.test_run_result import DECIMAL


def test_a_running_pod():
    facts = pod_facts(pod(Stage.DATA))
    assert (facts.name, facts.job_uid, facts.phase, facts.created) == ("tutor-4-data-1-x", "data-1", "Running", NOON)
    assert (facts.waiting, facts.unschedulable, facts.terminated, facts.disrupted) == (None, None, None, False)


def test_a_pod_that_ended_tells_code_reason_message_and_time():
    facts = pod_facts(pod(Stage.DATA, exit_code=137, reason="OOMKilled", message="hello", disrupted=True))
    ended = facts.terminated
    assert (ended.exit_code, ended.reason, ended.message) == (137, "OOMKilled", "hello")
    assert (ended.finished - NOON).total_seconds() == 60
    assert facts.disrupted


def test_pods_that_do_not_run_yet():
    assert pod_facts(pod(Stage.DATA, waiting="ImagePullBackOff")).waiting == "ImagePullBackOff"
    assert pod_facts(pod(Stage.DATA, unschedulable="0/1 nodes")).unschedulable == "0/1 nodes"
    bare = {"metadata": {"name": "p", "creationTimestamp": "2026-11-21T12:00:00Z"}}
    assert pod_facts(bare).phase == "Pending"
    gated = {
        **bare,
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
    }
    assert pod_facts(gated).unschedulable is None


def test_a_secret_is_reduced_to_facts_without_its_content():
    facts = secret_facts(secret(), "dsn")
    assert dataclasses.asdict(facts) == {
        "has_key": True,
        "shared": True,
        "allowed_hosts": ("db.chat.svc", "db2.chat.svc"),
    }
    assert "Z2VoZWlt" not in repr(facts)
    assert secret()["data"]["dsn"] not in repr(facts)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": {"retrainer.dev/allow-operator": "true"}},
        {"annotations": {"retrainer.dev/allowed-hosts": "db"}},
        {
            "labels": {"retrainer.dev/allow-operator": "yes"},
            "annotations": {"retrainer.dev/allowed-hosts": "db"},
        },
        {
            "labels": {"retrainer.dev/allow-operator": "true"},
            "annotations": {"retrainer.dev/allowed-hosts": " , "},
        },
    ],
    ids=["neither", "no hosts", "no label", "another value", "empty hosts"],
)
def test_a_secret_without_label_and_hosts_is_not_shared(metadata):
    assert not secret_facts({"metadata": metadata, "data": {"dsn": "eA=="}}, "dsn").shared


def test_the_secret_of_a_source():
    assert secret_of(source()) == ("feedback-db", "dsn")
    assert secret_of(sqlite_source()) is None
    assert secret_of({}) is None


def test_the_attempt_that_counts():
    assert attempt_of(run()) == 1
    assert attempt_of(run({"attempts": 3})) == 3


def test_only_the_controlling_owner_counts():
    owned = {"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b", "controller": True}]}}
    assert is_owned_by(owned, "b")
    assert not is_owned_by(owned, "a")
    assert not is_owned_by({"metadata": {}}, "b")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.87671, "0.8767"),
        (0.85, "0.85"),
        (0.0, "0"),
        (-0.0, "0"),
        (1, "1"),
        (100.0, "100"),
        (-0.01236, "-0.01236"),
        (12.3456, "12.35"),
        (123456.7, "123457"),
        (0.000123456, "0.0001235"),
        (0.00001234, "1.234e-5"),
        (1e-120, "0"),
        (12345678901.0, "1.235e10"),
        (-2e20, "-2e20"),
        (1e100, None),
        (math.nan, None),
        (math.inf, None),
        (None, None),
    ],
)
def test_numbers_are_shown_with_four_digits(number, text):
    assert decimal_string(number) == text


@given(st.floats())
def test_every_number_is_shown_in_the_form_of_the_schema_and_close_to_what_it_is(number):
    text = decimal_string(number)
    if text is None:
        assert not math.isfinite(number) or abs(number) >= 1e98
        return
    assert DECIMAL.fullmatch(text)
    assert len(text) <= 24
    assert math.isclose(float(text), number, rel_tol=1e-3, abs_tol=1e-98)
    assert json.loads(json.dumps(text)) == text

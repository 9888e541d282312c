"""The actions: what is offered when, that the operator understands each request, and that nothing else is changed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from retrainer.ab_experiment.running import ACTIONS as EXPERIMENT_ACTIONS
from retrainer.api.v1alpha1 import KINDS as MODELS
from retrainer.api.v1alpha1.retrain_policy import Revision
from retrainer.feedback_source.input import REQUESTS as SOURCE_ACTIONS
from retrainer.requests import acknowledgement, pending_request, refused_request
from retrainer.retrain_policy.decide import ACTIONS as POLICY_ACTIONS
from retrainer.retrain_policy.revisions import may_return
from retrainer.training_run.decide import REQUESTS as RUN_ACTIONS
from retrainer.training_run.decide import decide
from tests.unit.argocd.argo_lua import NOW, ScriptError, changed, merge_patch, run
from tests.unit.argocd.customizations import KINDS, Object, actions, expectations, fixture, fixtures
from tests.unit.training_run.run_world import NOON, seen

REQUEST = "retrainer.dev/request"
UNDERSTOOD = {
    "ABExperiment": EXPERIMENT_ACTIONS,
    "FeedbackSource": SOURCE_ACTIONS,
    "RetrainPolicy": POLICY_ACTIONS,
    "TrainingRun": RUN_ACTIONS,
}
BY_SPEC = {("RetrainPolicy", "suspend"), ("RetrainPolicy", "resume")}
SPECS = {kind.kind: kind.spec for kind in MODELS}

TESTS = {kind: expectations(kind, "actions/action_test.yaml") for kind in KINDS}
PATCHES = [(kind, test) for kind in KINDS for test in TESTS[kind]["actionTests"]]


def name_of(test: Object) -> str:
    return str(test["inputPath"]).removeprefix("../testdata/").removesuffix(".yaml")


def discover(obj: Object) -> dict[str, Object]:
    found: dict[str, Object] = run(actions(obj["kind"])[0], obj)
    return found


def offered(obj: Object) -> set[str]:
    return {name for name, action in discover(obj).items() if not action["disabled"]}


def act(obj: Object, action: str, params: dict[str, str] | None = None, now: int = NOW) -> Object:
    result: Object = changed(actions(obj["kind"])[1][action], obj, params, now)
    return result


@cache
def offers() -> list[tuple[str, str, str]]:
    """Kind and name of every fixture, with every action that it offers and that needs no parameter."""
    found = [(kind, name, action) for kind, name in fixtures() for action in sorted(offered(fixture(kind, name)))]
    return [offer for offer in found if offer[1:] != ("rolled_back", "rollback")]


def all_offered() -> Iterator[tuple[Object, str]]:
    """Each of them with the object itself."""
    return ((fixture(kind, name), action) for kind, name, action in offers())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_offered_for_every_fixture(kind: str) -> None:
    for test in TESTS[kind]["discoveryTests"]:
        found = discover(fixture(kind, name_of(test)))
        assert [{"name": name, **found[name]} for name in sorted(found)] == test["result"], name_of(test)


def test_every_fixture_has_its_expectation() -> None:
    named = [(kind, name_of(test)) for kind in KINDS for test in TESTS[kind]["discoveryTests"]]
    assert sorted(named) == sorted(fixtures())


@pytest.mark.parametrize(("kind", "test"), PATCHES, ids=[f"{k}-{t['action']}-{name_of(t)}" for k, t in PATCHES])
def test_what_an_action_writes(kind: str, test: Object) -> None:
    before = fixture(kind, name_of(test))
    assert test["action"] in offered(before)
    after = act(before, test["action"], test.get("parameters", {}))
    assert merge_patch(before, after) == test["expectedPatch"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_is_offered_somewhere_withheld_somewhere_and_tried(kind: str) -> None:
    names = set(actions(kind)[1])
    said = [discover(fixture(k, n)) for k, n in fixtures() if k == kind]
    for found in said:
        assert set(found) == names
    for name in names:
        assert {found[name]["disabled"] for found in said} == {True, False}
    assert {test["action"] for test in TESTS[kind]["actionTests"]} == names


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_operator_understands_is_offered_and_nothing_else(kind: str) -> None:
    names = set(actions(kind)[1])
    assert names - {action for k, action in BY_SPEC if k == kind} == set(UNDERSTOOD[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_asked_of_an_object_that_the_operator_has_not_seen(kind: str) -> None:
    """A request that is there when an object is first seen is acknowledged without being executed."""
    fresh = {**fixture(kind, fixtures_of(kind)[0]), "status": None}
    assert offered(fresh) <= {"suspend", "resume"}


def fixtures_of(kind: str) -> list[str]:
    return [name for k, name in fixtures() if k == kind]


def test_every_offered_request_is_new_to_the_operator_and_understood() -> None:
    tried = 0
    for before, action in all_offered():
        kind = before["kind"]
        if (kind, action) in BY_SPEC:
            continue
        after = act(before, action)
        request = pending_request(after, UNDERSTOOD[kind])
        assert request is not None, (kind, action)
        assert request.action == action
        assert refused_request(after, UNDERSTOOD[kind]) is None
        tried += 1
    assert tried > 30


def test_an_action_changes_the_request_or_suspension_and_nothing_else() -> None:
    for before, action in all_offered():
        patch = merge_patch(before, act(before, action))
        if (before["kind"], action) in BY_SPEC:
            assert patch == {"spec": {"suspend": action == "suspend"}}
        else:
            assert patch.keys() == {"metadata"}
            assert patch["metadata"].keys() == {"annotations"}
            assert patch["metadata"]["annotations"].keys() == {REQUEST}


def test_what_comes_back_from_lua_is_still_a_valid_spec() -> None:
    for before, action in all_offered():
        after = act(before, action)
        SPECS[before["kind"]].model_validate(after["spec"])
        assert after["status"] == before["status"], "numbers, texts and empty objects survive the way there and back"


def test_other_annotations_stay() -> None:
    before = fixture("ABExperiment", "running")
    before["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": "3"}
    after = act(before, "pause")["metadata"]["annotations"]
    assert after == {"argocd.argoproj.io/sync-wave": "3", REQUEST: f"pause/argocd-pause-{NOW}"}


def handled(obj: Object) -> Object:
    """As the operator leaves it."""
    return {**obj, "status": {**obj["status"], "lastHandledRequest": acknowledgement(obj)}}


def test_two_actions_of_the_same_second_are_two_requests() -> None:
    """The operator compares ids, not texts."""
    after = handled(act(fixture("ABExperiment", "running"), "pause"))
    second = act(after, "abort")
    assert pending_request(second, EXPERIMENT_ACTIONS) is not None
    policy = handled(act(fixture("RetrainPolicy", "rolled_back"), "rollback", {"revision": "2"}))
    assert pending_request(act(policy, "run"), POLICY_ACTIONS) is not None


def test_the_same_action_a_second_later_is_another_request_and_twice_in_a_second_is_one() -> None:
    after = handled(act(fixture("RetrainPolicy", "ready"), "run"))
    assert pending_request(act(after, "run", now=NOW + 1), POLICY_ACTIONS) is not None
    assert pending_request(act(after, "run"), POLICY_ACTIONS) is None


# Runs: the operator agrees with what is offered


@pytest.mark.parametrize("action", RUN_ACTIONS)
def test_the_operator_refuses_exactly_what_is_not_offered(action: str) -> None:
    for name in fixtures_of("TrainingRun"):
        before = fixture("TrainingRun", name)
        plan = decide(seen(act(before, action)), NOON)
        refused = any(event.reason == "RequestRefused" for event in plan.events)
        assert refused == (action not in offered(before)), name


# Rollback


def former(obj: Object) -> list[Any]:
    return [r for r in obj["status"].get("revisions", []) if may_return(Revision.model_validate(r))]


def test_a_rollback_is_offered_where_there_is_a_former_champion() -> None:
    for name in fixtures_of("RetrainPolicy"):
        obj = fixture("RetrainPolicy", name)
        assert ("rollback" in offered(obj)) == (bool(former(obj)) and not obj["spec"].get("suspend"))


def history(*states: str) -> Object:
    """A policy with revisions of these states, the latest first, each a minute younger than the one after it."""
    obj = fixture("RetrainPolicy", "promoted")
    template = obj["status"]["revisions"][0]
    obj["status"]["revisions"] = [
        {**template, "revision": number, "state": state, "time": f"2026-11-21T12:{10 + number}:00Z"}
        for number, state in zip(range(len(states), 0, -1), states, strict=True)
    ]
    return obj


def target(obj: Object, params: dict[str, str] | None = None) -> str | None:
    request = pending_request(act(obj, "rollback", params), POLICY_ACTIONS)
    assert request is not None
    return request.argument


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("Champion", "Retired"), "1"),
        (("Champion", "Retired", "Retired"), "2"),
        (("Champion", "Rejected", "Retired", "Retired"), "2"),
        (("RolledBack", "Champion", "Retired"), "1"),
        (("Candidate", "Champion", "Retired", "Retired"), "2"),
    ],
)
def test_without_a_parameter_it_leads_to_the_champion_that_was_replaced_last(
    states: tuple[str, ...], expected: str
) -> None:
    obj = history(*states)
    assert discover(obj)["rollback"]["displayName"] == f"Roll back to revision {expected}, or another"
    for params in (None, {}, {"revision": ""}):
        assert target(obj, params) == expected


def test_a_champion_that_returned_and_left_again_counts_by_its_last_time() -> None:
    obj = history("Champion", "Retired", "Retired")
    obj["status"]["revisions"][2]["time"] = "2026-11-22T00:00:00Z"
    assert target(obj) == "1"


def test_a_named_revision_is_returned_to_even_if_it_was_rolled_back() -> None:
    assert target(history("RolledBack", "Champion", "Retired"), {"revision": "3"}) == "3"


@pytest.mark.parametrize("number", ["9", "2", "4", "one", "1.5"])
def test_a_revision_that_was_never_champion_is_refused_in_words(number: str) -> None:
    with pytest.raises(ScriptError, match=f"revision {number} was never champion"):
        act(history("Champion", "Retired", "Rejected", "Retired"), "rollback", {"revision": number})


@pytest.mark.parametrize("states", [("Champion",), ("RolledBack", "Champion"), ()])
def test_without_a_replaced_champion_a_revision_must_be_named(states: tuple[str, ...]) -> None:
    with pytest.raises(ScriptError, match="name the revision"):
        act(history(*states), "rollback")


def test_a_run_does_not_take_the_place_of_a_rollback_that_waits_but_another_rollback_may() -> None:
    waiting = act(history("Champion", "Retired", "Retired"), "rollback", {"revision": "1"})
    assert offered(waiting) == {"rollback", "suspend"}
    assert offered(handled(waiting)) == {"rollback", "run", "suspend"}

"""The whole loop through the operator: undisturbed, killed again and again, and after the policy was re-created."""

import json
import random
import time
from typing import Any

import pytest
from loop_world import POLICY, Crowd, Feedback, furnish, policy, wait_until
from operator_process import Kubectl, Operator

from devcluster.cluster import Cluster

BETTER = {1: 0.55, 2: 0.95}


def test_a_better_candidate_is_trained_tried_and_promoted(
    cluster: Cluster, kubectl: Kubectl, operator: Operator, first_champion: dict[str, str]
) -> None:
    feedback = furnish(cluster, kubectl, first_champion)
    operator.start()
    kubectl.apply(policy(first_champion["digest"], first_champion["through"]))
    end = _run_to_promotion(kubectl, feedback)
    _assert_promoted(kubectl, end)
    assert _reasons(kubectl, "RetrainPolicy") >= {"Promoted"}
    _the_champion_outlives_its_policy(kubectl, first_champion)


def _the_champion_outlives_its_policy(kubectl: Kubectl, first_champion: dict[str, str]) -> None:
    before = kubectl.status("retrainpolicy", POLICY)["champion"]
    kubectl.run("delete", "retrainpolicy", POLICY, "--wait=true")
    kubectl.apply(policy(first_champion["digest"], first_champion["through"], suspend=True))
    status = wait_until(
        "the new policy knows the champion",
        lambda: (s := kubectl.status("retrainpolicy", POLICY)).get("champion") and s,
    )
    assert (status["champion"]["revision"], status["champion"]["digest"]) == (2, before["digest"])
    assert status["nextRevision"] == 3, "numbers are never given twice"


def test_the_loop_ends_the_same_however_often_the_operator_is_killed(
    cluster: Cluster, kubectl: Kubectl, operator: Operator, first_champion: dict[str, str]
) -> None:
    feedback = furnish(cluster, kubectl, first_champion)
    operator.start()
    kubectl.apply(policy(first_champion["digest"], first_champion["through"]))
    crowd = Crowd(kubectl, feedback, BETTER)
    crowd.start()
    rng = random.Random(2026)
    try:
        kills = 0
        while kills < 10 or not _is_promoted(kubectl):
            time.sleep(rng.uniform(0.3, 6.0))  # the random moment itself, not a wait for anything
            if kills < 10:
                operator.kill()
                kills += 1
                operator.start()
            else:
                wait_until("promotion after the kills", lambda: _is_promoted(kubectl), 240)
    finally:
        crowd.stop()
    _assert_promoted(kubectl, _settled(kubectl))


def _run_to_promotion(kubectl: Kubectl, feedback: Feedback) -> dict[str, Any]:
    crowd = Crowd(kubectl, feedback, BETTER)
    crowd.start()
    try:
        wait_until("promotion", lambda: _is_promoted(kubectl), 240)
    finally:
        crowd.stop()
    return _settled(kubectl)


def _is_promoted(kubectl: Kubectl) -> bool:
    return kubectl.status("retrainpolicy", POLICY).get("champion", {}).get("revision") == 2


def _settled(kubectl: Kubectl) -> dict[str, Any]:
    """The policy's status once the old revision is gone and nothing is under way."""

    def settled() -> dict[str, Any] | None:
        status = kubectl.status("retrainpolicy", POLICY)
        names = {d["metadata"]["name"] for d in kubectl.list("deployment")}
        idle = not status.get("activeExperiment") and not status.get("activeRun")
        return status if idle and names == {f"{POLICY}-r2"} else None

    found: dict[str, Any] = wait_until("the old revision is retired", settled, 60)
    return found


def _assert_promoted(kubectl: Kubectl, status: dict[str, Any]) -> None:
    assert status["champion"]["revision"] == 2
    runs = kubectl.list("trainingrun")
    assert [r["metadata"]["name"] for r in runs] == [f"{POLICY}-2"], "one run"
    jobs = sorted(job["metadata"]["name"] for job in kubectl.list("job"))
    assert jobs == [f"{POLICY}-2-data-1", f"{POLICY}-2-train-1"], "one Job per stage, one attempt"
    experiment = kubectl.get("abexperiment", f"{POLICY}-2")
    assert experiment is not None
    decision = experiment["status"]["decision"]
    assert decision["verdict"] == "PromoteCandidate", decision
    effect = experiment["status"]["effects"][0]
    assert float(effect["lower"]) > 0, effect
    route = kubectl.get("httproute", POLICY)
    assert route is not None
    weights = {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {f"{POLICY}-r2": 100}
    assert experiment["status"]["weightPercent"] == 100
    _assert_windows_counted_once(kubectl, experiment)


def _assert_windows_counted_once(kubectl: Kubectl, experiment: dict[str, Any]) -> None:
    ledger = kubectl.get("configmap", f"{POLICY}-2-ledger")
    assert ledger is not None
    lines = [json.loads(line) for text in ledger["data"].values() for line in text.splitlines() if line.startswith("{")]
    numbers = [line["window"] for line in lines if line.get("kind") == "window"]
    assert numbers, "windows were counted"
    assert numbers == sorted(set(numbers)), "no window twice, in order"
    assert experiment["status"]["windows"]["count"] == len(numbers)
    weights = [line["weightPercent"] for line in lines if line.get("kind") == "weight"]
    assert weights == [25, 50], "the ramp, each step once"


def _reasons(kubectl: Kubectl, kind: str) -> set[str]:
    return {e["reason"] for e in kubectl.list("event") if e["involvedObject"]["kind"] == kind}


pytestmark = pytest.mark.timeout(600)

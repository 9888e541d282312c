"""The published assignment: its keys are a documented format, and what it says is believed only as we wrote it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from routing_contract import TRAFFIC, routing, seen, shift

from retrainer.routing.assignment import HASH
from retrainer.routing.state import RouteState
from tests.unit.routing.memory_bench import MemoryBench

DOCUMENTED = (Path(__file__).resolve().parents[3] / "docs" / "assignment.md").read_text(encoding="utf-8")


def bench(unit: str = "User", weight: int = 25, **more: Any) -> MemoryBench:
    made = MemoryBench(TRAFFIC["configMap"], unit, **more)
    shift(made, weight)
    return made


def data(of: MemoryBench) -> dict[str, str]:
    return of.objects[routing(of.experiment).refs[-1]]["data"]


def state(of: MemoryBench) -> RouteState:
    carriers = routing(of.experiment)
    return carriers.observe(seen(of, carriers))


def test_it_says_weight_salt_unit_hash_and_what_answers_where():
    published = data(bench())
    arms = {arm: json.loads(published.pop(arm)) for arm in ("baseline", "candidate")}
    assert published == {"experiment": "x", "unit": "User", "salt": "x", "hash": HASH, "weightPercent": "25"}
    assert arms == {
        "baseline": {"service": "tutor-r3", "port": 8080, "revision": 3},
        "candidate": {"service": "tutor-r4", "port": 8080, "revision": 4},
    }


def test_the_keys_are_those_that_the_documentation_lists():
    example = yaml.safe_load(re.findall(r"^```yaml\n(apiVersion: v1\n.*?)^```$", DOCUMENTED, re.M | re.S)[0])
    table = set(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", DOCUMENTED, re.MULTILINE))
    listed = {key for cell in table for key in re.findall(r"`(\w+)`", cell)}
    assert set(data(bench())) == set(example["data"]) == listed
    assert example["data"]["hash"] == HASH


def test_the_salt_of_the_spec_is_published_and_else_the_experiments_name():
    assert data(bench(assignment={"unit": "User", "salt": "spring"}))["salt"] == "spring"
    assert data(bench(assignment=None))["salt"] == "x"
    assert data(bench(assignment=None))["unit"] == "Request"


def test_keys_that_a_user_adds_stay_and_are_no_drift():
    made = bench()
    made.edit(routing(made.experiment).refs[0], lambda o: o["data"].update(theirs="1"))
    assert state(made).carries(25)
    assert not shift(made, 25)


EDITS: dict[str, Any] = {
    "the salt": lambda d: d.update(salt="other"),
    "the unit": lambda d: d.update(unit="Request"),
    "the hash": lambda d: d.update(hash="md5"),
    "an arm": lambda d: d.update(candidate="{}"),
    "the weight removed": lambda d: d.pop("weightPercent"),
    "a weight that is none": lambda d: d.update(weightPercent="many"),
    "a weight beyond 100": lambda d: d.update(weightPercent="101"),
    "everything": lambda d: d.clear(),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_by_hand_is_not_believed_and_put_right(edit):
    made = bench()
    before = dict(data(made))
    made.edit(routing(made.experiment).refs[0], lambda o: edit(o["data"]))
    assert state(made).weights == {}
    assert shift(made, 25)
    assert data(made) == before and state(made).carries(25)


def test_lost_labels_are_drift_too():
    made = bench()
    made.edit(routing(made.experiment).refs[0], lambda o: o["metadata"].update(labels={}))
    assert not state(made).carries(25)
    assert shift(made, 25)


def test_data_that_is_gone_altogether_is_put_right_too():
    made = bench()
    made.edit(routing(made.experiment).refs[0], lambda o: o.pop("data"))
    assert not state(made).carries(25)
    shift(made, 25)
    assert state(made).carries(25)


@pytest.mark.parametrize("traffic", ["httpRoute", "virtualService", "inferenceService"])
def test_with_any_other_traffic_users_are_assigned_by_one_of_its_own(traffic):
    made = MemoryBench(TRAFFIC[traffic], "User")
    shift(made, 0)
    shift(made, 25)
    assert routing(made.experiment).refs[-1].name == "x-assignment"
    assert data(made)["weightPercent"] == "25"
    assert len(routing(MemoryBench(TRAFFIC[traffic], "Request").experiment).refs) == 1

"""Killed after any write and started again, the operator brings a run to the same end with the same Jobs."""

import json

import pytest

from tests.unit.training_run.run_world import World, conditions, data_result, run, training_result

DATA, TRAIN, RESULT = "tutor-4-data-1", "tutor-4-train-1", "tutor-4-result-1"
GOOD_DATA = (0, json.dumps(data_result()))
GOOD_TRAINING = (0, json.dumps(training_result()))
BAD_GATES = (0, json.dumps(training_result(gates=[{"value": 0.5}, {"value": 0.5}])))
TOO_LITTLE = (65, json.dumps({"stage": "Data", "reason": "InsufficientData", "message": "40 rows; 100 are needed"}))
INTERRUPTED = (75, "")

STORIES = {
    "it completes": ({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]}, ("True", "Completed"), [DATA, TRAIN]),
    "a gate fails": ({DATA: [GOOD_DATA], TRAIN: [BAD_GATES]}, ("True", "GatesFailed"), [DATA, TRAIN]),
    "too little data": ({DATA: [TOO_LITTLE]}, ("False", "InsufficientData"), [DATA]),
    "out of memory": ({DATA: [GOOD_DATA], TRAIN: [(137, "")]}, ("False", "OutOfMemory"), [DATA, TRAIN]),
    "an error, then success": (
        {DATA: [(1, ""), GOOD_DATA], TRAIN: [(1, ""), GOOD_TRAINING]},
        ("True", "Completed"),
        [DATA, TRAIN],
    ),
    "one interruption, then success": (
        {DATA: [INTERRUPTED, GOOD_DATA], TRAIN: [GOOD_TRAINING]},
        ("True", "Completed"),
        [DATA, TRAIN],
    ),
    "interrupted without end": ({DATA: [INTERRUPTED] * 9}, ("False", "Interrupted"), [DATA]),
    "the data's result is read from the output": (
        {DATA: [(0, "")], RESULT: [GOOD_DATA], TRAIN: [GOOD_TRAINING]},
        ("True", "Completed"),
        [DATA, RESULT, TRAIN],
    ),
    "the training's result is read from the output": (
        {DATA: [GOOD_DATA], TRAIN: [(0, "{")], RESULT: [GOOD_TRAINING]},
        ("True", "Completed"),
        [DATA, TRAIN, RESULT],
    ),
    "the result is lost": (
        {DATA: [GOOD_DATA], TRAIN: [(0, "")], RESULT: [(65, "")]},
        ("False", "ResultLost"),
        [DATA, TRAIN, RESULT],
    ),
}

_TIMES = {"startTime", "completionTime", "durationSeconds", "lastTransitionTime", "updatedTime"}


def timeless(value):
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in _TIMES}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def copies(outcomes):
    return {name: list(ends) for name, ends in outcomes.items()}


@pytest.mark.parametrize("story", STORIES)
def test_a_crash_after_any_write_changes_neither_the_end_nor_the_jobs(story):
    outcomes, end, jobs = STORIES[story]
    calm = World(copies(outcomes))
    expected = calm.settle()
    assert conditions(expected)["Succeeded"] == end
    assert calm.created == jobs
    for write in range(1, calm.writes + 1):
        world = World(copies(outcomes), crash_after=write)
        assert timeless(world.settle()) == timeless(expected), f"killed after write {write}"
        assert world.created == jobs, f"killed after write {write}"


def test_a_run_without_incident_costs_six_writes():
    world = World({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]})
    world.settle()
    assert (world.writes, world.configs) == (6, ["tutor-4-config-1"])


def test_a_settled_run_is_left_alone_however_often_it_is_looked_at():
    world = World({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]})
    world.settle()
    before = world.writes
    for _ in range(5):
        plan = world.step()
        assert (plan.status, plan.creates, plan.deletes, plan.requeue_after) == (None, (), (), None)
    assert world.writes == before


def test_finished_jobs_may_vanish_after_their_result_was_recorded():
    world = World({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]})
    while DATA not in world.jobs or "dataset" not in world.obj["status"]:
        world.step()
        world.run_jobs()
    del world.jobs[DATA]
    assert conditions(world.settle())["Succeeded"] == ("True", "Completed")
    world.jobs.clear()
    world.pods.clear()
    assert world.step() == type(world.step())()
    assert world.created == [DATA, TRAIN]


@pytest.mark.parametrize("write", range(1, 12))
def test_a_cancelled_run_ends_with_no_job_at_work_wherever_the_operator_dies(write):
    world = World({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]})
    while TRAIN not in world.jobs:
        world.step()
        world.run_jobs()
    world.crash_after = world.writes + write
    world.obj["metadata"]["annotations"]["retrainer.dev/request"] = "cancel/1"
    status = world.settle()
    assert conditions(status)["Succeeded"] == ("False", "Cancelled")
    assert all(job["status"]["conditions"] for job in world.jobs.values()), "a Job is still at work"
    assert world.created == [DATA, TRAIN]
    assert status["completionTime"]
    assert status["lastHandledRequest"] == "cancel/1"


@pytest.mark.parametrize("write", range(1, 12))
def test_a_retry_starts_one_new_attempt_wherever_the_operator_dies(write):
    again = {"tutor-4-data-2": [GOOD_DATA], "tutor-4-train-2": [GOOD_TRAINING]}
    world = World({DATA: [GOOD_DATA], TRAIN: [(137, "")], **again})
    assert conditions(world.settle())["Succeeded"] == ("False", "OutOfMemory")
    world.crash_after = world.writes + write
    world.obj["metadata"]["annotations"]["retrainer.dev/request"] = "retry/1"
    status = world.settle()
    assert conditions(status)["Succeeded"] == ("True", "Completed")
    assert status["attempts"] == 2
    assert world.created == [DATA, TRAIN, "tutor-4-data-2", "tutor-4-train-2"]
    assert "Stalled" not in conditions(status)


def test_the_story_is_told_once_in_events():
    world = World({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]})
    world.settle()
    assert [(e.type, e.reason) for e in world.events] == [
        ("Normal", "Running"),
        ("Normal", "Frozen"),
        ("Normal", "Trained"),
        ("Normal", "GatesPassed"),
        ("Normal", "Completed"),
    ]


def test_suspending_and_resuming_ends_as_if_nothing_had_happened():
    world = World({DATA: [GOOD_DATA], TRAIN: [GOOD_TRAINING]}, obj=run(suspend=True))
    assert conditions(world.settle())["Succeeded"] == ("Unknown", "Suspended")
    assert world.created == []
    world.obj["spec"]["suspend"] = False
    world.step()
    world.obj["spec"]["suspend"] = True
    assert conditions(world.settle())["DataReady"] == ("Unknown", "Suspended")
    assert world.jobs[DATA]["spec"]["suspend"] is True
    world.obj["spec"]["suspend"] = False
    assert conditions(world.settle())["Succeeded"] == ("True", "Completed")
    assert world.created == [DATA, TRAIN]

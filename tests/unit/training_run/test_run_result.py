"""Whatever a container writes, nothing worse comes of it than 'no result'."""

import json
import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.training_run import TrainingRunStatus
from retrainer.training_run.decide import decide
from retrainer.training_run.input import Stage
from retrainer.training_run.result import clean, last_progress, read_result
from tests.unit.training_run.run_world import (
    NOON,
    SNAPSHOT,
    conditions,
    data_result,
    facts,
    frozen,
    job,
    pod,
    run,
    seen,
    started,
    training_result,
)

DECIMAL = re.compile(r"-?[0-9]{1,9}([.][0-9]{1,9})?(e-?[0-9]{1,2})?")
"""The rule of Decimal in the CRD."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def changed(result, path, value):
    """The result with one value replaced; the path leads through keys and indices."""
    copied = json.loads(json.dumps(result))
    *way, last = path
    place = copied
    for part in way:
        place = place[part]
    place[last] = value
    return copied


def test_a_good_result_is_read_whole():
    result = read_result(json.dumps(training_result()), Stage.TRAINING)
    assert result is not None
    assert [m.name for m in result.metrics] == ["accuracy", "logLoss"]
    assert result.gates[1].bound == 0.1301
    assert result.artifact.size_bytes == 123456
    assert read_result(json.dumps(data_result()), Stage.DATA).dataset.digest == SNAPSHOT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{",
        "[" * 4000,
        '{"stage":"Data"}',
        "9" * 4000,
        json.dumps(data_result(message="x" * 4000)),
        json.dumps(data_result(message="ä" * 700)),
        json.dumps(data_result(stage="Training")),
        json.dumps(data_result(stage="Other")),
        json.dumps(data_result(reason="")),
        json.dumps(data_result(reason="not a reason")),
        json.dumps(data_result(reason="R" * 64)),
        json.dumps(changed(data_result(), ["dataset", "digest"], "sha256:" + "A" * 64)),
        json.dumps(changed(data_result(), ["dataset", "digest"], SNAPSHOT + "/../../etc")),
        json.dumps(changed(data_result(), ["dataset", "digest"], SNAPSHOT + "\n")),
        json.dumps(changed(data_result(), ["dataset", "rows"], -1)),
        json.dumps(changed(data_result(), ["dataset", "rows"], 10**20)),
        json.dumps(changed(data_result(), ["dataset", "dropped"], {"a reason with spaces": 1})),
        json.dumps(changed(data_result(), ["dataset", "dropped"], {"NoLabel": -5})),
        json.dumps(changed(data_result(), ["dataset", "trainedThrough"], "yesterday")),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_a_result_of_the_data_stage_is_none(text):
    assert read_result(text, Stage.DATA) is None


def test_an_artifact_digest_is_checked_before_an_address_is_made_of_it():
    assert read_result(json.dumps(changed(training_result(), ["artifact", "digest"], "../x")), Stage.TRAINING) is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_left_out(value):
    text = json.dumps(training_result())
    result = read_result(
        text.replace("0.41", value).replace("0.1301", value).replace("0.12,", f"{value},"), Stage.TRAINING
    )
    assert [m.name for m in result.metrics] == ["accuracy"]
    assert result.metrics[0].lower is None
    assert result.gates[1].bound is None


def test_a_metric_told_twice_counts_once():
    twice = training_result(metrics=[{"name": "accuracy", "candidate": 0.9}, {"name": "accuracy", "candidate": 0.1}])
    result = read_result(json.dumps(twice), Stage.TRAINING)
    assert [(m.name, m.candidate) for m in result.metrics] == [("accuracy", 0.9)]


def test_messages_are_one_line_of_printable_text():
    assert clean("a\x1b[31mred\nb\t\u202ec  d") == "a [31mred b c d"
    assert len(clean("x" * 5000)) == 600


def status_of(stage, text):
    """The status that follows from a completed Job whose pod wrote `text`."""
    before = started() if stage is Stage.DATA else frozen()
    told = facts(pod(stage, exit_code=0, message=text))
    given = seen(run(before), jobs={stage: job(stage, condition="Complete")}, pods=told)
    return decide(given, NOON + timedelta(seconds=1)).status


def assert_fits_the_schema(status):
    """What the API server would check: models with their bounds, decimal strings, digests, unique keys."""
    read = TrainingRunStatus.model_validate(json.loads(json.dumps(status)))
    numbers = [getattr(m, f) for m in read.metrics or () for f in ("candidate", "champion", "change", "lower", "upper")]
    numbers += [gate.minimum_detectable for gate in read.gates or ()]
    assert all(DECIMAL.fullmatch(n) and len(n) <= 24 for n in numbers if n is not None)
    assert all(DIGEST.fullmatch(part.digest) for part in (read.dataset, read.artifact) if part is not None)
    names = [metric.name for metric in read.metrics or ()]
    assert len(names) == len(set(names))
    reasons = [row.reason for row in (read.dataset.dropped if read.dataset else None) or ()]
    assert len(reasons) == len(set(reasons))
    assert all(len(c.message) <= 1024 for c in read.conditions)


@given(text=st.text(max_size=4200), stage=st.sampled_from([Stage.DATA, Stage.TRAINING]))
def test_any_text_at_all_leads_to_a_valid_status_and_never_to_success(text, stage):
    status = status_of(stage, text)
    assert_fits_the_schema(status)
    assert conditions(status)["Succeeded"][0] == "Unknown"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["Data", "Training", "Completed", SNAPSHOT, "2026-11-20T00:00:00Z", "0001-01-01T00:00:00+14:00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


def paths(value, prefix=()):
    """Every place in a JSON document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*prefix, key)
        yield from paths(inner, (*prefix, key))


@given(
    place=st.sampled_from(
        [(s, p) for s, r in (("Data", data_result()), ("Training", training_result())) for p in paths(r)]
    ),
    value=JSON,
)
def test_a_result_with_anything_in_any_place_leads_to_a_valid_status(place, value):
    stage, path = place
    good = data_result() if stage == "Data" else training_result()
    assert_fits_the_schema(status_of(Stage(stage), json.dumps(changed(good, path, value))))


NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@given(candidate=NUMBER, champion=NUMBER, lower=NUMBER, upper=NUMBER, detectable=NUMBER)
def test_any_numbers_lead_to_a_valid_status(candidate, champion, lower, upper, detectable):
    metric = {"name": "m", "candidate": candidate, "champion": champion, "lower": lower, "upper": upper}
    gates = [{"value": candidate, "minimumDetectable": detectable}, {"change": lower, "bound": upper, "units": 500}]
    assert_fits_the_schema(status_of(Stage.TRAINING, json.dumps(training_result(metrics=[metric], gates=gates))))


@given(st.lists(st.floats() | st.none(), max_size=6), st.booleans())
def test_no_numbers_pass_a_comparison_that_was_not_made(values, blocked):
    gate = {"value": 0.99, "units": 10**6, "bound": 1.0}
    gate |= {"blocked": "LabelsDependOnChampion"} if blocked else {}
    gates = [{"value": 0.99}, gate, *({"value": v} for v in values)]
    status = status_of(Stage.TRAINING, json.dumps(training_result(gates=gates)))
    assert status["gates"][1]["result"] == "InsufficientEvidence"
    assert conditions(status)["Succeeded"] == ("True", "GatesFailed")


def test_trained_through_is_never_later_than_the_window():
    status = status_of(
        Stage.DATA, json.dumps(changed(data_result(), ["dataset", "trainedThrough"], "2999-01-01T00:00:00Z"))
    )
    assert status["dataset"]["trainedThrough"] == "2026-11-21T00:00:00Z"
    naive = status_of(
        Stage.DATA, json.dumps(changed(data_result(), ["dataset", "trainedThrough"], "2026-11-01T00:00:00"))
    )
    assert naive["dataset"]["trainedThrough"] == "2026-11-01T00:00:00Z"


# Progress in the log


def line(**fields):
    return json.dumps({"retrainer.progress": fields})


def test_the_last_progress_line_of_a_log_counts():
    tail = "\n".join(["epoch 1", line(percent=10, step=1), line(percent=20, step=2, loss=0.5), "evaluating …", ""])
    progress = last_progress(tail)
    assert (progress.percent, progress.step, progress.loss) == (20, 2, 0.5)


def test_a_line_cut_by_the_tail_is_passed_over():
    assert last_progress(line(percent=10)[5:] + "\n" + line(percent=7) + "\n" + line(percent=90)[:-3]).percent == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing here",
        '{"retrainer.progress": 5}',
        '{"retrainer.progress": {"percent": "many"}}',
        '{"other": {"retrainer.progress": 1}}',
        '["retrainer.progress"]',
        line(percent=5, step=-1),
        line(percent=5, totalSteps=10**30),
        '{"retrainer.progress": ' + "[" * 900,
    ],
)
def test_lines_that_are_no_progress_are_ignored(text):
    assert last_progress(text) is None


@pytest.mark.parametrize(("told", "shown"), [(-5, 0), (250, 100), (42, 42)])
def test_a_share_lies_between_0_and_100(told, shown):
    assert last_progress(line(percent=told)).percent == shown


@given(st.text(max_size=300))
def test_any_log_can_be_read(text):
    assert last_progress(text) is None
    assert last_progress(text + "\n" + line(percent=1) + "\n" + text).percent == 1

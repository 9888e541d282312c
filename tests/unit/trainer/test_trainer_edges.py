"""The edges of a stage: configuration, progress, termination message, errors, and what the sources give."""

from __future__ import annotations

import errno
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from retrainer.api.v1alpha1.run_contract import (
    TERMINATION_MESSAGE_BYTES,
    DatasetNumbers,
    GateNumbers,
    MetricNumbers,
    RunConfig,
    StageResult,
)
from tests.unit.trainer.trainer_world import SOURCE, World, wait_until
from trainer.config import load_config
from trainer.errors import (
    ConfigurationError,
    DataError,
    Interrupted,
    SchemaMismatch,
    SourceFailed,
    as_stage_error,
)
from trainer.interrupt import Interrupt
from trainer.progress import Progress
from trainer.read import read_sources
from trainer.rows import FeatureSpec, Record
from trainer.termination import encode, message_path


def progress_lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line)["retrainer.progress"] for line in out.getvalue().splitlines() if line.startswith("{")]


def test_progress_is_printed_at_most_once_a_second_but_first_and_last_always() -> None:
    out, now = io.StringIO(), itertools.count(0.0, 0.05)
    progress = Progress(out, clock=lambda: next(now))
    for step in range(1, 101):
        progress.report(step, step, 100, loss=1 / step)
    steps = [line["step"] for line in progress_lines(out)]
    assert steps[0] == 1
    assert steps[-1] == 100
    assert 3 < len(steps) < 40


def test_progress_is_repeated_while_nothing_happens() -> None:
    out = io.StringIO()
    with Progress(out, repeat_seconds=0.02) as progress:
        progress.report(40, 1, 3)
        wait_until(lambda: len(progress_lines(out)) > 4)
    assert progress_lines(out)[-1]["percent"] == 40


def test_the_estimate_follows_the_pace_so_far() -> None:
    out, now = io.StringIO(), iter([0.0, 100.0, 100.0, 100.0, 100.0, 100.0])
    Progress(out, clock=lambda: next(now)).report(25, 5, 20)
    assert progress_lines(out)[0]["etaSeconds"] == 300


def test_progress_stays_between_nothing_and_all() -> None:
    out = io.StringIO()
    progress = Progress(out)
    progress.report(250)
    progress.report(-3, 1, 2)
    assert [line["percent"] for line in progress_lines(out)] == [100, 0]


def test_a_human_line_stays_a_human_line() -> None:
    out = io.StringIO()
    Progress(out).say("train: 200 rows")
    assert out.getvalue() == "train: 200 rows\n"


def crowded() -> StageResult:
    """More than fits: 16 gates, 8 long metrics, 40 reasons, a long message."""
    return StageResult(
        stage="Training",
        reason="GatesFailed",
        message="x" * 600,
        dataset=DatasetNumbers(
            digest="sha256:" + "a" * 64,
            rows=1,
            units=1,
            train_rows=1,
            validation_rows=1,
            evaluation_rows=1,
            dropped={f"AReasonThatIsQuiteLong{n}": n for n in range(40)},
        ),
        metrics=tuple(
            MetricNumbers(name=f"metric{n}/{'t' * 40}", candidate=0.123456, champion=0.1, lower=0.1, upper=0.2)
            for n in range(12)
        ),
        gates=tuple(
            GateNumbers(value=0.123456, change=-0.123456, bound=-0.123456, units=99, minimum_detectable=0.123456)
            for _ in range(16)
        ),
    )


def test_a_message_that_is_too_long_loses_what_matters_least() -> None:
    content = encode(crowded())
    found = StageResult.model_validate_json(content)
    assert len(content) <= TERMINATION_MESSAGE_BYTES
    assert len(found.gates) == 16, "the operator judges every gate again"
    assert found.reason == "GatesFailed"
    assert 1 <= len(found.metrics) <= 8
    assert found.dataset is not None
    assert sum(found.dataset.dropped.values()) == sum(range(40)), "drops are merged, never lost"


def test_a_short_message_is_left_alone() -> None:
    result = StageResult(stage="Data", reason="Frozen", gates=(GateNumbers(units=3),))
    assert StageResult.model_validate_json(encode(result)) == result


def test_the_message_goes_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINATION_MESSAGE_PATH", str(tmp_path / "named"))
    assert message_path(tmp_path) == tmp_path / "named"
    monkeypatch.delenv("TERMINATION_MESSAGE_PATH")
    monkeypatch.setattr("trainer.termination._KUBELET_PATH", tmp_path / "absent")
    assert message_path(tmp_path) == tmp_path / "termination-message.json"
    (tmp_path / "log").touch()
    monkeypatch.setattr("trainer.termination._KUBELET_PATH", tmp_path / "log")
    assert message_path(tmp_path) == tmp_path / "log"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (ConfigurationError("x"), 64, "InvalidConfiguration"),
        (DataError("x"), 65, "InsufficientData"),
        (SchemaMismatch("x"), 65, "SchemaMismatch"),
        (MemoryError(), 71, "OutOfMemory"),
        (RuntimeError("std::bad_alloc"), 71, "OutOfMemory"),
        (OSError(errno.ENOSPC, "No space"), 72, "DiskFull"),
        (OSError(errno.EDQUOT, "Quota"), 72, "DiskFull"),
        (Interrupted("x"), 75, "Interrupted"),
        (OSError(errno.EIO, "broken"), 1, "Failed"),
        (ValueError("dsn=postgres://u:p@h"), 1, "Failed"),
        (SourceFailed("x"), 1, "SourceFailed"),
    ],
)
def test_every_failure_has_a_code_and_a_reason(error: Exception, code: int, reason: str) -> None:
    found = as_stage_error(error)
    assert (int(found.exit_code), found.reason) == (code, reason)
    assert "postgres" not in found.message


def test_an_interrupt_is_honoured_where_it_is_checked() -> None:
    interrupt = Interrupt()
    interrupt.check()
    interrupt.ask()
    with pytest.raises(Interrupted):
        interrupt.check()


def test_a_wrong_configuration_names_fields_and_never_values(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"run": {"namespace": "n"}, "attempt": "hunter2", "extra": 1}')
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    assert "attempt" in caught.value.message and "run.name: Field required" in caught.value.message
    assert "(and " in caught.value.message
    assert "hunter2" not in caught.value.message
    path.write_text("not json")
    with pytest.raises(ConfigurationError, match="not valid"):
        load_config(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(tmp_path / "absent.json")


@pytest.fixture
def rooted(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose data root this process reads."""
    world.root.mkdir()
    monkeypatch.setenv("RETRAINER_DATA_ROOT", str(world.root))
    return world


def row(number: int, **columns: Any) -> dict[str, Any]:
    base = {
        "id": f"r{number}",
        "created_at": f"2026-01-02T00:{number:02d}:00Z",
        "unit": f"u{number}",
        "features": "[1, 2.5]",
        "prediction": "3",
    }
    return {**base, **columns}


def read(world: World, rows: Sequence[dict[str, Any]], **changes: Any) -> tuple[list[Record], Any]:
    world.write(rows)
    with read_sources(RunConfig.model_validate(world.config(**changes))) as reading:
        records = sorted(reading.records, key=lambda r: r.id)
        return records, reading


def test_a_record_has_everything_that_training_needs(rooted: World) -> None:
    records, reading = read(rooted, [row(1, thumb=1), row(2, thumb=-1, correction="5"), row(3, label="4")])
    assert reading.features == (FeatureSpec("f0"), FeatureSpec("f1"))
    assert [r.approved for r in records] == [True, False, False]
    assert [r.corrections for r in records] == [{}, {"digit": "5"}, {}]
    assert [r.labels for r in records] == [{}, {}, {"digit": "4"}]
    assert records[0].predictions == {"digit": "3"}
    assert records[0].features == {"f0": 1, "f1": 2.5}
    assert records[0].unit == "u1"


def test_records_outside_the_window_are_not_read(rooted: World) -> None:
    late = row(2, created_at="2026-02-01T00:00:00Z")
    records, _ = read(rooted, [row(1), late, row(3, created_at="2025-12-31T23:59:59Z")])
    assert [r.id for r in records] == ["r1"]


def test_what_cannot_be_read_is_counted_and_stops_nothing(rooted: World) -> None:
    records, reading = read(rooted, [row(1), row(2, thumb=7), row(3, features="oops")])
    assert [r.id for r in records] == ["r1"]
    assert reading.quarantined == {"SignalOutOfRange": 1, "WrongType": 1}


def test_features_of_an_object_are_named_by_its_keys(rooted: World) -> None:
    rows = [row(n, features='{"width": 1, "height": 2}') for n in range(5)]
    _, reading = read(rooted, rows)
    assert reading.features == (FeatureSpec("height"), FeatureSpec("width"))


def test_ten_features_of_an_array_keep_their_order(rooted: World) -> None:
    _, reading = read(rooted, [row(1, features=json.dumps(list(range(12))))])
    assert [f.name for f in reading.features] == [f"f{n}" for n in range(12)]


def test_declared_features_may_be_categories(rooted: World) -> None:
    columns = [
        {"name": "size", "from": "features.0"},
        {"name": "who", "from": "unit", "type": "Categorical"},
        {"name": "vote", "from": "prediction", "type": "Categorical", "categories": ["3", "4"]},
    ]
    source = {**SOURCE, "record": {**SOURCE["record"], "features": {"columns": columns}}}
    records, reading = read(rooted, [row(1)], source=source)
    assert reading.features == (FeatureSpec("size"), FeatureSpec("who", ()), FeatureSpec("vote", ("3", "4")))
    assert records[0].features == {"size": 1, "who": "u1", "vote": "3"}


def test_a_bare_answer_means_nothing_where_there_are_several_targets(rooted: World) -> None:
    targets = {"targets": [{"name": "digit"}, {"name": "shape"}]}
    both = row(2, prediction='{"digit": "3", "shape": "round"}')
    records, _ = read(rooted, [row(1), both], method=targets)
    assert [r.predictions for r in records] == [{}, {"digit": "3", "shape": "round"}]


def test_sources_with_other_features_do_not_mix(rooted: World) -> None:
    rooted.write([row(1)])
    rooted.write([row(1, features="[1, 2, 3]")], database="other.db")
    config = rooted.config()
    other = {**SOURCE, "sqlite": {"path": "other.db", "table": "feedback"}}
    config["sources"] = [{"name": "s", "spec": SOURCE}, {"name": "t", "spec": other}]
    with (
        pytest.raises(SchemaMismatch, match="source t: its features differ"),
        read_sources(RunConfig.model_validate(config)),
    ):
        pass


def test_a_source_without_features_is_a_matter_of_configuration(rooted: World) -> None:
    record = {key: value for key, value in SOURCE["record"].items() if key != "features"}
    with pytest.raises(ConfigurationError, match=r"record\.features"):
        read(rooted, [row(1)], source={**SOURCE, "record": record})


def test_errors_of_sources_keep_their_class(rooted: World) -> None:
    rooted.write([row(1)])
    for path, expected in (("absent.db", SourceFailed), ("../feedback.db", DataError)):
        source = {**SOURCE, "sqlite": {"path": path, "table": "feedback"}}
        with (
            pytest.raises(expected, match=r"^source s: "),
            read_sources(RunConfig.model_validate(rooted.config(source=source))),
        ):
            pass

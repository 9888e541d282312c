"""The stages as real processes on real digits: what they write, how they end, and what they never say."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retrainer.api.v1alpha1.run_contract import TERMINATION_MESSAGE_BYTES, StageResult
from tests.unit.trainer.trainer_world import SOURCE, World, launch, wait_until

THROUGH = "2026-01-01T00:00:00Z"
COMPARED = {"metric": "accuracy", "versusChampion": {"regressionAtMost": "0.05"}, "allowUnderpowered": True}


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A first champion on 60 digits, then a Full and an Incremental run on 500 others."""
    world = World(tmp_path_factory.mktemp("loop"))
    world.write_digits(60, start=1000)
    first_config = world.freeze(uid="first", data={"evaluationPercent": 5})
    first = world.run("train", first_config).succeeded()
    (world.root / "feedback.db").unlink()
    world.write_digits(500, prediction="3", thumb=-1)
    champion = world.champion(first, THROUGH)
    spec = {"champion": champion, "gates": [{"metric": "accuracy", "atLeast": "0.6"}, COMPARED]}
    spec["data"] = {"split": "UnitAndTime", "evaluationPercent": 25, "minimumPerClass": 3}
    full_config = world.freeze(uid="full", **spec)
    full = world.run("train", full_config)
    incremental = world.run("train", world.freeze(uid="more", strategy="Incremental", **spec))
    return {
        "world": world,
        "first": first,
        "full_config": full_config,
        "full": full,
        "incremental": incremental,
    }


def folder_of(loop: dict[str, Any], message: dict[str, Any]) -> Path:
    return Path(loop["world"].output / "artifacts" / message["artifact"]["digest"][7:])


def test_a_first_run_needs_no_champion_and_no_gate(loop: dict[str, Any]) -> None:
    assert loop["first"]["reason"] == "Completed"
    assert loop["first"].get("gates", []) == []
    assert all("champion" not in metric for metric in loop["first"]["metrics"])


def test_more_data_beat_the_first_champion_and_the_gates_pass(loop: dict[str, Any]) -> None:
    message = loop["full"].succeeded()
    first = message["metrics"][0]
    assert message["reason"] == "Completed"
    assert first["name"] == "accuracy"
    assert first["candidate"] > first["champion"]
    assert message["gates"][1]["bound"] >= -0.05
    assert message["gates"][1]["minimumDetectable"] > 0


def test_an_incremental_run_continues_the_champions_trees(loop: dict[str, Any]) -> None:
    message = loop["incremental"].succeeded()
    schema = json.loads((folder_of(loop, message) / "schema.json").read_text())
    parent = json.loads((folder_of(loop, loop["first"]) / "schema.json").read_text())
    added = schema["targets"][0]["rounds"] - parent["targets"][0]["rounds"]
    assert 1 <= added <= 3
    assert schema["targets"][0]["learningRate"] == pytest.approx(0.3 * 0.8)
    assert message["metrics"][0]["candidate"] > message["metrics"][0]["champion"]


def test_the_termination_message_is_a_stage_result_that_fits(loop: dict[str, Any]) -> None:
    text = json.dumps(loop["full"].message)
    assert len(text) <= TERMINATION_MESSAGE_BYTES
    assert StageResult.model_validate_json(text).stage == "Training"


def test_no_message_manifest_or_snapshot_says_where_it_lies(loop: dict[str, Any]) -> None:
    world = loop["world"]
    published = [*world.output.rglob("manifest.json"), *world.output.rglob("snapshot.json")]
    published += [*world.output.rglob("config.json"), *world.output.glob("results/*/*.json")]
    assert len(published) >= 6
    for path in published:
        assert str(world.folder) not in path.read_text(), path.name


def test_the_artifact_has_weights_schema_card_report_and_no_pickle(loop: dict[str, Any]) -> None:
    folder = folder_of(loop, loop["full"].message)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"weights/digit.ubj", "schema.json", "manifest.json", "README.md", "result.json"} <= names
    assert {"report/index.html", "report/learning-curve-digit.png", "report/changes.png"} <= names
    pickles = [name for name in names if (folder / name).read_bytes()[:2] in {b"\x80" + bytes([v]) for v in range(6)}]
    assert not pickles
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".bin"))]


def test_the_manifest_tells_what_was_learnt_from_what(loop: dict[str, Any]) -> None:
    manifest = json.loads((folder_of(loop, loop["full"].message) / "manifest.json").read_text())
    assert manifest["run"]["uid"] == "full"
    assert manifest["snapshot"] == loop["full_config"]["snapshot"]["digest"]
    assert manifest["champion"] == loop["first"]["artifact"]["digest"]
    assert manifest["trainedThrough"] > THROUGH
    assert manifest["libraries"]["python"]
    assert set(manifest["files"]) >= {"weights/digit.ubj", "schema.json", "README.md"}


def test_repeating_a_run_gives_the_same_artifact(loop: dict[str, Any]) -> None:
    """This time as the operator asks for it: run.json without a snapshot, whose digest is an argument."""
    config = {key: value for key, value in loop["full_config"].items() if key != "snapshot"}
    digest = loop["full_config"]["snapshot"]["digest"]
    again = loop["world"].run("train", config, more=["--snapshot-digest", digest]).succeeded()
    assert again["artifact"] == loop["full"].message["artifact"]
    assert not list(loop["world"].output.rglob(".partial-*"))
    wrong = loop["world"].run("train", config, more=["--snapshot-digest", "sha256:../.."])
    assert (wrong.code, wrong.message["message"][:17]) == (64, "--snapshot-digest")


def test_progress_goes_from_nothing_to_all(loop: dict[str, Any]) -> None:
    percents = [line["percent"] for line in loop["full"].progress]
    assert percents[0] == 0
    assert percents[-1] == 100
    assert percents == sorted(percents)


def test_a_lost_message_is_printed_again_from_the_output(loop: dict[str, Any]) -> None:
    found = loop["world"].run("result", loop["full_config"])
    assert found.code == 0
    assert found.message == loop["full"].message
    unknown = {**loop["full_config"], "attempt": 7}
    assert loop["world"].run("result", unknown).message["reason"] == "ResultLost"


def test_checkpoints_are_gone_once_the_artifact_is_published(loop: dict[str, Any]) -> None:
    assert not list(loop["world"].output.glob("checkpoints/*"))


def test_a_gate_that_fails_still_is_a_run_that_finished(loop: dict[str, Any]) -> None:
    config = loop["full_config"]
    spec = {**config["spec"], "gates": [{"metric": "accuracy", "atLeast": "0.999"}]}
    outcome = loop["world"].run("train", {**config, "spec": spec})
    assert outcome.code == 0
    assert outcome.message["reason"] == "GatesFailed"
    assert "demanded: at least 0.999" in outcome.message["message"]


def test_a_champion_with_a_flipped_byte_is_never_loaded(loop: dict[str, Any]) -> None:
    weights = folder_of(loop, loop["first"]) / "weights" / "digit.ubj"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    original = weights.read_bytes()
    try:
        weights.write_bytes(bytes(content))
        outcome = loop["world"].run("train", loop["full_config"])
    finally:
        weights.write_bytes(original)
    assert outcome.code == 64
    assert "weights/digit.ubj" in outcome.message["message"]


def test_a_run_that_is_stopped_and_continued_gives_the_model_of_one_that_was_not(world: World) -> None:
    world.write_digits(200)
    config = world.freeze(method={"trees": 150, "earlyStoppingRounds": 1000})
    whole = world.run("train", config).succeeded()
    again = {**config, "run": {**config["run"], "uid": "uid-2"}}
    stage = world.start("train", again)
    wait_until(lambda: '"step"' in stage.log())
    os.kill(int(stage.process.pid or 0), signal.SIGTERM)
    stopped = stage.finish()
    assert stopped.code == 75
    assert stopped.message["reason"] == "Interrupted"
    assert list(world.output.glob("checkpoints/uid-2/*.ubj"))
    continued = world.run("train", again)
    assert "continues after round" in continued.log
    weights = [
        (world.output / "artifacts" / message["artifact"]["digest"][7:] / "weights/digit.ubj").read_bytes()
        for message in (whole, continued.succeeded())
    ]
    assert weights[0] == weights[1]


def test_wrong_input_ends_with_64_and_says_which_field(world: World) -> None:
    world.write_digits(60)
    misspelt = world.config(method={"parameters": [{"name": "max_dept", "value": "3"}]})
    cases: dict[str, Any] = {
        "did you mean max_depth?": misspelt,
        "spec.model: Field required": {**misspelt, "spec": {"data": misspelt["spec"]["data"]}},
        "spec.gates[0].metric": world.config(gates=[{"metric": "acuracy", "atLeast": "0.5"}]),
        "run.json names no source": {**world.config(), "sources": []},
    }
    for words, config in cases.items():
        outcome = world.run("data", config)
        assert outcome.code == 64, outcome.log
        assert outcome.message["reason"] == "InvalidConfiguration"
        assert words in outcome.message["message"]


def test_too_little_data_ends_with_65_and_says_what_is_demanded(world: World) -> None:
    world.write_digits(30)
    few = world.run("data", world.config(data={"minimumSamples": 31}))
    assert few.code == 65
    assert few.message["reason"] == "InsufficientData"
    assert "30 usable rows" in few.message["message"] and "minimumSamples demands 31" in few.message["message"]
    rare = world.run("data", world.config(data={"minimumPerClass": 20}))
    assert rare.code == 65 and "minimumPerClass demands 20" in rare.message["message"]


def test_a_source_with_another_column_ends_with_65_and_one_that_is_away_with_1(world: World) -> None:
    world.write_digits(30)
    column = {**SOURCE, "record": {**SOURCE["record"], "unit": "unti"}}
    wrong = world.run("data", world.config(source=column))
    assert (wrong.code, wrong.message["reason"]) == (65, "SchemaMismatch")
    assert '"unit"' in wrong.message["message"]
    away = {**SOURCE, "sqlite": {"path": "later.db", "table": "feedback"}}
    gone = world.run("data", world.config(source=away))
    assert (gone.code, gone.message["reason"]) == (1, "SourceFailed")


def test_a_full_disk_ends_with_72(world: World) -> None:
    world.write_digits(60)
    folder = world.folder / "small"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(world.config()))
    environment = {"RETRAINER_DATA_ROOT": str(world.root)}
    process = launch(_with_little_room, [str(folder)], environment, str(folder / "log"))
    process.join(60)
    assert process.exitcode == 72, (folder / "log").read_text()


def _with_little_room(folder: str) -> None:
    """No file may grow beyond 8 KiB: writing fails as on a full disk."""
    from trainer.__main__ import main

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    sys.exit(main(["data", "--config", f"{folder}/run.json", "--workdir", f"{folder}/work"]))


def test_a_loss_that_is_no_number_ends_with_73(world: World) -> None:
    world.write(
        {
            "id": f"r{n}",
            "created_at": f"2026-01-01T00:{n:02d}:00Z",
            "unit": f"u{n}",
            "features": json.dumps([n, n % 3]),
            "label": 3e38 if n % 2 else -3e38,
        }
        for n in range(40)
    )
    labels = [{"name": "digit", "from": "label", "type": "Regression"}]
    source = {**SOURCE, "record": {**SOURCE["record"], "labels": labels}}
    targets = [{"name": "digit", "type": "Regression"}]
    outcome = world.run("train", world.freeze(source=source, method={"targets": targets}))
    assert (outcome.code, outcome.message["reason"]) == (73, "Diverged")
    assert "not finite" in outcome.message["message"]


def test_running_out_of_memory_ends_with_71(world: World) -> None:
    world.write_digits(30)
    folder = world.folder / "memory"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(world.freeze()))
    process = launch(_without_memory, [str(folder)], {}, str(folder / "log"))
    process.join(60)
    assert process.exitcode == 71, (folder / "log").read_text()
    message = json.loads((folder / "work" / "termination-message.json").read_text())
    assert message["reason"] == "OutOfMemory" and "job.resources.memory" in message["message"]


def _without_memory(folder: str) -> None:
    """The table asks numpy for more than there is, as a snapshot that is too large would."""
    import numpy as np

    import trainer.stages.train as stage
    from trainer.__main__ import main

    def load(_: object) -> None:
        np.zeros(1 << 45)  # 256 TiB

    stage.load_table = load  # type: ignore[assignment]
    sys.exit(main(["train", "--config", f"{folder}/run.json", "--workdir", f"{folder}/work"]))


def test_an_unexpected_error_ends_with_1_and_its_text_is_not_repeated(world: World) -> None:
    world.write_digits(30)
    folder = world.folder / "odd"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(world.freeze()))
    process = launch(_with_a_talkative_error, [str(folder)], {}, str(folder / "log"))
    process.join(60)
    assert process.exitcode == 1
    written = (folder / "log").read_text() + (folder / "work" / "termination-message.json").read_text()
    assert "ZeroDivisionError" in written
    assert "hunter2" not in written


def _with_a_talkative_error(folder: str) -> None:
    import trainer.stages.train as stage
    from trainer.__main__ import main

    def load(_: object) -> None:
        raise ZeroDivisionError("".join(["password=", "hunter", "2"]))

    stage.load_table = load  # type: ignore[assignment]
    sys.exit(main(["train", "--config", f"{folder}/run.json", "--workdir", f"{folder}/work"]))


def test_the_command_line_works_from_a_shell(world: World) -> None:
    path = world.folder / "run.json"
    path.write_text("{}")
    named = world.folder / "message.json"
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "data", "--config", str(path), "--workdir", str(world.folder / "w")],
        env={**os.environ, "TERMINATION_MESSAGE_PATH": str(named)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 64
    assert json.loads(named.read_text())["reason"] == "InvalidConfiguration"
    assert "run: Field required" in done.stderr

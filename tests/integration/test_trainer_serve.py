"""The model server as a real process: what it answers, what it records, and that nothing acknowledged is lost."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrainer.api.v1alpha1.training_parts import Target, XGBoost
from tests.unit.trainer.trainer_world import launch, wait_until
from trainer.artifact import Artifact, publish_artifact
from trainer.checkpoint import Checkpoints
from trainer.interrupt import Interrupt
from trainer.methods.tabular import SCHEMA_FILE
from trainer.methods.xgboost import Training
from trainer.progress import Progress
from trainer.rows import FeatureSpec
from trainer.table import Side, Table

UP = [3.0, 0.0]
DOWN = [-3.0, 0.0]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that answers "up" where the first of two features is positive."""
    folder = tmp_path_factory.mktemp("model")
    chance = np.random.default_rng(1)
    features = chance.normal(size=(100, 2)).astype(np.float32)
    truths = np.array(["up" if value > 0 else "down" for value in features[:, 0]], dtype=object)
    side = Side(features, (truths,), (np.ones(100, dtype=bool),), np.array(["u"] * 100, dtype=object))
    target = Target(name="direction")
    table = Table(
        (FeatureSpec("f0"), FeatureSpec("f1")), (target,), {"train": side, "validation": side, "evaluation": side}
    )
    model, _ = Training(
        settings=XGBoost(targets=(target,), trees=5),
        table=table,
        parent=None,
        seed=1,
        threads=1,
        checkpoints=Checkpoints(folder / "checkpoints", "f"),
        progress=Progress(io.StringIO()),
        interrupt=Interrupt(),
    ).run()
    files = {SCHEMA_FILE: model.schema.to_json(), "weights/direction.ubj": bytes(model.boosters[0].save_raw("ubj"))}
    return publish_artifact(folder / "artifacts", files, {"model": "compass", "trainedThrough": "2026-01-01T00:00:00Z"})


@dataclass(frozen=True)
class Running:
    """A server process and how to talk to it."""

    process: BaseProcess
    log: Path
    database: Path

    @property
    def port(self) -> int:
        return int(re.findall(r"on port (\d+)", self.log.read_text())[0])

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any, dict[str, str]]:
        """Status, parsed body and headers of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, content)
            response = connection.getresponse()
            return response.status, json.loads(response.read()), dict(response.getheaders())
        finally:
            connection.close()

    def predict(self, *instances: Any, unit: str | None = "user-17") -> Any:
        status, body, _ = self.call("POST", "/v1/predict", {"instances": list(instances), "unit": unit})
        assert status == 200, body
        return body["predictions"]

    def rows(self, columns: str = "*") -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(f"SELECT {columns} FROM feedback ORDER BY created_at").fetchall()
        finally:
            connection.close()

    def signal(self, number: int) -> None:
        os.kill(int(self.process.pid or 0), number)

    def ended(self) -> int | None:
        self.process.join(30)
        return self.process.exitcode


def environment(folder: Path, artifact: Artifact, **changes: str) -> dict[str, str]:
    (folder / "root").mkdir(exist_ok=True)
    base = {
        "MODEL_URI": f"file://{artifact.folder}/",
        "MODEL_DIGEST": artifact.digest,
        "MODEL_REVISION": "4",
        "FEEDBACK_DATABASE": "feedback.db",
        "RETRAINER_DATA_ROOT": str(folder / "root"),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "DRAIN_SECONDS": "0",
    }
    return {**base, **changes}


def _serve() -> None:
    from trainer.__main__ import main

    sys.exit(main(["serve"]))


def start(folder: Path, artifact: Artifact, name: str = "server", **changes: str) -> Running:
    log = folder / f"{name}.log"
    process = launch(_serve, [], environment(folder, artifact, **changes), str(log))
    running = Running(process, log, folder / "root" / "feedback.db")
    wait_until(lambda: not process.is_alive() or (log.exists() and "serving" in log.read_text()))
    return running


@pytest.fixture
def server(tmp_path: Path, artifact: Artifact) -> Iterator[Running]:
    running = start(tmp_path, artifact)
    yield running
    running.process.kill()
    running.process.join()


def test_it_answers_and_names_its_revision(server: Running, artifact: Artifact) -> None:
    status, body, headers = server.call("POST", "/v1/predict", {"instances": [UP, DOWN], "unit": "user-17"})
    assert status == 200
    assert [p["prediction"] for p in body["predictions"]] == ["up", "down"]
    assert all(0.5 < p["probability"] <= 1 for p in body["predictions"])
    assert headers["x-retrainer-revision"] == "4"
    assert headers["x-retrainer-digest"] == artifact.digest
    assert len({p["id"] for p in body["predictions"]}) == 2
    assert server.call("GET", "/healthz")[0] == server.call("GET", "/readyz")[0] == 200
    model = server.call("GET", "/v1/model")[1]
    assert (model["revision"], model["model"], model["features"]) == ("4", "compass", ["f0", "f1"])
    assert model["targets"] == [{"name": "direction", "type": "Classification", "classes": ["down", "up"]}]


def test_every_answer_is_recorded_with_unit_and_revision(server: Running, artifact: Artifact) -> None:
    first = server.predict(UP)[0]
    server.predict({"f0": -3, "f1": 0}, unit=None)
    rows = server.rows("id, unit, features, prediction, model_revision, model_digest, thumb, correction, label")
    assert rows[0] == (first["id"], "user-17", "[3.0,0.0]", "up", "4", artifact.digest, None, None, None)
    assert rows[1][1:4] == (None, '{"f0":-3,"f1":0}', "down")
    times = [row[0] for row in server.rows("created_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment) for moment in times)


def test_votes_add_up_and_may_be_repeated_and_changed(server: Running) -> None:
    record = server.predict(UP)[0]["id"]

    def say(**vote: Any) -> tuple[Any, ...]:
        assert server.call("POST", "/v1/feedback", {"id": record, **vote})[0] == 200
        return server.rows("thumb, correction, label")[0]

    assert say(thumb=-1, correction="down") == (-1, "down", None)
    assert say(thumb=-1, correction="down") == (-1, "down", None)
    assert say(label="down") == (-1, "down", "down")
    assert say(thumb=1) == (1, "down", "down")
    assert say(label=3) == (1, "down", "3")


def test_an_unknown_id_is_not_found_and_records_nothing(server: Running) -> None:
    status, body, headers = server.call("POST", "/v1/feedback", {"id": "unknown", "thumb": 1})
    assert (status, body) == (404, {"error": "there is no prediction with this id"})
    assert headers["x-retrainer-revision"] == "4"
    assert server.rows() == []


def test_wrong_requests_are_explained_and_record_nothing(server: Running) -> None:
    cases: list[tuple[str, Any, int, str]] = [
        ("/v1/predict", {"instances": [[1.0]]}, 400, "instances[0]: 2 features are needed, 1 were given"),
        ("/v1/predict", {"instances": [UP, ["x", 1]]}, 400, "instances[1][0]: must be a number"),
        ("/v1/predict", b"{", 400, "the body is not JSON"),
        ("/v1/predict", b"\xff", 400, "the body is not JSON"),
        ("/v1/feedback", {"id": "x", "thumb": 2}, 400, "thumb: must be 1 (good), 0 (neither) or -1 (bad)"),
        ("/v1/nothing", {}, 404, "Not Found"),
        ("/v1/predict", b"[" * (5 << 20), 413, "Request Entity Too Large"),
    ]
    for path, body, status, message in cases:
        answered = server.call("POST", path, body)
        assert (answered[0], answered[1]["error"]) == (status, message)
    assert server.call("GET", "/v1/predict")[0] == 405
    assert server.rows() == []


def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed(server: Running) -> None:
    acknowledged: list[str] = []
    votes: list[str] = []

    def keep_asking() -> None:
        try:
            while True:
                record = server.predict(UP)[0]["id"]
                acknowledged.append(record)
                if server.call("POST", "/v1/feedback", {"id": record, "thumb": 1})[0] == 200:
                    votes.append(record)
        except (OSError, http.client.HTTPException):
            return  # the server is gone

    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    wait_until(lambda: len(votes) > 30)
    server.signal(signal.SIGKILL)
    for client in clients:
        client.join(30)
    assert server.ended() == -signal.SIGKILL
    kept = dict(server.rows("id, thumb"))
    assert set(acknowledged) <= set(kept)
    assert all(kept[record] == 1 for record in votes)


def test_several_servers_share_one_database(tmp_path: Path, artifact: Artifact) -> None:
    servers = [start(tmp_path, artifact, name=f"s{n}", MODEL_REVISION=str(n)) for n in (3, 4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: servers[n % 2].predict(UP, unit=f"u{n}")[0]["id"], range(60)))
        other = servers[0].call("POST", "/v1/feedback", {"id": answers[1], "thumb": -1})
        assert other[0] == 200, "an answer of one server may be judged through the other"
        rows = servers[0].rows("id, unit, model_revision, thumb")
    finally:
        for running in servers:
            running.process.kill()
            running.process.join()
    assert {row[0] for row in rows} == set(answers)
    assert {row[1]: row[2] for row in rows} == {f"u{n}": str(3 + n % 2) for n in range(60)}
    assert [row[0] for row in rows if row[3] == -1] == [answers[1]]


def test_sigterm_drains_before_it_stops(tmp_path: Path, artifact: Artifact) -> None:
    running = start(tmp_path, artifact, DRAIN_SECONDS="30")
    try:
        running.predict(UP)
        running.signal(signal.SIGTERM)
        wait_until(lambda: running.call("GET", "/readyz")[0] == 503)
        status, _, headers = running.call("POST", "/v1/predict", {"instances": [UP]})
        assert (status, headers["Connection"]) == (200, "close")
        assert running.call("GET", "/healthz")[0] == 200
        assert len(running.rows()) == 2
    finally:
        running.process.kill()
        running.process.join()


def test_after_draining_it_ends_with_0(server: Running) -> None:
    server.predict(UP)
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    assert len(server.rows()) == 1
    assert not Path(f"{server.database}-wal").exists(), "the log is folded into the database"


def test_a_server_that_cannot_serve_says_why_and_ends_with_64(tmp_path: Path, artifact: Artifact) -> None:
    cases = [
        ({"MODEL_DIGEST": "sha256:" + "0" * 64}, "MODEL_URI: the artifact at this address has another digest"),
        ({"MODEL_REVISION": ""}, "MODEL_REVISION is not set"),
        ({"FEEDBACK_DATABASE": "../outside.db"}, "FEEDBACK_DATABASE: must lie below RETRAINER_DATA_ROOT"),
        ({"PORT": "http"}, "PORT: must be a number"),
    ]
    for number, (changes, words) in enumerate(cases):
        running = start(tmp_path, artifact, name=f"wrong{number}", **changes)
        assert running.ended() == 64
        assert words in running.log.read_text()
        assert "serving" not in running.log.read_text()


def test_a_hundred_requests_take_no_hundred_commits_of_time(server: Running) -> None:
    """Requests that wait together are committed together: 100 of them by 8 clients within five seconds."""
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: server.predict(UP, unit=f"u{n}"), range(100)))
    assert len(server.rows()) == 100
    assert time.monotonic() - started < 5

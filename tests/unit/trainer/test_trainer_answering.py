"""Requests and votes as JSON, and the store below them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.methods.tabular import ModelSchema, TargetSchema
from trainer.methods.xgboost import TabularModel
from trainer.rows import FeatureSpec
from trainer.serve import store as stores
from trainer.serve.answering import Answer, BadRequest, answer, read_request, read_vote
from trainer.serve.settings import settings_from
from trainer.serve.store import Prediction, Store, StoreUnavailable, Vote

FEATURES = (FeatureSpec("size"), FeatureSpec("colour", ("blue", "red")))
CLASS = TargetSchema("kind", "Classification", ("cold", "warm"), "w", 1, 0.3, 0.3)
NUMBER = TargetSchema("price", "Regression", (), "w", 1, 0.3, 0.3)


class Fixed:
    """A booster that answers the first column, as probability or number."""

    def inplace_predict(self, matrix: Any, validate_features: bool) -> Any:
        return np.asarray(matrix[:, 0])


def model(*targets: TargetSchema) -> TabularModel:
    return TabularModel(ModelSchema(FEATURES, targets), tuple(Fixed() for _ in targets))


def test_one_target_is_answered_by_a_value_and_several_by_an_object() -> None:
    one = answer(model(CLASS), [[0.75, "red"], {"size": 0.25, "colour": "blue"}])
    assert [a.prediction() for a in one] == ["warm", "cold"]
    assert [a.recorded() for a in one] == ["warm", "cold"]
    assert [a.probabilities["kind"] for a in one] == [0.75, 0.75]
    both = answer(model(CLASS, NUMBER), [[0.75, "red"]])[0]
    assert both.prediction() == {"kind": "warm", "price": 0.75}
    assert json.loads(both.recorded()) == {"kind": "warm", "price": 0.75}
    assert answer(model(NUMBER), [[2.5, "red"]])[0].recorded() == "2.5"


def test_features_are_recorded_as_the_feedback_mapping_reads_them() -> None:
    assert answer(model(CLASS), [{"features": [0.75, "red"]}])[0].features == '[0.75,"red"]'
    assert json.loads(answer(model(CLASS), [{"size": 1, "colour": "red"}])[0].features) == {"size": 1, "colour": "red"}


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ([1.0], "instances[0]: 2 features are needed, 1 were given"),
        ("text", "instances[0]: must be a list of 2 values or an object of feature to value"),
        ({"size": 1}, "instances[0]: feature colour is missing"),
        ({"size": 1, "colour": "red", "weight": 2}, "instances[0]: the model has no feature of the name 'weight'"),
        ([True, "red"], "instances[0][0]: must be a number"),
        ([None, "red"], "instances[0][0]: must be a number"),
        ([float("nan"), "red"], "instances[0][0]: must be a finite number"),
        ([1e39, "red"], "instances[0][0]: must be a finite number"),
        ([10**400, "red"], "instances[0][0]: must be a finite number"),
        ([1, "green"], "instances[0][1]: must be one of blue, red"),
        ([1, ["red"]], "instances[0][1]: must be one of blue, red"),
    ],
)
def test_a_wrong_instance_is_explained(instance: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        answer(model(CLASS), [instance])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "the body must be"),
        ({"unit": "u"}, "the body must be"),
        ({"instances": []}, "instances: must be a list"),
        ({"instances": "x"}, "instances: must be a list"),
        ({"instances": [[1]] * 1001}, "at most 1000"),
        ({"instances": [[1]], "unit": 17}, "unit: must be a string"),
        ({"instances": [[1]], "unit": ""}, "unit: must be a string"),
        ({"instances": [[1]], "unit": "a\0"}, "unit: must be a string"),
    ],
)
def test_a_wrong_request_is_explained(body: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_request(body)


def test_one_instance_needs_no_list() -> None:
    assert read_request({"instances": {"size": 1}, "unit": "u"}) == ([{"size": 1}], "u")
    assert read_request({"instances": [1, 2]}) == ([[1, 2]], None)
    assert read_request({"instances": [[1, 2], [3, 4]]}) == ([[1, 2], [3, 4]], None)


@pytest.mark.parametrize(
    ("body", "vote"),
    [
        ({"thumb": 0}, Vote("x", 0, None, None)),
        ({"thumb": -1, "correction": 3.0}, Vote("x", -1, "3", None)),
        ({"label": True}, Vote("x", None, None, "true")),
        ({"label": {"kind": 7}}, Vote("x", None, None, '{"kind": "7"}')),
    ],
)
def test_a_vote_may_say_one_thing_or_several(body: dict[str, Any], vote: Vote) -> None:
    assert read_vote({"id": "x", **body}, ["kind"]) == vote


@pytest.mark.parametrize(
    ("body", "targets", "words"),
    [
        ({}, ["kind"], "at least one of"),
        ({"thumb": "1"}, ["kind"], "thumb: must be"),
        ({"thumb": True}, ["kind"], "thumb: must be"),
        ({"thumbs": 1}, ["kind"], "unknown field 'thumbs'"),
        ({"correction": ["a"]}, ["kind"], "correction: must be a number or a string"),
        ({"correction": ""}, ["kind"], "correction: must be a number or a string"),
        ({"label": "x" * 257}, ["kind"], "label: must be a number or a string"),
        ({"label": float("inf")}, ["kind"], "label: must be a number or a string"),
        ({"label": {"other": 1}}, ["kind"], "targets are kind"),
        ({"label": {"kind": {}}}, ["kind"], "label.kind: must be"),
        ({"label": "a"}, ["kind", "price"], "several targets"),
    ],
)
def test_a_wrong_vote_is_explained(body: dict[str, Any], targets: list[str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read_vote({"id": "x", **body}, targets)
    with pytest.raises(BadRequest, match="the body must be"):
        read_vote({"thumb": 1}, targets)


def prediction(number: int) -> Prediction:
    return Prediction(f"p{number}", f"2026-01-01T00:00:{number % 60:02d}Z", "u", "[]", "3", "4", "sha256:0")


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM feedback").fetchone()[0])
    finally:
        connection.close()


def test_what_waits_together_is_committed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = stores._commit

    def counted(connection: Any, batch: Any) -> Any:
        sizes.append(len(batch))
        return real(connection, batch)

    monkeypatch.setattr(stores, "_commit", counted)
    store = Store(tmp_path / "f.db")

    async def burst() -> None:
        await asyncio.gather(*(store.add([prediction(n)]) for n in range(200)))

    asyncio.run(burst())
    store.close()
    assert sum(sizes) == 200
    assert len(sizes) < 100
    assert count(tmp_path / "f.db") == 200


def test_closing_writes_what_still_waits(tmp_path: Path) -> None:
    store = Store(tmp_path / "f.db")

    async def submit_and_close() -> None:
        waiting = [asyncio.ensure_future(store.add([prediction(n)])) for n in range(20)]
        await asyncio.sleep(0)
        await asyncio.to_thread(store.close)
        await asyncio.gather(*waiting)

    asyncio.run(submit_and_close())
    assert count(tmp_path / "f.db") == 20


def test_a_client_that_goes_away_does_not_undo_its_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "f.db")

    async def leave() -> None:
        task = asyncio.ensure_future(store.add([prediction(1)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    store.close()
    assert count(tmp_path / "f.db") == 1


def test_a_database_that_stays_locked_is_unavailable_and_then_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUSY_SECONDS", 0.05)
    store = Store(tmp_path / "f.db")
    holder = sqlite3.connect(tmp_path / "f.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="refuses to write"):
        asyncio.run(store.add([prediction(1)]))
    holder.execute("ROLLBACK")
    holder.close()
    asyncio.run(store.add([prediction(2)]))
    store.close()
    assert count(tmp_path / "f.db") == 1


def test_two_stores_write_to_one_file_at_once(tmp_path: Path) -> None:
    both = [Store(tmp_path / "f.db") for _ in range(2)]

    def fill(place: int) -> None:
        async def all_of_them() -> None:
            for n in range(40):
                await both[place].add([prediction(place * 1000 + n)])

        asyncio.run(all_of_them())

    writers = [threading.Thread(target=fill, args=(place,)) for place in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    for store in both:
        store.close()
    assert count(tmp_path / "f.db") == 80


def test_a_place_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "f.db").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        Store(tmp_path / "f.db")


def test_the_address_is_the_hosts_or_the_pods_or_all() -> None:
    base = {
        "MODEL_URI": "file:///m/",
        "MODEL_DIGEST": "sha256:0",
        "MODEL_REVISION": "1",
        "FEEDBACK_DATABASE": "/data/a/f.db",
        "RETRAINER_DATA_ROOT": "/data",
    }
    assert settings_from({**base, "HOST": "127.0.0.1", "POD_IP": "10.0.0.1"}).host == "127.0.0.1"
    assert settings_from({**base, "POD_IP": "10.0.0.1"}).host == "10.0.0.1"
    assert settings_from(base).host == "0.0.0.0"
    assert settings_from(base).port == 8080
    assert settings_from(base).database == Path("/data/a/f.db")


def test_an_answer_of_one_target_is_plain() -> None:
    assert Answer({"kind": "warm"}, {}, "[]").prediction() == "warm"

"""Snapshots: the digest covers the rows and nothing else, and damage is noticed before anything is used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.training_parts import Target
from tests.unit.trainer.trainer_world import DIGIT, TWO_FEATURES, record, selection
from trainer import snapshot as snapshots
from trainer.errors import DataError
from trainer.rows import FeatureSpec, Record
from trainer.snapshot import (
    Snapshot,
    describe_features,
    moment,
    next_second,
    open_snapshot,
    read_rows,
    snapshot_digest,
    write_snapshot,
)
from trainer.split import ChampionPast, divide
from trainer.spool import collect, table_schema
from trainer.table import load_table

PRICE = Target(name="price", type="Regression")


def frozen(
    folder: Path,
    records: Sequence[Record],
    targets: Sequence[Target] = (DIGIT,),
    features: tuple[FeatureSpec, ...] = TWO_FEATURES,
) -> Snapshot:
    """A snapshot of the records below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    spool = folder / "rows.arrow"
    facts, _ = collect(records, targets, features, 42, spool, lambda: None)
    division = divide(facts, np.ones(len(facts), dtype=bool), selection(split="Random"), ChampionPast(), 0)
    rules = {
        "targets": [{"name": t.name, "type": t.type or "Classification"} for t in targets],
        "features": describe_features(features),
    }
    digest = snapshot_digest(rules, facts, division)
    description = {"formatVersion": snapshots.FORMAT_VERSION, "rules": rules}
    schema = table_schema(targets, features)
    path = write_snapshot(folder / "snapshots", spool, schema, division, digest, description)
    return open_snapshot(path, digest, "snapshot")


@given(st.permutations(range(30)))
@settings(max_examples=15, deadline=None)
def test_the_digest_does_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    records = [record(n) for n in range(30)]
    assert frozen(folder / "a", records).digest == frozen(folder / "b", [records[n] for n in order]).digest


def test_the_digest_does_not_depend_on_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(n) for n in range(50)]
    whole = frozen(tmp_path / "a", records)
    monkeypatch.setattr(snapshots, "SHARD_ROWS", 7)
    monkeypatch.setattr("trainer.spool.CHUNK_ROWS", 5)
    pieces = frozen(tmp_path / "b", records)
    assert len(pieces.description["shards"]) > len(whole.description["shards"])
    assert pieces.digest == whole.digest
    one, other = load_table(whole), load_table(pieces)
    for side in ("train", "validation", "evaluation"):
        assert (one.sides[side].features == other.sides[side].features).all()
        assert one.sides[side].units.tolist() == other.sides[side].units.tolist()


@pytest.mark.parametrize("change", [{"labels": {"digit": "x"}}, {"unit": "x"}, {"features": {"a": 0.5, "b": 1.0}}])
def test_another_row_is_another_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    records = [record(n) for n in range(20)]
    other = [record(n, **(change if n == 7 else {})) for n in range(20)]
    assert frozen(tmp_path / "a", records).digest != frozen(tmp_path / "b", other).digest


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    features = (FeatureSpec("size"), FeatureSpec("colour", ("blue", "red")))
    records = [
        record(
            n,
            features={"size": n / 3, "colour": "red" if n % 3 else "blue"},
            labels={"price": n / 7} if n % 4 else {},
            corrections={} if n % 4 else {"digit": "seven"},
        )
        for n in range(40)
    ]
    table = load_table(frozen(tmp_path, records, (DIGIT, PRICE), features))
    sides = table.sides.values()
    assert sum(len(side) for side in sides) == 40
    assert sorted(np.concatenate([side.features[:, 0] for side in sides])) == pytest.approx([n / 3 for n in range(40)])
    assert {code for side in sides for code in side.features[:, 1]} == {0.0, 1.0}
    prices = np.concatenate([side.truths[1] for side in sides])
    assert sorted(prices[~np.isnan(prices)]) == pytest.approx([n / 7 for n in range(40) if n % 4])
    assert sum(int(side.labelled(0).sum()) for side in sides) == 10
    assert sum(int(side.independent[0].sum()) for side in sides) == 0
    assert sum(int(side.independent[1].sum()) for side in sides) == 30


def test_the_same_snapshot_twice_is_one_folder(tmp_path: Path) -> None:
    records = [record(n) for n in range(20)]
    first = frozen(tmp_path, records)
    before = (first.folder / "snapshot.json").stat().st_mtime_ns
    assert frozen(tmp_path, records).folder == first.folder
    assert (first.folder / "snapshot.json").stat().st_mtime_ns == before
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == [first.digest[7:]]


def test_a_changed_row_is_noticed(tmp_path: Path) -> None:
    snapshot = frozen(tmp_path, [record(n) for n in range(30)])
    path = snapshot.folder / "train-00000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("label.digit")
    labels = ["yes"] * table.num_rows
    pq.write_table(table.set_column(place, table.schema.field(place), [labels]), path)
    with pytest.raises(DataError, match="digest"):
        load_table(snapshot)


def test_a_row_that_changes_sides_is_noticed(tmp_path: Path) -> None:
    snapshot = frozen(tmp_path, [record(n) for n in range(30)])
    description = json.loads((snapshot.folder / "snapshot.json").read_text())
    for shard in description["shards"]:
        shard["side"] = "train"
    (snapshot.folder / "snapshot.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="digest"):
        load_table(open_snapshot(snapshot.folder, snapshot.digest, "snapshot"))


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/passwd", "link.parquet", "absent.parquet"])
def test_a_shard_outside_its_folder_is_not_read(tmp_path: Path, name: str) -> None:
    snapshot = frozen(tmp_path, [record(n) for n in range(30)])
    real = snapshot.folder / "train-00000.parquet"
    (snapshot.folder.parent / "outside.parquet").write_bytes(real.read_bytes())
    (snapshot.folder / "link.parquet").symlink_to(real)
    description = json.loads((snapshot.folder / "snapshot.json").read_text())
    description["shards"][0]["file"] = name
    (snapshot.folder / "snapshot.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match="shard"):
        list(read_rows(open_snapshot(snapshot.folder, snapshot.digest, "snapshot")))


def test_a_torn_shard_is_noticed(tmp_path: Path) -> None:
    snapshot = frozen(tmp_path, [record(n) for n in range(30)])
    path = snapshot.folder / "train-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="shard"):
        load_table(snapshot)


def test_a_snapshot_that_is_absent_or_another_is_refused(tmp_path: Path) -> None:
    snapshot = frozen(tmp_path, [record(n) for n in range(20)])
    with pytest.raises(DataError, match="no snapshot"):
        open_snapshot(tmp_path / "nothing", snapshot.digest, "snapshot")
    with pytest.raises(DataError, match="another digest"):
        open_snapshot(snapshot.folder, "sha256:" + "0" * 64, "snapshot")
    (snapshot.folder / "snapshot.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        open_snapshot(snapshot.folder, snapshot.digest, "snapshot")


@given(st.integers(0, 4_000_000_000_000_000))
def test_trained_through_is_never_before_a_row_that_was_learnt(microseconds: int) -> None:
    second = next_second(microseconds)
    assert second.microsecond == 0
    assert 0 <= (second - moment(microseconds)).total_seconds() < 1

"""The frozen data set: Parquet shards per side and snapshot.json, published under the digest of its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from retrainer.api.v1alpha1.training_parts import Target
from trainer.digest import canonical_json, dataset_digest
from trainer.errors import DataError
from trainer.places import contained, partial_folder, publish, read_bounded
from trainer.rows import FeatureSpec, Origin, Row, Value, content_digest, row_digest
from trainer.split import SIDE_NAMES, Division
from trainer.spool import FEATURE_PREFIX, LABEL_PREFIX, ORIGIN_PREFIX, Facts, spooled, table_schema

FORMAT_VERSION = 1
DESCRIPTION = "snapshot.json"
SHARD_ROWS = 250_000
_DESCRIPTION_LIMIT = 16 * 2**20
_COMPRESSION = "zstd"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk, as described by its snapshot.json."""

    folder: Path
    digest: str
    description: Mapping[str, Any]

    @property
    def rules(self) -> Mapping[str, Any]:
        """What decided which rows are in it; part of the digest."""
        return dict(self.description["rules"])

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return tuple(
            FeatureSpec(item["name"], None if item["type"] == "Numeric" else tuple(item["categories"]))
            for item in self.rules["features"]
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(Target(name=item["name"], type=item["type"]) for item in self.rules["targets"])


def describe_features(features: tuple[FeatureSpec, ...]) -> list[dict[str, Any]]:
    """Features as plain data, for snapshot.json and schema.json."""
    return [
        {"name": f.name, "type": "Numeric"}
        if f.categories is None
        else {"name": f.name, "type": "Categorical", "categories": list(f.categories)}
        for f in features
    ]


def snapshot_digest(rules: Any, facts: Facts, division: Division) -> str:
    """The digest of the rows that are on some side."""
    rows = (
        row_digest(facts.content[place].tobytes(), SIDE_NAMES[int(division.sides[place])])
        for place in np.flatnonzero(division.sides)
    )
    return dataset_digest(rules, rows)


def write_snapshot(
    parent: Path, spool: Path, schema: pa.Schema, division: Division, digest: str, description: dict[str, Any]
) -> Path:
    """Write the shards of every side, then snapshot.json, and publish the folder under the digest."""
    target = parent / digest.removeprefix("sha256:")
    if (target / DESCRIPTION).is_file():
        return target
    with partial_folder(parent) as folder:
        shards = _write_shards(folder, spool, schema, division)
        (folder / DESCRIPTION).write_bytes(canonical_json({**description, "digest": digest, "shards": shards}))
        publish(folder, target)
    return target


def _write_shards(folder: Path, spool: Path, schema: pa.Schema, division: Division) -> list[dict[str, Any]]:
    shards: list[dict[str, Any]] = []
    for side, name in SIDE_NAMES.items():
        number, writer, written, path = 0, None, 0, folder
        for batch in _batches_of(spool, division, side):
            if writer is None:
                path = folder / f"{name}-{number:05d}.parquet"
                writer, written = pq.ParquetWriter(path, schema, compression=_COMPRESSION), 0
            writer.write_batch(batch)
            written += batch.num_rows
            if written >= SHARD_ROWS:
                shards.append(_close(writer, path, name, written))
                number, writer = number + 1, None
        if writer is not None:
            shards.append(_close(writer, path, name, written))
    return shards


def _close(writer: pq.ParquetWriter, path: Path, side: str, rows: int) -> dict[str, Any]:
    writer.close()
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "side": side, "rows": rows, "sha256": checksum}


def _batches_of(spool: Path, division: Division, side: int) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in spooled(spool):
        mask = division.sides[start : start + batch.num_rows] == side
        start += batch.num_rows
        if mask.any():
            yield batch.filter(pa.array(mask))


def open_snapshot(folder: Path, digest: str, field: str) -> Snapshot:
    """Read snapshot.json. The rows are checked against the digest when they are read.

    Raises DataError where there is no such snapshot or it says to be another."""
    try:
        description = json.loads(read_bounded(folder / DESCRIPTION, _DESCRIPTION_LIMIT))
    except FileNotFoundError:
        raise DataError(f"{field}: there is no snapshot at this address", "InsufficientData") from None
    except (OSError, ValueError):
        raise DataError(f"{field}: snapshot.json cannot be read") from None
    if description.get("digest") != digest or description.get("formatVersion") != FORMAT_VERSION:
        raise DataError(f"{field}: the snapshot at this address has another digest or format")
    return Snapshot(folder, digest, description)


def read_rows(snapshot: Snapshot) -> Iterator[tuple[str, pa.RecordBatch, list[bytes]]]:
    """Batches of all sides as (side, batch, row digests); after the last one the digest has been checked.

    Raises DataError when the rows are not those of the digest: use nothing before the iterator is exhausted."""
    found: list[bytes] = []
    schema = table_schema(snapshot.targets, snapshot.features)
    for shard in snapshot.description["shards"]:
        for batch in _shard_batches(snapshot, shard, schema):
            digests = [row_digest(content_digest(row), shard["side"]) for row in rows_of(batch, snapshot)]
            found.extend(digests)
            yield shard["side"], batch, digests
    if dataset_digest(snapshot.rules, found) != snapshot.digest:
        raise DataError("the snapshot's rows do not have its digest: it was changed or damaged; repeat the run")


def _shard_batches(snapshot: Snapshot, shard: Mapping[str, Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        path = contained(snapshot.folder, str(shard["file"]))
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(schema):
                raise DataError("the snapshot's columns are not those of snapshot.json")
            yield from file.iter_batches(batch_size=8192)
    except (OSError, ValueError, pa.ArrowException):
        raise DataError("a shard of the snapshot cannot be read: it was changed or damaged") from None


def rows_of(batch: pa.RecordBatch, snapshot: Snapshot) -> Iterator[Row]:
    """The rows of a batch (without recorded predictions, which are not part of a snapshot)."""
    columns = {name: _plain(batch, name) for name in batch.schema.names}
    features = [columns[FEATURE_PREFIX + f.name] for f in snapshot.features]
    truths = [columns[LABEL_PREFIX + t.name] for t in snapshot.targets]
    origins = [columns[ORIGIN_PREFIX + t.name] for t in snapshot.targets]
    nothing = (None,) * len(truths)
    for place, values in enumerate(zip(*features, strict=True)):
        yield Row(
            source=columns["source"][place],
            id=columns["id"][place],
            time=columns["time"][place],
            unit=columns["unit"][place],
            segment=columns["segment"][place],
            model=columns["model"][place],
            features=values,
            truths=tuple(column[place] for column in truths),
            origins=tuple(None if c[place] is None else Origin(c[place]) for c in origins),
            predictions=nothing,
        )


def _plain(batch: pa.RecordBatch, name: str) -> list[Any]:
    column = batch.column(name)
    if pa.types.is_timestamp(column.type):
        return list(column.cast(pa.int64()).to_pylist())
    return list(column.to_pylist())


def moment(microseconds: int) -> datetime:
    """A time of the spool as datetime."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)


def next_second(microseconds: int) -> datetime:
    """The first whole second that is not before: `trainedThrough` is kept to the second, and rounding it down
    would let a row that was learnt from look later."""
    return datetime.fromtimestamp(-(-microseconds // 1_000_000), UTC)


def class_counts(facts: Facts, division: Division, side: int, number: int) -> dict[str, int]:
    """Rows per class of one target on one side; classes that occur elsewhere count 0."""
    classes = facts.classes[division.sides == side, number]
    names = facts.class_names[number]
    counts = np.bincount(classes[classes >= 0], minlength=len(names))
    return {name: int(count) for name, count in sorted(zip(names, counts, strict=True))}


def value_text(value: Value) -> str:
    """A value for people."""
    return value if isinstance(value, str) else f"{value:g}"

"""First pass over the sources: usable rows go to a file, a few numbers per row stay in memory."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrainer.api.v1alpha1.training_parts import Target
from trainer.digest import ROW_DIGEST_BYTES, fraction, text_field
from trainer.rows import FeatureSpec, Origin, Record, Row, Unusable, Value, content_digest, to_row

CHUNK_ROWS = 8192
FEATURE_PREFIX = "feature."
LABEL_PREFIX = "label."
ORIGIN_PREFIX = "origin."
_KEY_BYTES = 16
KEY_TYPE = f"S{2 * _KEY_BYTES}"


@dataclass(frozen=True)
class Facts:
    """Per row, in the order of the spool: what the choice of rows and the split need (about 200 bytes a row)."""

    times: NDArray[np.int64]
    """Microseconds since 1970."""
    identity: NDArray[np.bytes_]
    """Hash of (source, id)."""
    answer: NDArray[np.bytes_]
    """Hash of (source, unit, what was voted on): the latest row of each counts."""
    unit: NDArray[np.bytes_]
    """Hash of the unit."""
    unit_fraction: NDArray[np.float64]
    """The unit's place in [0, 1), by the seed."""
    validation_fraction: NDArray[np.float64]
    """The unit's place in [0, 1) for the choice of validation units."""
    content: NDArray[np.uint8]
    """(rows, 32): digest of the row's content."""
    labelled: NDArray[np.bool_]
    """(rows, targets): has a truth."""
    independent: NDArray[np.bool_]
    """(rows, targets): the truth is independent of the answer."""
    wrong: NDArray[np.float64]
    """(rows, targets): 1 where the recorded prediction differs from an independent truth, NaN where unknown."""
    classes: NDArray[np.int32]
    """(rows, targets): index into `class_names`, -1 where there is none."""
    class_names: tuple[tuple[str, ...], ...]
    """Per target, in order of appearance."""
    categories: dict[int, tuple[str, ...]]
    """Sorted categories of the features (by place) that declare none."""

    def __len__(self) -> int:
        return len(self.times)


def table_schema(targets: Sequence[Target], features: Sequence[FeatureSpec]) -> pa.Schema:
    """Columns of the spool and of the snapshot's shards."""
    fields: list[Any] = [
        pa.field("source", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("segment", pa.string()),
        pa.field("model", pa.string()),
    ]
    for feature in features:
        kind = pa.float64() if feature.numeric else pa.string()
        fields.append(pa.field(FEATURE_PREFIX + feature.name, kind, nullable=False))
    for target in targets:
        kind = pa.float64() if target.type == "Regression" else pa.string()
        fields.append(pa.field(LABEL_PREFIX + target.name, kind))
        fields.append(pa.field(ORIGIN_PREFIX + target.name, pa.string()))
    return pa.schema(fields)


class _Collector:
    """Grows flat arrays; a list of tuples would cost ten times the memory."""

    def __init__(self, targets: Sequence[Target], features: Sequence[FeatureSpec], seed: int) -> None:
        self.categories: dict[int, set[Value]] = {
            place: set() for place, feature in enumerate(features) if feature.categories == ()
        }
        self.targets = len(targets)
        self.seed = str(seed)
        self.times = array("q")
        self.places = array("d")
        self.identity, self.answer, self.unit = bytearray(), bytearray(), bytearray()
        self.content = bytearray()
        self.truths = array("d")
        self.class_index: list[dict[str, int]] = [{} for _ in targets]

    def add(self, row: Row, identity: str) -> None:
        self.times.append(row.time)
        key, places = _unit(self.seed, row.unit)
        self.places.extend(places)
        self.identity += identity_key(row.source, row.id)
        self.answer += _key(row.source, row.unit, identity)
        self.unit += key
        self.content += content_digest(row)
        for number in range(self.targets):
            self.truths.extend(self._truth(row, number))
        for place, seen in self.categories.items():
            seen.add(row.features[place])

    def _truth(self, row: Row, number: int) -> tuple[float, float, float, float]:
        value, prediction = row.truths[number], row.predictions[number]
        independent = row.origins[number] is Origin.LABEL
        wrong = float(value != prediction) if independent and prediction is not None else float("nan")
        place = -1
        if isinstance(value, str):
            index = self.class_index[number]
            place = index.setdefault(value, len(index))
        return float(value is not None), float(independent), wrong, float(place)

    def facts(self) -> Facts:
        places = np.array(self.places).reshape(-1, 2)
        truths = np.array(self.truths).reshape(-1, self.targets, 4)
        return Facts(
            times=np.array(self.times, dtype=np.int64),
            identity=np.frombuffer(bytes(self.identity), dtype=KEY_TYPE),
            answer=np.frombuffer(bytes(self.answer), dtype=KEY_TYPE),
            unit=np.frombuffer(bytes(self.unit), dtype=KEY_TYPE),
            unit_fraction=places[:, 0],
            validation_fraction=places[:, 1],
            content=np.frombuffer(bytes(self.content), dtype=np.uint8).reshape(-1, ROW_DIGEST_BYTES),
            labelled=truths[:, :, 0] > 0,
            independent=truths[:, :, 1] > 0,
            wrong=truths[:, :, 2],
            classes=truths[:, :, 3].astype(np.int32),
            class_names=tuple(tuple(index) for index in self.class_index),
            categories={place: tuple(sorted(map(str, seen))) for place, seen in self.categories.items()},
        )


@lru_cache(maxsize=65_536)
def _unit(seed: str, unit: str) -> tuple[bytes, tuple[float, float]]:
    """Key of a unit, and its places for evaluation and validation; units come again and again."""
    return _key(unit), (fraction(seed, "unit", unit), fraction(seed, "validation", unit))


def _key(*parts: str) -> bytes:
    # Hexadecimal: numpy strips trailing zero bytes off byte strings.
    joined = b"".join(text_field(part) for part in parts)
    return hashlib.blake2b(joined, digest_size=_KEY_BYTES).hexdigest().encode()


def identity_key(source: str, record_id: str) -> bytes:
    """Hash of a record's identity, comparable across snapshots."""
    return _key(source, record_id)


def collect(
    records: Iterable[Record],
    targets: Sequence[Target],
    features: Sequence[FeatureSpec],
    seed: int,
    path: Path,
    check: Callable[[], None],
) -> tuple[Facts, Counter[str]]:
    """Write the usable rows to `path` (Arrow stream) and return their facts and the drops by reason.

    `check` is called now and then; it may raise to stop."""
    drops: Counter[str] = Counter()
    collector = _Collector(targets, features, seed)
    schema = table_schema(targets, features)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        chunk: list[Row] = []
        for record in records:
            try:
                row = to_row(record, targets, features)
            except Unusable as unusable:
                drops[unusable.reason] += 1
                continue
            collector.add(row, record.identity)
            chunk.append(row)
            if len(chunk) >= CHUNK_ROWS:
                check()
                writer.write_batch(_batch(chunk, schema))
                chunk = []
        if chunk:
            writer.write_batch(_batch(chunk, schema))
    return collector.facts(), drops


def _batch(rows: list[Row], schema: pa.Schema) -> pa.RecordBatch:
    columns: list[Any] = [
        [r.source for r in rows],
        [r.id for r in rows],
        pa.array([r.time for r in rows], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        [r.unit for r in rows],
        [r.segment for r in rows],
        [r.model for r in rows],
    ]
    columns.extend(zip(*(r.features for r in rows), strict=True))
    for number in range(len(rows[0].truths)):
        columns.append([r.truths[number] for r in rows])
        columns.append([r.origins[number] for r in rows])
    arrays = [c if isinstance(c, pa.Array) else pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def spooled(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of the spool, one at a time."""
    with pa.memory_map(str(path)) as file:
        yield from pa.ipc.open_stream(file)

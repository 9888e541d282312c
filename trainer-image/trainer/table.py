"""A snapshot in memory as numbers: what tabular methods train and are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrainer.api.v1alpha1.training_parts import Target
from trainer.rows import FeatureSpec, Origin
from trainer.snapshot import Snapshot, read_rows
from trainer.split import SIDE_NAMES
from trainer.spool import FEATURE_PREFIX, LABEL_PREFIX, ORIGIN_PREFIX

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Side:
    """The rows of one side, ordered by digest: the same model, in whatever order they were written."""

    features: Matrix
    """(rows, features); categories as their place in the feature's list."""
    truths: tuple[NDArray[Any], ...]
    """Per target (rows): class names (None where unknown) or numbers (NaN where unknown)."""
    independent: tuple[NDArray[np.bool_], ...]
    """Per target (rows): the truth was given independently of the answer."""
    units: NDArray[Any]
    """(rows): names of the units."""

    def __len__(self) -> int:
        return len(self.units)

    def labelled(self, target: int) -> NDArray[np.bool_]:
        """Rows with a truth of this target."""
        truths = self.truths[target]
        if truths.dtype == object:
            return np.array([truth is not None for truth in truths], dtype=bool)
        return np.asarray(~np.isnan(truths))


@dataclass(frozen=True)
class Table:
    """A whole snapshot."""

    features: tuple[FeatureSpec, ...]
    targets: tuple[Target, ...]
    sides: Mapping[str, Side]

    @property
    def train(self) -> Side:
        return self.sides["train"]

    @property
    def validation(self) -> Side:
        return self.sides["validation"]

    @property
    def evaluation(self) -> Side:
        return self.sides["evaluation"]


def load_table(snapshot: Snapshot) -> Table:
    """Read all rows and check them against the digest. Raises DataError."""
    loaded: dict[str, list[tuple[list[bytes], Side]]] = {name: [] for name in SIDE_NAMES.values()}
    for side, batch, digests in read_rows(snapshot):
        loaded[side].append((digests, _side(batch, snapshot)))
    return Table(
        features=snapshot.features,
        targets=snapshot.targets,
        sides={name: _joined(pieces, snapshot) for name, pieces in loaded.items()},
    )


def _side(batch: pa.RecordBatch, snapshot: Snapshot) -> Side:
    columns = [_codes(batch.column(FEATURE_PREFIX + f.name), f) for f in snapshot.features]
    origins = [batch.column(ORIGIN_PREFIX + t.name) for t in snapshot.targets]
    return Side(
        features=np.stack(columns, axis=1).astype(np.float32),
        truths=tuple(_truths(batch.column(LABEL_PREFIX + t.name), t) for t in snapshot.targets),
        independent=tuple(np.array([o == Origin.LABEL for o in c.to_pylist()], dtype=bool) for c in origins),
        units=np.array(batch.column("unit").to_pylist(), dtype=object),
    )


def _codes(column: pa.Array, feature: FeatureSpec) -> NDArray[np.float64]:
    if feature.categories is None:
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    places = {category: float(place) for place, category in enumerate(feature.categories)}
    return np.array([places[value] for value in column.to_pylist()], dtype=np.float64)


def _truths(column: pa.Array, target: Target) -> NDArray[Any]:
    if target.type == "Regression":
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.array(column.to_pylist(), dtype=object)


def _joined(pieces: list[tuple[list[bytes], Side]], snapshot: Snapshot) -> Side:
    if not pieces:
        return _empty(snapshot)
    digests = [digest for found, _ in pieces for digest in found]
    order = np.array(sorted(range(len(digests)), key=digests.__getitem__))
    sides = [side for _, side in pieces]
    count = range(len(snapshot.targets))
    return Side(
        features=np.concatenate([side.features for side in sides])[order],
        truths=tuple(np.concatenate([side.truths[n] for side in sides])[order] for n in count),
        independent=tuple(np.concatenate([side.independent[n] for side in sides])[order] for n in count),
        units=np.concatenate([side.units for side in sides])[order],
    )


def _empty(snapshot: Snapshot) -> Side:
    return Side(
        features=np.zeros((0, len(snapshot.features)), dtype=np.float32),
        truths=tuple(np.zeros(0) if t.type == "Regression" else np.array([], dtype=object) for t in snapshot.targets),
        independent=tuple(np.zeros(0, dtype=bool) for _ in snapshot.targets),
        units=np.array([], dtype=object),
    )

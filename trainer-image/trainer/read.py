"""From the configured sources to records: the only file of the trainer that knows the feedback library."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.api.v1alpha1.run_contract import DATA_ROOT_VARIABLE, RunConfig, SourceConfig
from retrainer.feedback import errors
from retrainer.feedback.connectors import open_connector
from retrainer.feedback.connectors.protocol import Connector, Timeouts, Window
from retrainer.feedback.credentials import Credentials
from trainer.errors import ConfigurationError, DataError, SchemaMismatch, SourceFailed
from trainer.rows import FeatureSpec, Record, Value

TIMEOUTS = Timeouts(connect=15.0, read=3600.0)
_PEEKED = 1000
"""Records looked at to learn the features of a JSON column."""


@dataclass
class Reading:
    """What comes out of the sources; `quarantined` is complete once `records` is exhausted."""

    features: tuple[FeatureSpec, ...]
    records: Iterator[Record]
    quarantined: Counter[str] = field(default_factory=Counter)


@contextmanager
def read_sources(config: RunConfig) -> Iterator[Reading]:
    """Open all sources of the run, for the window of its data.

    Raises SourceFailed (worth another attempt), DataError and SchemaMismatch (a person must act)."""
    if not config.sources:
        raise ConfigurationError("sources: run.json names no source; the data stage needs them resolved")
    quarantined: Counter[str] = Counter()
    with ExitStack() as stack:
        features: tuple[FeatureSpec, ...] | None = None
        streams: list[Iterator[Record]] = []
        for source in config.sources:
            with _translated(source.name):
                connector = _connect(source)
            stack.callback(connector.close)
            found, stream = _with_features(source.spec, _records(connector, source, config, quarantined))
            if features is not None and found is not None and found != features:
                raise SchemaMismatch(f"source {source.name}: its features differ from those of the other sources")
            features = features or found
            streams.append(stream)
        yield Reading(features or (), itertools.chain(*streams), quarantined)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """The catalogue's errors as stage errors; their messages are safe to show."""
    try:
        yield
    except errors.SchemaMismatch as error:
        raise SchemaMismatch(f"source {name}: {error.message}") from None
    except errors.Unauthorized as error:
        raise DataError(f"source {name}: {error.message}", SourceFailed.reason) from None
    except errors.SourceError as error:
        raise SourceFailed(f"source {name}: {error.message}") from None


def _connect(source: SourceConfig) -> Connector:
    root = os.environ.get(DATA_ROOT_VARIABLE)
    return open_connector(
        source.spec,
        data_root=Path(root) if root else None,
        credentials=_credentials(source),
        timeouts=TIMEOUTS,
    )


def _credentials(source: SourceConfig) -> Credentials | None:
    if source.secret_file is None:
        return None
    try:
        value = Path(source.secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise errors.SecretNotShared("the file with the connection string cannot be read") from None
    return Credentials(value, tuple(source.allowed_hosts))


def _records(
    connector: Connector, source: SourceConfig, config: RunConfig, quarantined: Counter[str]
) -> Iterator[Record]:
    window = config.spec.data.window
    targets = tuple(target.name for target in _targets(config))
    with _translated(source.name):
        for batch in connector.scan(Window(window.from_, window.to)):
            yield from _batch_records(source, batch, targets, quarantined)


def _targets(config: RunConfig) -> tuple[Any, ...]:
    method = config.spec.method.xgboost
    return () if method is None else method.targets


def _batch_records(
    source: SourceConfig, batch: pa.RecordBatch, targets: tuple[str, ...], quarantined: Counter[str]
) -> Iterator[Record]:
    thumbs = [f"signal.{s.name}" for s in source.spec.signals if s.thumbs is not None]
    columns = {name: _column(batch, name) for name in batch.schema.names}
    for place, problem in enumerate(columns["quarantine"]):
        if problem is not None:
            quarantined[problem.partition("|")[0]] += 1
            continue
        cells = {name: column[place] for name, column in columns.items()}
        yield _record(source.name, cells, thumbs, targets)


def _column(batch: pa.RecordBatch, name: str) -> list[Any]:
    column = batch.column(name)
    return list((column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist())


def _record(source: str, cells: Mapping[str, Any], thumbs: list[str], targets: tuple[str, ...]) -> Record:
    votes = {cells[name] for name in thumbs}
    return Record(
        source=source,
        id=cells["id"],
        identity=cells["identity"],
        time=cells["time"],
        unit=cells["unit"],
        segment=cells["segment"],
        model=cells["model"],
        features=_object(cells["features"]),
        labels=_per_target(cells["labels"], targets),
        corrections=_per_target(cells["correction"], targets),
        predictions=_per_target(cells["prediction"], targets),
        approved=1 in votes and -1 not in votes,
    )


def _object(text: str | None) -> dict[str, Value | None] | None:
    return None if text is None else dict(json.loads(text))


def _per_target(text: str | None, targets: tuple[str, ...]) -> dict[str, Value]:
    """Target to value; a bare value is that of the only target, and of none where there are several."""
    if text is None:
        return {}
    value = json.loads(text)
    if not isinstance(value, dict):
        value = {targets[0]: value} if len(targets) == 1 else {}
    return {name: _plain(item) for name, item in value.items() if isinstance(item, str | int | float)}


def _plain(item: str | int | float) -> Value:
    return ("true" if item else "false") if isinstance(item, bool) else item


def _with_features(
    spec: FeedbackSourceSpec, stream: Iterator[Record]
) -> tuple[tuple[FeatureSpec, ...] | None, Iterator[Record]]:
    """The features that the spec declares, or those that most of the first records have."""
    mapped = spec.record.features
    if mapped is None:
        raise ConfigurationError("sources: record.features must be mapped; method xgboost learns from features")
    if mapped.columns is not None:
        return tuple(_declared(column.name, column.type, column.categories) for column in mapped.columns), stream
    first = list(itertools.islice(stream, _PEEKED))
    seen = Counter(tuple(sorted(record.features)) for record in first if record.features)
    rejoined = itertools.chain(first, stream)
    if not seen:
        return None, rejoined
    # The most frequent set; of equally frequent ones the first by name, whatever the order of rows.
    names = min(seen, key=lambda item: (-seen[item], item))
    return tuple(FeatureSpec(name) for name in sorted(names, key=_natural)), rejoined


def _declared(name: str, kind: str | None, categories: tuple[str, ...] | None) -> FeatureSpec:
    return FeatureSpec(name, (categories or ()) if kind == "Categorical" else None)


def _natural(name: str) -> tuple[int, int, str]:
    """f2 before f10, for the names of a JSON array; other names by alphabet after them."""
    digits = name[1:]
    return (0, int(digits), "") if name[:1] == "f" and digits.isdecimal() else (1, 0, name)

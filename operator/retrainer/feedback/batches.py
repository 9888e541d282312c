"""Records as Arrow batches: the canonical shape in which the trainer reads every source.

Columns: `id`, `time` (microseconds, UTC), `unit`, `identity`, `session`, `input`, `output`, `model`, `variant`,
`segment` as in `Record`; `prediction`, `correction` JSON text: a scalar, or an object from target to value;
`labels` JSON text: an object from target to value; `features` JSON text: an object from name to number, text or
null, in the order of the source (features out of a JSON array are named f0, f1 …); per signal of the spec
`signal.<name>`: 1 approval, 0 neutral, -1 disapproval, 2 a label or correction is present, null none.
`quarantine`: `reason|field` where the row cannot be read (then only `id` may be set); null for readable rows.
Rows are not deduplicated: of several rows with one (unit, identity) the latest vote of each signal counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from retrainer.feedback.records import Quarantined, Record

if TYPE_CHECKING:
    import pyarrow as pa

TEXT_COLUMNS = ("unit", "identity", "session", "input", "output", "model", "variant", "segment")
JSON_COLUMNS = ("prediction", "correction", "labels", "features")


def schema(signals: Sequence[str]) -> pa.Schema:
    """The Arrow schema of a source with these signals."""
    import pyarrow as pa

    fields = [pa.field("id", pa.string()), pa.field("time", pa.timestamp("us", tz="UTC"))]
    fields += [pa.field(name, pa.string()) for name in (*TEXT_COLUMNS, *JSON_COLUMNS)]
    fields += [pa.field(f"signal.{name}", pa.int8()) for name in signals]
    fields.append(pa.field("quarantine", pa.string()))
    return pa.schema(fields)


def batch(rows: Sequence[Record | Quarantined], signals: Sequence[str]) -> pa.RecordBatch:
    """One batch in that schema."""
    import pyarrow as pa

    shape = schema(signals)
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in shape.names}
    for place, row in enumerate(rows):
        columns["id"][place] = row.id
        if isinstance(row, Quarantined):
            columns["quarantine"][place] = row.code
        else:
            _fill(columns, place, row, signals)
    return pa.RecordBatch.from_pydict(columns, schema=shape)


def _fill(columns: dict[str, list[Any]], place: int, row: Record, signals: Sequence[str]) -> None:
    columns["time"][place] = row.time
    for name in TEXT_COLUMNS:
        columns[name][place] = getattr(row, name)
    for name in JSON_COLUMNS:
        columns[name][place] = json_text(getattr(row, name))
    for name, vote in zip(signals, row.votes, strict=True):
        columns[f"signal.{name}"][place] = vote


def json_text(value: Any) -> str | None:
    """Compact JSON; bytes are text that the reader has checked; None stays None."""
    if value is None:
        return None
    return json.dumps(value, default=_plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)

"""What the query API of Prometheus answers, read strictly; anything unexpected is an error in our own words. Pure.

https://prometheus.io/docs/prometheus/latest/querying/api/ (format v1). The server's own error texts quote selectors
and labels, so they are looked at and never passed on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable
from retrainer.prometheus.counters import Sample, Series

MOST_SERIES = 5_000
_STRANGE = "what answers there is not the query API of Prometheus; check url (without /api/v1)"


def read_answer(status: int, body: bytes) -> list[Series]:
    """The series of an instant query's answer (matrix or vector), in no particular order.

    Raises errors of `retrainer.feedback.errors`.
    """
    document = _document(body)
    if status != 200:
        raise refusal(status, document)
    if document is None or document.get("status") != "success":
        raise Unreachable(_STRANGE)
    if document.get("warnings"):
        raise Unreachable("the server warns that its answer may be incomplete; it is asked again")
    data = document.get("data")
    found = data.get("result") if isinstance(data, Mapping) else None
    if not isinstance(found, list):
        raise Unreachable(_STRANGE)
    if len(found) > MOST_SERIES:
        raise SchemaMismatch(f"the selector matches more than {MOST_SERIES:,} series; narrow it")
    return [_series(entry) for entry in found]


def refusal(status: int, document: Mapping[str, Any] | None) -> SourceError:
    """Why a status that is not 200 was answered."""
    kind = document.get("errorType") if document else None
    if status in (401, 403):
        return Unauthorized(f"the server refuses the request (HTTP {status}); tokenSecretRef must name a valid token")
    if 300 <= status < 400:
        return Unreachable(f"the server redirects (HTTP {status}), which is not followed; name the final address")
    if status in (400, 422) and kind == "bad_data":
        return SchemaMismatch("the server cannot read the selector; try it in its own user interface")
    if kind in ("timeout", "canceled"):
        return TimedOut("the server did not find the samples in its own time limit; narrow the selector")
    if kind == "execution":
        return SchemaMismatch("the server cannot answer the selector, usually because of too many samples; narrow it")
    if status in (404, 405, 410):
        return Unreachable(f"there is no query API at this address (HTTP {status}); check url (without /api/v1)")
    return Unreachable(f"the server answers HTTP {status}; it is asked again")


def _document(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, Mapping) else None


def _series(entry: Any) -> Series:
    labels = entry.get("metric") if isinstance(entry, Mapping) else None
    if not isinstance(labels, Mapping) or not all(isinstance(v, str) for v in labels.values()):
        raise Unreachable(_STRANGE)
    pairs = entry["values"] if "values" in entry else [entry["value"]] if "value" in entry else None
    if pairs is None and ("histograms" in entry or "histogram" in entry):
        raise SchemaMismatch("the selector matches histograms; name a counter, for example their _count")
    if not isinstance(pairs, list) or not pairs:
        raise Unreachable(_STRANGE)
    samples = tuple(_sample(pair) for pair in pairs)
    if any(b.time <= a.time for a, b in pairwise(samples)):
        raise Unreachable(_STRANGE)
    return Series(dict(labels), samples)


def _sample(pair: Any) -> Sample:
    """[seconds, "value"]; a counter's value is a finite number that is not negative."""
    try:
        moment, text = pair
        time, value = float(moment), float(text)
    except (TypeError, ValueError):
        raise Unreachable(_STRANGE) from None
    if not math.isfinite(time):
        raise Unreachable(_STRANGE)
    if not math.isfinite(value) or value < 0:
        raise SchemaMismatch("the selector matches what is no counter: a value is negative, infinite or NaN")
    return Sample(time, value)

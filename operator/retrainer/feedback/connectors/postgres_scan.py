"""Rows of PostgreSQL's scan as records; the server has already decided what can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from retrainer.feedback.mapping import ANSWER_FIELDS, Mapping
from retrainer.feedback.quality import KEY_CHARACTERS, Quarantine, Unreadable, scalar_text
from retrainer.feedback.records import Quarantined, Record, answer

_FIXED = 11
"""id, t, unit, identity, session, input, output, model, variant, segment, reason."""


class RowDecoder:
    """Decodes rows in the column order of `CanonicalRows.scan`."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._answers = tuple(f for f in ANSWER_FIELDS if f in mapping.fields)

    def decode(self, row: Sequence[Any]) -> Record | Quarantined:
        identifier, time, unit, identity, session, asked, answered, model, variant, segment, reason = row[:_FIXED]
        if reason is not None:
            kind, _, field = str(reason).partition("|")
            return Quarantined(Quarantine(kind), field, identifier)
        signals = len(self._mapping.signals)
        documents = iter([None if d is None else json.loads(d) for d in row[_FIXED + signals :]])
        answers = {field: self._answer(next(documents)) for field in self._answers}
        return Record(
            id=identifier,
            time=time,
            unit=unit,
            identity=identity,
            session=session,
            input=asked,
            output=answered,
            model=model,
            variant=variant,
            segment=segment,
            votes=tuple(row[_FIXED : _FIXED + signals]),
            prediction=answers.get("prediction"),
            correction=answers.get("correction"),
            labels=self._labels(documents),
            features=self._features(documents),
        )

    def _answer(self, value: Any) -> Any:
        try:
            return answer(value)
        except Unreadable:
            return None  # The server found it readable: only a number beyond Python's can differ.

    def _labels(self, documents: Iterator[Any]) -> dict[str, Any] | None:
        found = {label.name: next(documents) for label in self._mapping.labels}
        return {name: value for name, value in found.items() if value not in (None, "")} or None

    def _features(self, documents: Iterator[Any]) -> dict[str, Any] | None:
        if self._mapping.document is not None:
            value = next(documents)
            return {f"f{i}": item for i, item in enumerate(value)} if isinstance(value, list) else value
        found = {feature.name: (feature, next(documents)) for feature in self._mapping.features}
        # A category is a text, whatever the column's type: a boolean is "true", not true.
        return {
            name: scalar_text(value, KEY_CHARACTERS) if feature.categorical else value
            for name, (feature, value) in found.items()
        } or None

"""One record in canonical shape, and the reading of a single raw row: the reference for every push-down.

`RowReader` turns the raw values of a row (as a driver returns them; texts as str or as undecoded bytes) into a
`Record` or a `Quarantined`. The order of checks is part of the contract, because a row has exactly one reason:
id, time, unit, session, model, variant, segment, input, output, votes, prediction, correction, labels, features.
Qualities come last and never make a row unreadable: one that cannot be read is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from retrainer.feedback.mapping import ANSWER_FIELDS, KEY_FIELDS, PRESENT, TEXT_FIELDS, Mapping, Path, Scale, SignalPath
from retrainer.feedback.quality import (
    BLOB,
    ID_CHARACTERS,
    KEY_CHARACTERS,
    NUMBER,
    TEXT_CHARACTERS,
    Quarantine,
    Unreadable,
    bounded,
    check_feature,
    free_text,
    read_document,
    read_quality,
    read_rating,
    read_time,
    scalar_text,
    strict_json,
)


@dataclass(frozen=True)
class Record:
    """One piece of feedback. `time` is microseconds since 1970, UTC; `unit` is never empty (see `unit_key`)."""

    id: str
    time: int
    unit: str
    identity: str
    """What a later vote must share to replace this one (see `identity_key`); unique within the unit."""
    session: str | None
    input: str | None
    output: str | None
    model: str | None
    variant: str | None
    segment: str | None
    votes: tuple[int | None, ...]
    """One per signal of the spec: 1, 0, -1; 2 where a label or correction is present; None without."""
    scores: tuple[float | None, ...] = ()
    """One per signal: the vote as a number from 0 to 1; None without, and for labels and corrections."""
    prediction: Any = None
    """A value, or a dictionary from target to value."""
    correction: Any = None
    labels: dict[str, Any] | None = None
    features: dict[str, Any] | None = None
    qualities: dict[str, float] | None = None
    """Those that can be read."""


@dataclass(frozen=True)
class Quarantined:
    """A row that cannot be read; `id` is None where not even that is readable."""

    reason: Quarantine
    field: str
    id: str | None

    @property
    def code(self) -> str:
        """Reason and field in one text, as the push-downs group by it."""
        return f"{self.reason}|{self.field}"


def unit_key(unit: str | None, session: str | None, input: str | None, id: str) -> str:
    """Who gave the feedback; without a unit the session stands in, else the input, else the record itself."""
    if unit is not None:
        return unit
    if session is not None:
        return f"session:{session}"
    if input is not None:
        return f"input:{digest(input)}"
    return f"record:{id}"


def identity_key(input: str | None, output: str | None, id: str) -> str:
    """What was voted on: input and output; the record's id where the input is unknown.

    An application that stores features instead of an input gives equal outputs to different requests of one
    user all the time; those must never supersede one another.
    """
    if input is None:
        return f"record:{id}"
    return f"{digest(input)}:{digest(output) if output is not None else ''}"


def digest(text: str) -> str:
    """MD5: a key of equality that both databases compute; nothing depends on its secrecy."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class RowReader:
    """Reads rows whose values are in the order of `mapping.all_columns`, or of as many as decide readability.

    `now` is microseconds since 1970; `expected_features` the usual number of features of this source, or None.
    """

    def __init__(self, mapping: Mapping, *, now: int, expected_features: int | None = None) -> None:
        self._mapping = mapping
        self._now = now
        self._expected = expected_features
        self._columns = mapping.all_columns
        self._index = {column: i for i, column in enumerate(self._columns)}
        self._votes = [dict(s.votes) for s in mapping.signals]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row, in order."""
        return self._columns

    def read(self, row: Sequence[Any]) -> Record | Quarantined:
        """The record, or why it cannot be read; never raises for any value of a row."""
        return _Reading(self, row).read()

    def reason(self, row: Sequence[Any]) -> str | None:
        """`reason|field` of a row that cannot be read, else None."""
        read = self.read(row)
        return read.code if isinstance(read, Quarantined) else None


class _Reading:
    """The state of reading one row: which field is being read, and what was found so far."""

    def __init__(self, reader: RowReader, row: Sequence[Any]) -> None:
        self._reader = reader
        self._mapping = reader._mapping
        self._row = row
        self._field = "id"
        self._id: str | None = None

    def read(self) -> Record | Quarantined:
        try:
            return self._record()
        except Unreadable as unreadable:
            return Quarantined(unreadable.reason, self._field, self._id)

    def _record(self) -> Record:
        self._id = identifier = self._read_id()
        self._field = "time"
        time = read_time(self._value(self._mapping.time), self._reader._now)
        keys = self._optional(KEY_FIELDS, KEY_CHARACTERS)
        texts = self._optional(TEXT_FIELDS, None)
        given = [self._vote(i, s) for i, s in enumerate(self._mapping.signals)]
        answers = {name: self._answer(name) for name in ANSWER_FIELDS}
        labels = self._labels()
        features = self._features()
        return Record(
            id=identifier,
            time=time,
            unit=unit_key(keys.get("unit"), keys.get("session"), texts.get("input"), identifier),
            identity=identity_key(texts.get("input"), texts.get("output"), identifier),
            session=keys.get("session"),
            input=texts.get("input"),
            output=texts.get("output"),
            model=keys.get("model"),
            variant=keys.get("variant"),
            segment=keys.get("segment"),
            votes=_with_presence(self._mapping.signals, [v for v, _ in given], answers["correction"], labels),
            scores=tuple(score for _, score in given),
            prediction=answers["prediction"],
            correction=answers["correction"],
            labels=labels,
            features=features,
            qualities=self._qualities(),
        )

    def _read_id(self) -> str:
        text = scalar_text(self._value(self._mapping.id), ID_CHARACTERS)
        if text is None:
            raise Unreadable(Quarantine.MISSING_ID)
        return text

    def _value(self, path: Path) -> Any:
        """The raw value at a path; None where the JSON has no such key. Raises Unreadable."""
        value = self._row[self._reader._index[path.column]]
        if not path.keys:
            return value
        return descend(read_document(value), path.keys)

    def _optional(self, names: tuple[str, ...], limit: int | None) -> dict[str, str | None]:
        """Texts of the mapped fields among `names`; without a limit JSON documents are texts too."""
        found: dict[str, str | None] = {}
        for name in names:
            path = self._mapping.fields.get(name)
            if path is not None:
                self._field = name
                value = self._value(path)
                found[name] = free_text(value) if limit is None else scalar_text(value, limit)
        return found

    def _vote(self, index: int, signal: SignalPath) -> tuple[int | None, float | None]:
        """Polarity and score; both None without a vote."""
        if signal.path is None:
            return None, None
        self._field = f"signal {signal.name}"
        value = self._value(signal.path)
        if signal.scale is not None:
            number = read_rating(value)
            return (None, None) if number is None else rated(signal.scale, number)
        text = scalar_text(value, KEY_CHARACTERS)
        if text is None:
            return None, None
        vote = self._reader._votes[index].get(text)
        if vote is None:
            raise Unreadable(Quarantine.SIGNAL_OUT_OF_RANGE)
        return vote, (vote + 1) / 2

    def _qualities(self) -> dict[str, float] | None:
        found: dict[str, float] = {}
        for quality in self._mapping.qualities:
            try:
                number = read_quality(self._value(quality.path))
            except Unreadable:
                continue
            if number is not None:
                found[quality.name] = number
        return found or None

    def _answer(self, name: str) -> Any:
        path = self._mapping.fields.get(name)
        if path is None:
            return None
        self._field = name
        return answer(self._value(path))

    def _labels(self) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        for label in self._mapping.labels:
            self._field = f"label {label.name}"
            value = self._value(label.path)
            text = scalar_text(value, KEY_CHARACTERS)
            if text is None:
                continue
            if label.regression and not NUMBER.fullmatch(text):
                raise Unreadable(Quarantine.WRONG_TYPE)
            found[label.name] = text if isinstance(value, str | bytes) else value
        return found or None

    def _features(self) -> dict[str, Any] | None:
        self._field = "features"
        if self._mapping.document is not None:
            return self._document(self._value(self._mapping.document))
        found: dict[str, Any] = {}
        for feature in self._mapping.features:
            self._field = f"feature {feature.name}"
            value = self._value(feature.path)
            if feature.categorical:
                value = scalar_text(value, KEY_CHARACTERS)
            else:
                check_feature(value)
            found[feature.name] = value
        return found or None

    def _document(self, raw: Any) -> dict[str, Any] | None:
        value = read_document(raw)
        if value is None:
            return None
        if isinstance(value, list):
            value = {f"f{i}": item for i, item in enumerate(value)}
        if not isinstance(value, dict):
            raise Unreadable(Quarantine.WRONG_TYPE)
        if self._reader._expected is not None and len(value) != self._reader._expected:
            raise Unreadable(Quarantine.WRONG_FEATURE_COUNT)
        for item in value.values():
            check_feature(item)
        return value


def rated(scale: Scale, number: Decimal) -> tuple[int, float | None]:
    """Polarity and score of a rating. Raises Unreadable SignalOutOfRange."""
    if not scale.minimum <= number <= scale.maximum:
        raise Unreadable(Quarantine.SIGNAL_OUT_OF_RANGE)
    plain = bounded(number)
    return scale.vote(number), None if plain is None else scale.score(plain)


def descend(value: Any, keys: tuple[str, ...]) -> Any:
    """Follow keys into parsed JSON (a number selects from a list); None where there is nothing."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def answer(value: Any) -> Any:
    """A prediction or correction: a scalar, or the object that a text or JSON column holds; None where empty.

    Raises Unreadable: WrongType for lists and bytes, NotFinite, those of `clean_text`.
    """
    if isinstance(value, list) or value is BLOB:
        raise Unreadable(Quarantine.WRONG_TYPE)
    if isinstance(value, dict):
        return value or None
    text = scalar_text(value, TEXT_CHARACTERS)
    if text is None or not isinstance(value, str | bytes):
        return None if text is None else value
    return _object_or_text(text)


def _object_or_text(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return text
    try:
        parsed = strict_json(text)
    except Unreadable:
        return text
    return parsed or None


def _with_presence(
    signals: tuple[SignalPath, ...], given: list[int | None], correction: Any, labels: dict[str, Any] | None
) -> tuple[int | None, ...]:
    present = {"label": PRESENT if labels else None, "correction": PRESENT if correction is not None else None}
    return tuple(present.get(s.kind, vote) for s, vote in zip(signals, given, strict=True))

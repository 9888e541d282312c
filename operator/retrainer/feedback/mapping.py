"""From the spec's `record` and `signals` to paths into the columns that a source really has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from retrainer.api.v1alpha1.feedback_source import Feature, Features, FeedbackSourceSpec
from retrainer.api.v1alpha1.signals import Rating, Signal
from retrainer.feedback.errors import SchemaMismatch, nearest_name, unknown_column
from retrainer.feedback.quality import LARGEST_QUALITY

KEY_FIELDS = ("unit", "session", "model", "variant", "segment")
"""Optional fields of one short value."""
TEXT_FIELDS = ("input", "output")
"""Optional fields of free text or a JSON document."""
ANSWER_FIELDS = ("prediction", "correction")
"""Optional fields of one value, or of a JSON object from target to value."""

SignalKind = Literal["thumbs", "rating", "label", "correction"]

POSITIVE, NEUTRAL, NEGATIVE, PRESENT = 1, 0, -1, 2
"""Values of a vote; PRESENT is a label or correction, which has no polarity."""


@dataclass(frozen=True)
class Path:
    """A column, and the keys to follow inside it where it holds JSON."""

    field: str
    """Where the spec names it, for messages: record.unit."""
    column: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """What a rating's number means; without its bound there is no approval, or no disapproval."""

    minimum: Decimal
    maximum: Decimal
    positive_from: Decimal | None = None
    negative_up_to: Decimal | None = None

    def vote(self, number: Decimal) -> int:
        """1, 0 or -1 of a number on the scale."""
        if self.positive_from is not None and number >= self.positive_from:
            return POSITIVE
        if self.negative_up_to is not None and number <= self.negative_up_to:
            return NEGATIVE
        return NEUTRAL

    def score(self, number: float) -> float:
        """0 … 1 of a number on the scale; exactly 0 and 1 at its ends."""
        return (number - float(self.minimum)) / (float(self.maximum) - float(self.minimum))


@dataclass(frozen=True)
class SignalPath:
    """One signal: of thumbs, `votes` are texts to 1, 0 or -1; of a rating, `scale` says what its number means."""

    name: str
    kind: SignalKind
    path: Path | None
    votes: tuple[tuple[str, int], ...] = ()
    scale: Scale | None = None

    @property
    def approves(self) -> bool:
        """Whether a vote can mean approval."""
        return self.kind == "thumbs" or (self.scale is not None and self.scale.positive_from is not None)

    @property
    def disapproves(self) -> bool:
        """Whether a vote can mean disapproval."""
        return self.kind == "thumbs" or (self.scale is not None and self.scale.negative_up_to is not None)

    @property
    def has_polarity(self) -> bool:
        """Both: only then is positive / (positive + negative) a rate."""
        return self.approves and self.disapproves

    @property
    def has_score(self) -> bool:
        """Whether a vote is also a number from 0 to 1."""
        return self.kind in ("thumbs", "rating")


@dataclass(frozen=True)
class QualityPath:
    name: str
    path: Path


@dataclass(frozen=True)
class LabelPath:
    name: str
    path: Path
    regression: bool


@dataclass(frozen=True)
class FeaturePath:
    name: str
    path: Path
    categorical: bool


@dataclass(frozen=True)
class Mapping:
    """Where every canonical field lies in this source."""

    id: Path
    time: Path
    fields: dict[str, Path]
    """KEY_FIELDS, TEXT_FIELDS and ANSWER_FIELDS that are mapped."""
    signals: tuple[SignalPath, ...]
    labels: tuple[LabelPath, ...] = ()
    document: Path | None = None
    """Features in one JSON column."""
    features: tuple[FeaturePath, ...] = ()
    """Features in a column each."""
    qualities: tuple[QualityPath, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Distinct columns of everything but `features` and `qualities`: what decides whether a row is readable."""
        return _distinct(p.column for p in self._scalar_paths())

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """Distinct columns of `features`."""
        return _distinct(f.path.column for f in self.features)

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Distinct columns of the whole record, in the order of `columns`, `features`, `qualities`."""
        return _distinct((*self.columns, *self.feature_columns, *(q.path.column for q in self.qualities)))

    def signal(self, name: str | None) -> int:
        """Index of the named signal; of the first with polarity where no name is given.

        Raises SchemaMismatch where there is none.
        """
        for index, signal in enumerate(self.signals):
            if signal.name == name or (name is None and signal.has_polarity):
                return index
        known = ", ".join(s.name for s in self.signals)
        wanted = f'the source has no signal "{name}"' if name else "the source has no signal with polarity"
        raise SchemaMismatch(f"signals: {wanted}; it has {known}", column=name)

    def quality(self, name: str) -> int:
        """Index of the named quality. Raises SchemaMismatch where there is none."""
        for index, quality in enumerate(self.qualities):
            if quality.name == name:
                return index
        names = [q.name for q in self.qualities]
        near = nearest_name(name, names)
        hint = f'did you mean "{near}"?' if near else f"it has {', '.join(names) or 'none'}"
        raise SchemaMismatch(
            f'record.qualities: the source has no quality "{name}"; {hint}', column=name, nearest=near
        )

    def _scalar_paths(self) -> Iterator[Path]:
        yield self.id
        yield self.time
        yield from self.fields.values()
        yield from (s.path for s in self.signals if s.path is not None)
        yield from (label.path for label in self.labels)
        if self.document is not None:
            yield self.document


def resolve(spec: FeedbackSourceSpec, columns: Sequence[str]) -> Mapping:
    """Find every mapped column among those of the source. Raises SchemaMismatch naming field and nearest column."""
    find = _Finder(columns)
    record = spec.record
    fields = {
        name: find(f"record.{name}", column)
        for name in (*KEY_FIELDS, *TEXT_FIELDS, *ANSWER_FIELDS)
        if (column := getattr(record, name)) is not None
    }
    labels = tuple(
        LabelPath(x.name, find(f"record.labels[{x.name}].from", x.from_), x.type == "Regression")
        for x in record.labels or ()
    )
    qualities = tuple(
        QualityPath(q.name, find(f"record.qualities[{q.name}].from", q.from_)) for q in record.qualities or ()
    )
    return Mapping(
        qualities=qualities,
        id=find("record.id", record.id),
        time=find("record.time", record.time),
        fields=fields,
        signals=tuple(_signal(s, find) for s in spec.signals),
        labels=labels,
        document=_document(record.features, find),
        features=tuple(_feature(f, find) for f in (record.features.columns if record.features else None) or ()),
    )


class _Finder:
    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._known = frozenset(columns)

    def __call__(self, field: str, text: str) -> Path:
        """A column of that very name wins over a path into a column; the longest column name wins."""
        if text in self._known:
            return Path(field, text)
        parts = text.split(".")
        for length in range(len(parts) - 1, 0, -1):
            column = ".".join(parts[:length])
            if column in self._known and all(parts[length:]):
                return Path(field, column, tuple(parts[length:]))
        raise unknown_column(field, text if len(parts) == 1 else parts[0], self._columns)


def _signal(signal: Signal, find: _Finder) -> SignalPath:
    if signal.thumbs is not None:
        votes = dict.fromkeys(signal.thumbs.neutral or (), NEUTRAL)
        votes |= dict.fromkeys(signal.thumbs.negative, NEGATIVE)
        votes |= dict.fromkeys(signal.thumbs.positive, POSITIVE)
        return SignalPath(signal.name, "thumbs", _vote_path(signal, find), tuple(votes.items()))
    if signal.rating is not None:
        return SignalPath(signal.name, "rating", _vote_path(signal, find), scale=_scale(signal.name, signal.rating))
    return SignalPath(signal.name, "label" if signal.label is not None else "correction", None)


def _vote_path(signal: Signal, find: _Finder) -> Path:
    field = f"signals[{signal.name}].from"
    if signal.from_ is None:
        raise SchemaMismatch(f"{field}: a thumbs or rating signal needs the column of the vote")
    return find(field, signal.from_)


def _scale(name: str, rating: Rating) -> Scale:
    ends = (rating.minimum, rating.maximum)
    bounds = (rating.positive_from, rating.negative_up_to)
    minimum, maximum = (Decimal(end) for end in ends)
    if max(abs(minimum), abs(maximum)) > LARGEST_QUALITY or float(minimum) >= float(maximum):
        raise SchemaMismatch(
            f"signals[{name}].rating: minimum must be less than maximum, and both within ±{LARGEST_QUALITY:.0e}"
        )
    return Scale(minimum, maximum, *(None if bound is None else Decimal(bound) for bound in bounds))


def _document(features: Features | None, find: _Finder) -> Path | None:
    if features is None or features.from_ is None:
        return None
    return find("record.features.from", features.from_)


def _feature(feature: Feature, find: _Finder) -> FeaturePath:
    path = find(f"record.features.columns[{feature.name}].from", feature.from_)
    return FeaturePath(feature.name, path, feature.type == "Categorical")


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))

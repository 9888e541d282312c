"""Signals: what people tell us about an answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.schema import (
    Atomic,
    Column,
    Decimal,
    ItemName,
    Rule,
    SpecModel,
    exactly_one,
    validations,
)

Votes = Annotated[
    tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=16), Atomic()
]


class Thumbs(SpecModel):
    """Values that mean approval, indifference and disapproval; any other value is quarantined."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "!self.positive.exists(v, v in self.negative) && "
                "(!has(self.neutral) || !self.neutral.exists(v, v in self.positive || v in self.negative))",
                "a value can be only one of positive, neutral and negative",
            )
        )
    )

    positive: Annotated[Votes, Field(min_length=1)]
    """Values of approval."""
    neutral: Votes | None = None
    """Values of indifference."""
    negative: Annotated[Votes, Field(min_length=1)]
    """Values of disapproval."""


class Rating(SpecModel):
    """A number on a scale, for example 1 to 5 stars; values outside it are quarantined."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule("double(self.minimum) < double(self.maximum)", "minimum must be less than maximum"),
            Rule(
                "!has(self.positiveFrom) || !has(self.negativeUpTo) || "
                "double(self.negativeUpTo) < double(self.positiveFrom)",
                "negativeUpTo must be less than positiveFrom: a rating cannot be both",
            ),
        )
    )

    minimum: Decimal
    """Worst rating."""
    maximum: Decimal
    """Best rating."""
    positive_from: Decimal | None = None
    """Ratings from this on are approval; none if unset."""
    negative_up_to: Decimal | None = None
    """Ratings up to this are disapproval; none if unset."""


class LabelSignal(SpecModel):
    """The labels of the record are truths given independently of the answer."""


class CorrectionSignal(SpecModel):
    """The correction of the record says what would have been right."""


class Signal(SpecModel):
    """One thing people tell us about an answer."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            exactly_one("thumbs", "rating", "label", "correction"),
            Rule(
                "!(has(self.thumbs) || has(self.rating)) || has(self.from)",
                "a thumbs or rating signal needs `from`, the column that holds the vote",
            ),
        )
    )

    name: ItemName
    """Name of the signal; triggers and metrics refer to it."""
    from_: Annotated[Column | None, Field(alias="from")] = None
    """Column of the value."""
    thumbs: Thumbs | None = None
    """Approval or disapproval."""
    rating: Rating | None = None
    """A number on a scale."""
    label: LabelSignal | None = None
    """Independent truth (record.labels)."""
    correction: CorrectionSignal | None = None
    """Correction (record.correction)."""

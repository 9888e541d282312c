"""What an experiment compares, and where the outcomes come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from retrainer.api.v1alpha1.schema import (
    ItemName,
    ObjectRef,
    PositiveDecimal,
    Rule,
    SecretKeyRef,
    SpecModel,
    cel,
    exactly_one,
    validations,
)


class FeedbackMetricSource(SpecModel):
    """Outcomes from a FeedbackSource."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule("has(self.signal) != has(self.quality)", "set exactly one of signal and quality"),
            Rule(
                "has(self.signal) == has(self.value)",
                "value (Positive, Negative or Score) belongs to a signal, and a signal needs one",
            ),
        )
    )

    source_ref: ObjectRef
    """The FeedbackSource."""
    signal: ItemName | None = None
    """A signal of it with polarity."""
    value: Literal["Positive", "Negative", "Score"] | None = None
    """Which votes count as 1, all others as 0; or Score: the vote itself, scaled to 0 … 1 (ratings by their
    minimum and maximum; thumbs down, neutral, up as 0, ½, 1)."""
    quality: ItemName | None = None
    """A number in the source's record.qualities, taken as it is: a latency, a length, a judge's mark."""


SeriesSelector = Annotated[
    str,
    Field(min_length=1, max_length=1024),
    cel(
        "self.matches('^[a-zA-Z_:][a-zA-Z0-9_:]*([{].*[}])?$') || self.matches('^[{].*[}]$')",
        'must select the series of a counter, for example http_errors_total{app="tutor"}, without functions: '
        "each window's increase is computed from the samples",
    ),
]


class PrometheusMetricSource(SpecModel):
    """Counts from Prometheus, or anything that answers its query API."""

    url: Annotated[
        str,
        Field(min_length=1, max_length=512),
        cel(
            "self.matches('^https?://[^/@?#]+(/[^?#]*)?$')",
            "must be http(s)://host[:port][/path] without user, query or fragment, "
            "for example http://prometheus.monitoring:9090",
        ),
    ]
    """Address of the server, without /api/v1."""
    query: SeriesSelector
    """Counter of the events, or of the successes, by arm."""
    units_query: SeriesSelector | None = None
    """Counter of the requests, by arm."""
    arm_label: Annotated[
        str,
        Field(min_length=1, max_length=63),
        cel("self.matches('^[a-zA-Z_][a-zA-Z0-9_]*$')", "must be the name of a label, for example revision"),
    ] | None = None
    """Label that names the arm: its revision, digest or Service, or baseline and candidate; revision if unset."""
    token_secret_ref: SecretKeyRef | None = None
    """Secret key with a bearer token. The Secret must carry the label retrainer.dev/allow-operator: "true" and the
    annotation retrainer.dev/allowed-hosts."""


class MetricSource(SpecModel):
    """Where outcomes come from; exactly one."""

    model_config = ConfigDict(json_schema_extra=validations(exactly_one("feedback", "prometheus")))

    feedback: FeedbackMetricSource | None = None
    """A FeedbackSource."""
    prometheus: PrometheusMetricSource | None = None
    """Prometheus."""


class Metric(SpecModel):
    """One thing that is compared."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            Rule(
                "self.role != 'Guardrail' || has(self.margin)",
                'a Guardrail needs a margin, the harm that would be tolerated, for example "0.02"',
            ),
            Rule(
                "self.role != 'Primary' || !has(self.margin)",
                "margin belongs to a Guardrail; the primary metric uses minimumDetectableEffect",
            ),
            Rule(
                "self.goal != 'Decrease' || !has(self.missing) || self.missing != 'Zero'",
                "missing: Zero with goal Decrease would reward suppressing feedback; use Exclude",
            ),
            Rule(
                "!has(self.kind) || self.kind != 'Events' || has(self.source.prometheus)",
                "kind: Events needs source.prometheus: a FeedbackSource knows every unit, not only the events",
            ),
            Rule(
                "has(self.kind) == has(self.source.prometheus)",
                "a metric from Prometheus needs its kind, Events or Proportion; one from a FeedbackSource has none",
            ),
            Rule(
                "!has(self.kind) || self.kind != 'Events' || (self.role == 'Guardrail' && self.goal == 'Decrease')",
                "kind: Events can only be a Guardrail with goal Decrease: it counts what should not happen",
            ),
            Rule(
                "!has(self.kind) || self.kind != 'Proportion' || !has(self.source.prometheus) || "
                "has(self.source.prometheus.unitsQuery)",
                "kind: Proportion needs source.prometheus.unitsQuery, the counter of all requests",
            ),
            Rule(
                "!has(self.missing) || (has(self.source.feedback) && has(self.source.feedback.signal))",
                "missing belongs to a signal of a FeedbackSource",
            ),
            Rule(
                "!has(self.margin) || double(self.margin) <= 1.0 || (has(self.kind) && self.kind == 'Events') || "
                "(has(self.source.feedback) && has(self.source.feedback.quality))",
                "margin must be at most 1 here: the metric lies between 0 and 1",
            ),
        )
    )

    name: ItemName
    """Name of the metric."""
    role: Literal["Primary", "Guardrail"]
    """Primary decides; a Guardrail must not get worse."""
    goal: Literal["Increase", "Decrease"]
    """Which direction is better."""
    margin: PositiveDecimal | None = None
    """Guardrail: the harm that would be tolerated, in units of the metric; with kind Events relative to the
    baseline, "0.5" for half as many again."""
    kind: Literal["Events", "Proportion"] | None = None
    """From Prometheus: events of which only counts are known, or successes among requests."""
    source: MetricSource
    """Where outcomes come from."""
    missing: Literal["Exclude", "Zero"] | None = None
    """Units without feedback: left out, or counted as 0; Exclude if unset."""

"""What an experiment's FeedbackSources must offer, and what they tell before the start. Pure.

Sources are the objects as the API server has them, by name; those that do not exist are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from retrainer.ab_experiment.config import unit_of
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.metrics import FeedbackMetricSource, Metric
from retrainer.feedback.errors import nearest_name
from retrainer.feedback.polarity import BOUNDS, values_of
from retrainer.plan import Object

Sources = Mapping[str, Object]


def source_names(obj: Object) -> tuple[str, ...]:
    """The FeedbackSources that the experiment's metrics name; their order is that of the names."""
    references = ((m["source"].get("feedback") or {}).get("sourceRef") or {} for m in obj["spec"]["metrics"])
    return tuple(sorted({r["name"] for r in references if r}))


def misfit(spec: ABExperimentSpec, sources: Sources) -> str | None:
    """The first source, signal or quality that does not exist or does not fit, with the remedy."""
    for metric in spec.metrics:
        problem = _misfit(spec, metric, sources)
        if problem:
            return f"{problem} (metric {metric.name})"
    return None


def _misfit(spec: ABExperimentSpec, metric: Metric, sources: Sources) -> str | None:
    wanted = metric.source.feedback
    if wanted is None:
        return None
    name = wanted.source_ref.name
    if name not in sources:
        return f"FeedbackSource {name} does not exist; create it or name another"
    source = sources[name]["spec"]
    record = source["record"]
    if not (record.get("model") or record.get("variant")):
        return (
            f"FeedbackSource {name} maps neither record.model nor record.variant: outcomes cannot be attributed to "
            "the arms; map the column that says which model answered"
        )
    if unit_of(spec) == "User" and not record.get("unit"):
        return f"FeedbackSource {name} maps no record.unit, so users cannot be told apart; map it or use unit: Request"
    if wanted.quality is not None:
        known = [q["name"] for q in record.get("qualities") or ()]
        return None if wanted.quality in known else _unknown(name, "quality", wanted.quality, known)
    return _signal_misfit(name, wanted, source["signals"])


def _signal_misfit(name: str, wanted: FeedbackMetricSource, signals: Sequence[Mapping[str, Any]]) -> str | None:
    known = {s["name"]: s for s in signals}
    if wanted.signal not in known:
        return _unknown(name, "signal", str(wanted.signal), [s for s, given in known.items() if values_of(given)])
    given = known[wanted.signal]
    if wanted.value in values_of(given):
        return None
    if "rating" not in given:
        return f"FeedbackSource {name}: signal {wanted.signal} has no votes; a metric needs thumbs or a rating"
    bound = BOUNDS[str(wanted.value)]
    return f"FeedbackSource {name}: signal {wanted.signal} has no value {wanted.value}; set its rating.{bound}"


def _unknown(source: str, what: str, name: str, known: Sequence[str]) -> str:
    near = nearest_name(name, known)
    hint = f"did you mean {near}?" if near else f"it has: {', '.join(known) or 'none'}"
    return f"FeedbackSource {source} has no {what} {name}; {hint}"


def planned(spec: ABExperimentSpec, sources: Sources) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and variance of each metric's outcome so far, by metric, as far as the sources' counts tell them.

    Of ratings only the votes are counted, of qualities nothing; and the variance between users is not known.
    """
    means: dict[str, float] = {}
    variances: dict[str, float] = {}
    for metric in spec.metrics:
        shares = _shares(metric, sources)
        if shares is not None:
            mean = sum(y * share for y, share in shares)
            means[metric.name] = mean
            variance = sum(share * (y - mean) ** 2 for y, share in shares)
            if unit_of(spec) == "Request" and variance > 0:
                variances[metric.name] = variance
    return means, variances


def _shares(metric: Metric, sources: Sources) -> tuple[tuple[float, float], ...] | None:
    """Each value of the outcome, and its share of the votes; None where they are not known."""
    wanted = metric.source.feedback
    if wanted is None or wanted.signal is None:
        return None
    source = sources.get(wanted.source_ref.name) or {}
    counts = _named_entry((source.get("status") or {}).get("signals"), wanted.signal)
    signal = _named_entry((source.get("spec") or {}).get("signals"), wanted.signal)
    total = int(counts.get("total") or 0)
    if not total or (wanted.value == "Score" and "thumbs" not in signal):
        return None
    values = {"Positive": (1.0, 0.0, 0.0), "Negative": (0.0, 0.0, 1.0), "Score": (1.0, 0.5, 0.0)}[str(wanted.value)]
    known = (int(counts.get(key) or 0) / total for key in ("positive", "neutral", "negative"))
    return tuple(zip(values, known, strict=True))


def _named_entry(entries: Sequence[Mapping[str, Any]] | None, name: str) -> Mapping[str, Any]:
    return next((e for e in entries or () if e["name"] == name), {})

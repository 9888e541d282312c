"""Numbers for people: decimal strings of sensible length, and the sentences that carry them."""

from __future__ import annotations

import math

from retrainer.statistics.metric import MetricPlan
from retrainer.statistics.verdicts import Finding

_LARGEST_EXPONENT = 99
_LARGEST_PLAIN_EXPONENT = 9


def decimal(value: float, digits: int = 4) -> str:
    """A decimal string with so many significant digits, at most nine after the point; an exponent only from 10⁹ on,
    where the API server would not accept more digits."""
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent >= _LARGEST_PLAIN_EXPONENT:
        exponent = min(exponent, _LARGEST_EXPONENT)
        mantissa = max(-9.999, min(value / 10.0**exponent, 9.999))
        return f"{decimal(mantissa, digits)}e{exponent}"
    places = min(max(digits - 1 - exponent, 0), 9)
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def signed(value: float, digits: int = 4) -> str:
    """The decimal string, with its sign where it is above 0."""
    text = decimal(value, digits)
    return f"+{text}" if value > 0 and text != "0" else text


def change(value: float) -> str:
    """A relative change for people: 0.123 → "+12 %"."""
    places = 0 if abs(value) >= 0.0995 else 1
    return f"{value * 100:+.{places}f} %"


def optional(value: float | None) -> str | None:
    """The decimal string, or None for what is not known."""
    return None if value is None or not math.isfinite(value) else decimal(value)


def e_value(log_evidence: float) -> str:
    """An e-value, from its logarithm, as a decimal string; large and small ones with an exponent."""
    if log_evidence == -math.inf:
        return "0"
    exponent = math.floor(log_evidence / math.log(10))
    if abs(exponent) < 6:
        return decimal(math.exp(log_evidence))
    if exponent > _LARGEST_EXPONENT:
        return f"9.99e{_LARGEST_EXPONENT}"
    if exponent < -_LARGEST_EXPONENT:
        return "0"
    mantissa = math.exp(log_evidence - exponent * math.log(10))
    return f"{decimal(mantissa, 3)}e{exponent}"


def percent(share: float) -> str:
    """A share as per cent, one place: 0.1023 → "10.2 %"."""
    return f"{share * 100:.1f} %"


def interval(plan: MetricPlan, finding: Finding) -> str | None:
    """Both ends: "[+0.1044, +0.2513]", of events "[-3 %, +30 %]"; None while there is none."""
    if plan.scale == "Events":
        if finding.lower is None:
            return None
        upper = "∞" if finding.upper is None else change(finding.upper)
        return f"[{change(finding.lower)}, {upper}]"
    if finding.lower is None or finding.upper is None:
        return None
    return f"[{signed(finding.lower)}, {signed(finding.upper)}]"


def effect(plan: MetricPlan, finding: Finding) -> str:
    """One metric in a clause: "likes +0.1712 [+0.1141, +0.2321], e-value 3.7e12, 1,650 units"."""
    if finding.estimate is None and not finding.units:
        return f"{plan.name}: no {'events' if plan.scale == 'Events' else 'outcomes'} yet"
    ends = interval(plan, finding)
    shown = "unknown" if finding.estimate is None else _estimate(plan, finding.estimate)
    evidence = f"e-value {e_value(finding.log_evidence)}, {finding.units:,} units"
    return f"{plan.name} {shown}{f' {ends}' if ends else ''}, {evidence}"


def _estimate(plan: MetricPlan, value: float) -> str:
    return change(value) if plan.scale == "Events" else signed(value)

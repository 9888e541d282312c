"""Numbers for people: decimal strings of sensible length, and the sentences that carry them."""

from __future__ import annotations

import math

from retrainer.statistics.verdicts import Finding

_LARGEST_EXPONENT = 99


def decimal(value: float, digits: int = 4) -> str:
    """A decimal string with so many significant digits and no exponent; at most nine after the point."""
    if value == 0:
        return "0"
    places = min(max(digits - 1 - math.floor(math.log10(abs(value))), 0), 9)
    text = f"{value:.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


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


def effect(name: str, finding: Finding) -> str:
    """One metric in a clause: "likes +0.1712 [0.1141, 0.2321], e-value 3.7e12, 1,650 units"."""
    if finding.estimate is None:
        return f"{name}: no outcomes yet"
    signed = ("+" if finding.estimate > 0 else "") + decimal(finding.estimate)
    interval = ""
    if finding.lower is not None and finding.upper is not None:
        interval = f" [{decimal(finding.lower)}, {decimal(finding.upper)}]"
    return f"{name} {signed}{interval}, e-value {e_value(finding.log_evidence)}, {finding.units:,} units"

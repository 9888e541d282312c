"""One look at an experiment: what was known after a window, and what the rules made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrainer.statistics.sample_ratio import Split
from retrainer.statistics.verdicts import Finding

_LARGEST_LOG = 690.0
"""ln of about 1e299: an e-value beyond it is shown as that, since JSON knows no infinity."""


@dataclass(frozen=True)
class Verdict:
    """How the experiment ended."""

    verdict: str
    reason: str


@dataclass(frozen=True)
class Look:
    """After window `window` (from `start` to `end`, seconds since the epoch or since the start), all windows so
    far taken together; `findings` by metric, the primary first; `units_needed` as far as the plan knew by then.
    `decision` stays from the look that made it."""

    window: int
    start: float
    end: float
    weight_percent: int
    findings: Mapping[str, Finding]
    split: Split
    units_needed: int
    decision: Verdict | None

    def to_json(self) -> dict[str, Any]:
        """The line that `replay` prints; what is not known (yet) is null."""
        return {
            "window": self.window,
            "weightPercent": self.weight_percent,
            "effects": [_effect(name, finding) for name, finding in self.findings.items()],
            "sampleRatio": sample_ratio(self.split),
            "decision": None
            if self.decision is None
            else {"verdict": self.decision.verdict, "reason": self.decision.reason},
        }


def _effect(name: str, finding: Finding) -> dict[str, Any]:
    return {
        "metric": name,
        "estimate": _finite(finding.estimate),
        "lower": _finite(finding.lower),
        "upper": _finite(finding.upper),
        "evidence": e_value(finding.log_evidence),
        "verdict": finding.verdict,
    }


def sample_ratio(split: Split) -> dict[str, Any]:
    """Candidate's share asked for and seen, the e-value against that, and whether it is below the alarm."""
    return {
        "expected": _finite(split.expected),
        "observed": _finite(split.observed),
        "evidence": e_value(split.log_evidence()),
        "ok": split.ok,
    }


def e_value(log_evidence: float) -> float:
    """The e-value of a logarithm, cut at about 1e299."""
    return math.exp(min(log_evidence, _LARGEST_LOG))


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value

"""Formula 1: overlap-weighted, design-based confidence sequence, valid whatever weight and base rate do.

Score: Ham, Bojinov, Lindon, Tingley, "Design-based confidence sequences" (arXiv 2210.08639), with the
treatment indicator centred at its known probability. Boundary: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences" (arXiv 2103.06476), theorem 2.2
(two-sided) and its one-sided form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from retrainer.statistics.sums import ArmSums

BURN_IN_UNITS = 500
"""Units per arm before the asymptotic boundary is trusted."""
BURN_IN_EVENTS = 50
"""Events, and non-events, per arm before the asymptotic boundary is trusted."""


@dataclass(frozen=True)
class Score:
    """A sum of scores: `u` Σx, `v` Σx² (its variance), `h` the overlap; its expectation is effect · h."""

    u: float = 0.0
    v: float = 0.0
    h: float = 0.0

    def __add__(self, other: Score) -> Score:
        return Score(self.u + other.u, self.v + other.v, self.h + other.h)

    @property
    def estimate(self) -> float:
        """Overlap-weighted mean effect Σu/Σh; NaN without overlap."""
        return self.u / self.h if self.h > 0 else math.nan


def window_score(candidate: ArmSums, baseline: ArmSums, weight: float, mean: float) -> Score:
    """Score of one window with x = (Z − w)(Y − m): `weight` w in (0, 1), `mean` m known before the window."""
    if not 0 < weight < 1:
        raise ValueError(f"weight must lie strictly between 0 and 1, not {weight}")
    u = (1 - weight) * (candidate.total - mean * candidate.n) - weight * (baseline.total - mean * baseline.n)
    v = (1 - weight) ** 2 * _squares_about(candidate, mean) + weight**2 * _squares_about(baseline, mean)
    return Score(u, v, (candidate.n + baseline.n) * weight * (1 - weight))


def _squares_about(arm: ArmSums, mean: float) -> float:
    return arm.squares - 2 * mean * arm.total + mean**2 * arm.n


def tuning(alpha: float, planned_variance: float) -> float:
    """η², which makes the boundary narrowest when Σx² is `planned_variance` (2103.06476, equation 11)."""
    if not 0 < alpha < 1 or not planned_variance > 0:
        raise ValueError(f"need 0 < alpha < 1 and a positive planned variance: {alpha}, {planned_variance}")
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned_variance


def two_sided_boundary(variance: float, eta_squared: float, alpha: float) -> float:
    """Bound on |Σx| that is crossed with probability `alpha` at most, at any time (theorem 2.2)."""
    spread = variance * eta_squared + 1
    return math.sqrt(2 * spread / eta_squared * math.log(math.sqrt(spread) / alpha))


def one_sided_boundary(variance: float, eta_squared: float, alpha: float) -> float:
    """Bound on Σx that is crossed upwards with probability `alpha` at most, at any time."""
    spread = variance * eta_squared + 1
    return math.sqrt(2 * spread / eta_squared * math.log1p(math.sqrt(spread) / (2 * alpha)))


def half_width(score: Score, alpha: float, planned_variance: float) -> float:
    """Distance from the estimate to a one-sided confidence bound at `alpha`; infinite without overlap."""
    if score.h <= 0:
        return math.inf
    return one_sided_boundary(score.v, tuning(alpha, planned_variance), alpha) / score.h


def log_evidence(score: Score, effect: float, alpha: float, planned_variance: float) -> float:
    """ln of the e-value against "the effect is at most `effect`": at least −ln α exactly when the one-sided
    bound at `alpha` lies above `effect` (the boundary solved for α); −inf where the estimate is not above."""
    excess = score.u - effect * score.h
    if excess <= 0:
        return -math.inf
    eta_squared = tuning(alpha, planned_variance)
    spread = score.v * eta_squared + 1
    exponent = excess**2 * eta_squared / (2 * spread)
    # ln(e^x − 1), without overflow for large x.
    growth = exponent + math.log(-math.expm1(-exponent)) if exponent > 0 else -math.inf
    return math.log(2) + growth - math.log(spread) / 2


def log_mixture_evidence(score: Score, effect: float, alpha: float, planned_variance: float) -> float:
    """ln of the half-normal mixture E = 2/√(Vη²+1) · exp(S²η²/(2(Vη²+1))) · Φ(Sη/√(Vη²+1)), S = Σu − `effect`·Σh,
    against "the effect is at most `effect`": ∫ exp(λS − λ²V/2) over λ > 0, λ² of mean η² (Robbins, "Statistical
    methods related to the law of the iterated logarithm", 1970; one-sided form: Howard, Ramdas, McAuliffe, Sekhon,
    arXiv 1810.08240, proposition 6). Unlike `log_evidence` it is 0 at the start, so it may be multiplied."""
    eta_squared = tuning(alpha, planned_variance)
    spread = score.v * eta_squared + 1
    standardised = (score.u - effect * score.h) * math.sqrt(eta_squared / spread)
    return _log_two_phi_over_density(standardised) - math.log(spread) / 2


def _log_two_phi_over_density(x: float) -> float:
    """ln(2 Φ(x) exp(x²/2)), also where Φ(x) is below the smallest float."""
    if x > -12:
        return x * x / 2 + math.log(math.erfc(-x / math.sqrt(2)))
    return math.log(math.sqrt(2 / math.pi) / -x) + math.log1p(-1 / x**2 + 3 / x**4)


def many_units(candidate: ArmSums, baseline: ArmSums) -> bool:
    """Whether both arms have enough units for the asymptotics of outcomes without bounds."""
    return candidate.n >= BURN_IN_UNITS and baseline.n >= BURN_IN_UNITS


def burnt_in(candidate: ArmSums, baseline: ArmSums) -> bool:
    """Whether both arms of outcomes in [0, 1] have enough units, events and non-events for the asymptotics."""
    return many_units(candidate, baseline) and all(
        arm.total >= BURN_IN_EVENTS and arm.n - arm.total >= BURN_IN_EVENTS for arm in (candidate, baseline)
    )

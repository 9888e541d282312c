"""Formula 5: Mantel–Haenszel score, for outcomes whose split is not known because some are missing.

Mantel & Haenszel, "Statistical aspects of the analysis of data from retrospective studies of disease" (1959),
the stratified score test. Given a stratum's margins its expectation under equal arms is 0 whatever the weight
and the response rates were. Its sums go into the boundary of formula 1.
"""

from __future__ import annotations

from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums

MINIMUM_STRATUM = 50
"""Windows of one weight are merged until they hold as many units."""


def stratum_score(candidate: ArmSums, baseline: ArmSums) -> Score:
    """Score of one stratum of a binary metric: U = y₁ − n₁y/n, V hypergeometric, H = n₁n₀/n."""
    n1, n0 = candidate.n, baseline.n
    n, y = n1 + n0, candidate.total + baseline.total
    if n < 2 or n1 == 0 or n0 == 0:
        return Score()
    variance = n1 * n0 * y * (n - y) / (n**2 * (n - 1))
    return Score(candidate.total - n1 * y / n, variance, n1 * n0 / n)

"""Formula 5: Mantel–Haenszel score, for outcomes whose split is not known because some are missing.

Mantel & Haenszel, "Statistical aspects of the analysis of data from retrospective studies of disease" (1959),
the stratified score test; for outcomes that are not 0 or 1 the mean score test with the permutation variance
(Landis, Heyman, Koch, "Average partial association in three-way contingency tables", 1978). Given a stratum's
margins the score's expectation under equal arms is 0 whatever the weight and the response rates were.
"""

from __future__ import annotations

from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums

MINIMUM_STRATUM = 50
"""Windows of one weight are merged until they hold as many units."""


def stratum_score(candidate: ArmSums, baseline: ArmSums) -> Score:
    """Score of one stratum: U = Σy₁ − n₁ȳ, V = n₁n₀ Σ(y−ȳ)²/(n(n−1)), H = n₁n₀/n; U/H is the difference of means.

    For outcomes 0 or 1 the variance is the hypergeometric n₁n₀y(n−y)/(n²(n−1)).
    """
    n1, n0 = candidate.n, baseline.n
    n, y = n1 + n0, candidate.total + baseline.total
    if n < 2 or n1 == 0 or n0 == 0:
        return Score()
    variance = n1 * n0 * (candidate + baseline).squares_about_mean / (n * (n - 1))
    return Score(candidate.total - n1 * y / n, variance, n1 * n0 / n)

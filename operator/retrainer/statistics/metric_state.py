"""What the windows of a metric add up to: O(1) in size, and exact through JSON."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from retrainer.statistics import mantel_haenszel
from retrainer.statistics.overlap import Score
from retrainer.statistics.sums import ArmSums

Stratum = tuple[float, ArmSums, ArmSums]
"""Weight and sums (candidate, baseline) of the stratum that is still being merged."""


@dataclass(frozen=True)
class MetricState:
    """Everything later windows need to know about the earlier ones, turned so that larger is better
    (except events, which are counted as they are).

    Vectors are little-endian doubles as bytes, b"" before the first window: `capital` ln of the capital of
    (66 nulls, 7 bets), all δ of the grid with sign + and then all with sign −; `response` the same for (2, 7);
    `ratios` ln likelihood on `rate_ratio.nodes`.
    """

    candidate: ArmSums = ArmSums()
    baseline: ArmSums = ArmSums()
    overlap: Score = Score()
    """Sum over the windows that formula 1 scored."""
    strata: Score = Score()
    stratum: Stratum | None = None
    stratified: tuple[ArmSums, ArmSums] = (ArmSums(), ArmSums())
    """Sums of the windows that formula 5 scored."""
    tuned: float | None = None
    """Variance of y seen in the first outcomes, of an unbounded metric that had none planned."""
    capital: bytes = b""
    response: bytes = b""
    ratios: bytes = b""
    rates: tuple[float, float] = (0.0, 0.0)
    """Numerator and denominator of the stratified rate ratio."""

    @property
    def units(self) -> int:
        """Units with an outcome, both arms."""
        return self.candidate.n + self.baseline.n

    @property
    def missing(self) -> int:
        """Units without an outcome, both arms."""
        return self.candidate.missing + self.baseline.missing

    @property
    def bet_upon(self) -> int:
        """Units with an outcome in the windows before formula 5 took over, both arms."""
        return self.units - self.stratified[0].n - self.stratified[1].n

    @property
    def mantel_haenszel(self) -> Score:
        """Score over all strata, the unfinished one included."""
        if self.stratum is None:
            return self.strata
        return self.strata + mantel_haenszel.stratum_score(self.stratum[1], self.stratum[2])

    @property
    def score(self) -> Score:
        """Score over all windows, each scored by the formula in charge at its time."""
        return self.overlap + self.mantel_haenszel


def state_to_json(state: MetricState) -> dict[str, Any]:
    """The state as plain JSON, under 8 KB; floats survive the round trip bit for bit."""
    stratum = state.stratum
    return {
        "candidate": state.candidate.to_json(),
        "baseline": state.baseline.to_json(),
        "overlap": [state.overlap.u, state.overlap.v, state.overlap.h],
        "strata": [state.strata.u, state.strata.v, state.strata.h],
        "stratum": None if stratum is None else [stratum[0], stratum[1].to_json(), stratum[2].to_json()],
        "stratified": [arm.to_json() for arm in state.stratified],
        "tuned": state.tuned,
        "capital": _text(state.capital),
        "response": _text(state.response),
        "ratios": _text(state.ratios),
        "rates": list(state.rates),
    }


def state_from_json(data: dict[str, Any]) -> MetricState:
    """Inverse of `state_to_json`; raises KeyError, TypeError or ValueError for anything else."""
    stratum, tuned = data["stratum"], data["tuned"]
    candidate, baseline = data["stratified"]
    numerator, denominator = data["rates"]
    return MetricState(
        candidate=ArmSums.from_json(data["candidate"]),
        baseline=ArmSums.from_json(data["baseline"]),
        overlap=Score(*(float(x) for x in data["overlap"])),
        strata=Score(*(float(x) for x in data["strata"])),
        stratum=stratum and (float(stratum[0]), ArmSums.from_json(stratum[1]), ArmSums.from_json(stratum[2])),
        stratified=(ArmSums.from_json(candidate), ArmSums.from_json(baseline)),
        tuned=None if tuned is None else float(tuned),
        capital=_doubles(data["capital"]),
        response=_doubles(data["response"]),
        ratios=_doubles(data["ratios"]),
        rates=(float(numerator), float(denominator)),
    )


def _text(vector: bytes) -> str:
    return base64.b64encode(vector).decode("ascii")


def _doubles(text: str) -> bytes:
    vector = base64.b64decode(text, validate=True)
    if len(vector) % 8:
        raise ValueError("a vector is cut off")
    return vector

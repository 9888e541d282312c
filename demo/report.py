"""The end of the story in numbers: like rates before and after, the verdict with its interval, the timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from demo.database import Votes
from demo.kube import Object
from demo.record import candidate_revision
from demo.sight import Sight


@dataclass(frozen=True)
class Verdict:
    """The decision of an experiment and the evidence at that moment."""

    experiment: str
    verdict: str
    reason: str
    message: str
    candidate: int
    estimate: float | None
    lower: float | None
    upper: float | None
    units: int

    @property
    def interval_text(self) -> str:
        """Effect and interval in percentage points."""
        if self.estimate is None or self.lower is None or self.upper is None:
            return "no effect could be measured"
        values = (100 * x for x in (self.estimate, self.lower, self.upper))
        return "{:+.1f} points, interval {:+.1f} to {:+.1f}".format(*values).replace("-", "−")


def verdict_of(experiment: Object) -> Verdict | None:
    """None while there is no decision."""
    status = experiment.get("status") or {}
    decision = status.get("decision")
    if not decision:
        return None
    effect = (status.get("effects") or [{}])[0]
    estimate, lower, upper = (_number(effect.get(k)) for k in ("estimate", "lower", "upper"))
    return Verdict(
        experiment=experiment["metadata"]["name"],
        verdict=decision["verdict"],
        reason=decision["reason"],
        message=decision["message"],
        candidate=candidate_revision(experiment),
        estimate=estimate,
        lower=lower,
        upper=upper,
        units=int(effect.get("units") or 0),
    )


def rate_line(name: str, votes: Votes) -> str:
    """Like rate with its 95 % interval."""
    if not votes.total:
        return f"{name}: no votes"
    low, high = votes.interval
    return f"{name}: {votes.rate:.1%} of {votes.total} votes are likes (95 % interval {low:.1%} to {high:.1%})"


def broken_promises(promises: Iterable[tuple[bool, str]]) -> list[str]:
    """The sentences of those that do not hold."""
    return [sentence for holds, sentence in promises if not holds]


def promote_promises(sight: Sight, verdict: Verdict | None, before: Votes, after: Votes) -> list[tuple[bool, str]]:
    """What must hold at the end of the story `promote`, each as a sentence that says what is wrong."""
    champion = ((sight.policy.get("status") or {}).get("champion") or {}).get("revision")
    said = verdict.verdict if verdict else "none"
    lower = verdict.lower if verdict and verdict.lower is not None else float("-inf")
    return [
        (said == "PromoteCandidate", f"the verdict is {said}, not PromoteCandidate"),
        (lower > 0, "the interval of the effect does not exclude 0"),
        (champion == 2, f"the champion is revision {champion}, not 2"),
        (sight.shares == {2: 100}, f"the route carries {sight.shares}, not revision 2 alone"),
        (after.rate > before.rate, f"the like rate went from {before.rate:.3f} to {after.rate:.3f}"),
    ]


def baseline_promises(
    sight: Sight, verdict: Verdict | None, gates_failed: bool, late: int
) -> list[tuple[bool, str]]:
    """What must hold at the end of the story `bad-candidate`; `late` votes on the candidate came after its end."""
    champion = ((sight.policy.get("status") or {}).get("champion") or {}).get("revision")
    said = verdict.verdict if verdict else "none"
    return [
        (gates_failed, "the first candidate was not stopped at a gate"),
        (said == "KeepBaseline", f"the verdict is {said}, not KeepBaseline"),
        (bool(verdict and verdict.reason), "the verdict gives no reason"),
        (champion == 1, f"the champion is revision {champion}, not 1"),
        (sight.shares == {1: 100}, f"the route carries {sight.shares}, not revision 1 alone"),
        (late == 0, f"{late} requests still reached the candidate after it had lost"),
    ]


def timeline_lines(timeline: Sequence[tuple[float, str]]) -> list[str]:
    """One line per milestone, with the seconds since the start and since the one before."""
    lines = []
    previous = 0.0
    for seconds, text in timeline:
        lines.append(f"{seconds:7.1f} s  (+{seconds - previous:5.1f})  {text}")
        previous = seconds
    return lines


def complaints(sight: Sight) -> list[str]:
    """For a story that got stuck: every condition of every object, most of them say why."""
    lines = []
    for kind in sight.tables:
        for obj in sight.all(kind):
            lines.append(f"{kind} {obj['metadata']['name']}")
            lines.extend(_condition_lines(obj))
    return lines


def _condition_lines(obj: Object) -> list[str]:
    conditions = (obj.get("status") or {}).get("conditions") or []
    if not conditions:
        return ["  no conditions: the operator has not looked at it"]
    return [f"  {c['type']}={c['status']} {c['reason']}: {c.get('message', '')}" for c in conditions]


def _number(text: object) -> float | None:
    return None if text is None else float(str(text))

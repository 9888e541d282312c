"""What is known of divided traffic: the arms' shares, and whether everybody who divides it has taken them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Arm = Literal["baseline", "candidate"]
ARMS: tuple[Arm, Arm] = ("baseline", "candidate")


@dataclass(frozen=True)
class RouteState:
    """What one object, or several together, make of the traffic.

    `weights` are the arms' shares in per cent, arms of weight 0 left out; empty where they are not whole, not
    known or not ours. `accepted` and `resolved`: whoever divides the traffic has taken the object up, and found
    what it names. `refused` tells a refusal of this very generation from one that has not looked yet.
    `message` says in a sentence what is missing, or what is carried. `revisions` names what answers, by arm,
    where the provider tells (an InferenceService's revisions).
    """

    weights: Mapping[Arm, int] = field(default_factory=dict)
    accepted: bool = False
    resolved: bool = False
    refused: bool = False
    message: str = ""
    revisions: Mapping[Arm, str] = field(default_factory=dict)

    def carries(self, weight: int) -> bool:
        """Whether the candidate gets exactly `weight` per cent and the baseline the rest, as far as is known."""
        return self.accepted and self.resolved and dict(self.weights) == shares(weight)


def shares(weight: int) -> dict[Arm, int]:
    """The arms' shares in per cent at a candidate weight; an arm without a share is left out.

    Raises ValueError unless 0 ≤ weight ≤ 100.
    """
    if not 0 <= weight <= 100:
        raise ValueError(f"a weight is a percentage, not {weight}")
    both: tuple[tuple[Arm, int], ...] = (("baseline", 100 - weight), ("candidate", weight))
    return {arm: share for arm, share in both if share}


def described(weights: Mapping[Arm, int]) -> str:
    """The shares for people: "90 % baseline, 10 % candidate"."""
    return ", ".join(f"{weights[arm]} % {arm}" for arm in ARMS if arm in weights) or "no traffic of ours"


def together(states: tuple[RouteState, ...]) -> RouteState:
    """What several objects carry together: the weights only if they agree, the first complaint if one has any.

    Raises ValueError for no state at all.
    """
    if not states:
        raise ValueError("nothing carries the traffic")
    first = states[0]
    agreed = all(dict(s.weights) == dict(first.weights) for s in states)
    open_ = [s for s in states if not (s.accepted and s.resolved)]
    said = min(open_, key=lambda s: not s.refused) if open_ else first
    message = said.message if open_ or agreed else "; ".join(s.message for s in states)
    return RouteState(
        weights=first.weights if agreed else {},
        accepted=all(s.accepted for s in states),
        resolved=all(s.resolved for s in states),
        refused=any(s.refused for s in states),
        message=message,
        revisions=first.revisions,
    )

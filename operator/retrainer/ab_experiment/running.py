"""One pass over a running experiment: requests, route, arms, windows, rules; each step adds lines to a draft."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from retrainer.ab_experiment.clock import Moment
from retrainer.ab_experiment.counting import Circumstances, count_window, effects_in_words, is_due, judge, pending
from retrainer.ab_experiment.input import ExperimentInput
from retrainer.ab_experiment.ledger import Ledger, append
from retrainer.ab_experiment.rules import Outcome
from retrainer.ab_experiment.state import iso
from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason as Reason
from retrainer.conditions import truncate
from retrainer.plan import Event
from retrainer.requests import pending_request, refused_request
from retrainer.routing.provider import Routing
from retrainer.routing.state import RouteState

ACTIONS = frozenset({"promote", "abort", "pause", "resume"})
_LONGEST_MESSAGE = 1000
"""Characters of a verdict's message; the API server accepts a few more."""


@dataclass(frozen=True)
class Draft:
    """What this pass has made of the ledger so far, and what it will tell."""

    ledger: Ledger
    paused: bool
    outcome: Outcome
    events: tuple[Event, ...] = ()

    @property
    def decided(self) -> bool:
        """Whether the verdict is in."""
        return self.ledger.state.decision is not None


@dataclass(frozen=True)
class Scene:
    """What the steps look at; lines bear the time of `moment`, conditions that of `now`."""

    seen: ExperimentInput
    spec: ABExperimentSpec
    routing: Routing
    moment: Moment
    now: datetime

    @property
    def at(self) -> str:
        """The time of this pass, for a line."""
        return iso(self.moment.at)

    @cached_property
    def route(self) -> RouteState:
        """What carries the weights, and which."""
        return self.routing.observe(self.seen.routed)

    @property
    def in_force(self) -> int:
        """The weight that the status bears."""
        return (self.seen.obj.get("status") or {}).get("weightPercent") or 0

    @property
    def arms(self) -> str | None:
        """What is wrong with the arms."""
        return arms_problem(self.seen)

    @property
    def source(self) -> str | None:
        """What is wrong with the outcomes' source or another reference."""
        problem = self.seen.missing or self.seen.source_problem
        return f"outcomes cannot be read, the weight is held: {problem}" if problem else None


Step = Callable[[Draft, Scene], Draft]


def pass_over(draft: Draft, scene: Scene) -> Draft:
    """The draft after all steps; once there is a verdict nothing is added to it."""
    for step in (_handle_request, _follow_route, _guard_arms, _count_windows, _judge_now):
        if not draft.decided:
            draft = step(draft, scene)
    return draft


def arms_problem(seen: ExperimentInput) -> str | None:
    """Why traffic cannot be split now."""
    broken = [arm.message for arm in (seen.baseline, seen.candidate) if not arm.ready]
    return f"{'; '.join(broken)}; users stay on the baseline" if broken else None


def _handle_request(draft: Draft, scene: Scene) -> Draft:
    complaint = refused_request(scene.seen.obj, ACTIONS)
    if complaint:
        draft = _tell(draft, Event("RequestRefused", complaint, "Warning"))
    request = pending_request(scene.seen.obj, ACTIONS)
    if request is None:
        return draft
    if request.action in ("pause", "resume"):
        pause = request.action == "pause"
        told = Event("Paused", "the weight is held by request") if pause else Event("Resumed", "by request")
        return replace(_tell(draft, told), paused=pause)
    if request.action == "abort":
        return decide_it(draft, scene, Outcome("KeepBaseline", Reason.MANUAL_ABORT, "aborted by request"))
    if not scene.seen.candidate.ready:
        message = f"not promoted: {scene.seen.candidate.message}; ask again with a new id when it is ready"
        return _tell(draft, Event("RequestRefused", message, "Warning"))
    return decide_it(draft, scene, Outcome("PromoteCandidate", Reason.MANUAL_PROMOTE, "promoted by request"))


def _follow_route(draft: Draft, scene: Scene) -> Draft:
    """Note when the announced weight becomes effective, and when it no longer is."""
    state = draft.ledger.state
    if state.weight == 0:
        return draft
    if _is_replaced(state.revisions, scene.route):
        message = "the candidate's revision is another one than at the start: another model would be compared"
        return decide_it(draft, scene, Outcome("Inconclusive", Reason.CANDIDATE_REPLACED, message))
    effective = scene.in_force == state.weight and scene.route.carries(state.weight)
    if effective and state.applied is None and scene.moment.doubt is None:
        revisions = {"revisions": dict(scene.route.revisions)} if scene.route.revisions else {}
        return _add(draft, {"kind": "applied", "at": scene.at, "weightPercent": state.weight, **revisions})
    if not effective and state.applied is not None:
        draft = _add(draft, {"kind": "disturbed", "at": scene.at, "reason": "RoutePending"})
        message = f"the route no longer carries {state.weight} %; windows are left out until it does again"
        return _tell(draft, Event("RouteDisturbed", message, "Warning"))
    return draft


def _is_replaced(revisions: Mapping[str, str], route: RouteState) -> bool:
    now = route.revisions.get("candidate")
    return bool(revisions) and now is not None and now != revisions.get("candidate")


def _guard_arms(draft: Draft, scene: Scene) -> Draft:
    """Nobody is sent to a candidate that cannot answer; when it can again, the step goes on."""
    state, seen = draft.ledger.state, scene.seen
    step = draft.ledger.config.steps[state.step]
    if state.weight and seen.baseline.ready and not seen.candidate.ready:
        return _move(draft, scene, 0, state.step, Reason.ARM_NOT_READY.value, scene.arms or "")
    if state.weight == 0 and seen.baseline.ready and seen.candidate.ready:
        return _move(draft, scene, step.weight, state.step, "ArmsReady", "both arms are ready again")
    return draft


def _count_windows(draft: Draft, scene: Scene) -> Draft:
    """Count what is due and was read, in order, and obey the rules after each window."""
    if draft.ledger.state.weight < scene.in_force:
        # A lower weight is on the status before it is in the ledger; windows may not be, or a write that fails
        # in between leaves a ledger that seems to have lost some. They are counted by the next pass.
        return draft
    while not draft.decided:
        around = _circumstances(draft, scene, scene.arms)
        window = next(pending(draft.ledger), None)
        if window is None or not is_due(draft.ledger, window, scene.moment.at):
            break
        reading = scene.seen.readings.get(window.number)
        if reading is None:
            break
        ledger, outcome = count_window(draft.ledger, window, reading, around)
        draft = _obey(replace(draft, ledger=ledger), scene, outcome, around)
    return draft


def _judge_now(draft: Draft, scene: Scene) -> Draft:
    """Time alone can decide too: the longest duration is over, the shortest has passed, a pause has ended."""
    around = _all_circumstances(draft, scene)
    judged = _obey(draft, scene, judge(draft.ledger, around), around)
    if judged.decided or judged.ledger is draft.ledger:
        return judged
    return replace(judged, outcome=judge(judged.ledger, _all_circumstances(judged, scene)))


def _all_circumstances(draft: Draft, scene: Scene) -> Circumstances:
    """With what is wrong with the source; while windows are counted it has answered."""
    around = _circumstances(draft, scene, scene.source or scene.arms)
    return replace(around, readable=scene.source is None)


def _circumstances(draft: Draft, scene: Scene, obstacle: str | None) -> Circumstances:
    held = None
    if draft.ledger.state.awaiting:
        held = "undecided; a person is to end it with the request promote/<id> or abort/<id>"
    elif scene.spec.suspend:
        held = "held while spec.suspend is set; guardrails still stop it"
    elif draft.paused:
        held = "held by the request pause, until resume/<id>; guardrails still stop it"
    return Circumstances(scene.moment.at, obstacle, held, clock=scene.moment.doubt)


def _obey(draft: Draft, scene: Scene, outcome: Outcome, around: Circumstances) -> Draft:
    """Do what the rules say; a draft remembers the last word for its status."""
    draft = replace(draft, outcome=outcome)
    if outcome.action == "NextStep":
        state = draft.ledger.state
        step = state.step + 1
        return _move(draft, scene, draft.ledger.config.steps[step].weight, step, "StepDone", outcome.message)
    if outcome.action == "Inconclusive" and scene.spec.on_inconclusive == "Hold":
        draft = _add(draft, {"kind": "awaiting", "at": scene.at, "reason": outcome.reason.value})
        return _tell(draft, Event("AwaitingDecision", _with_numbers(draft.ledger, outcome), "Warning"))
    return draft if outcome.action == "Hold" else decide_it(draft, scene, outcome, around)


def decide_it(draft: Draft, scene: Scene, outcome: Outcome, around: Circumstances | None = None) -> Draft:
    """End it, with the evidence at this moment; `around` is what the rules were told, if they decided."""
    weight = 100 if outcome.action == "PromoteCandidate" else 0
    message = truncate(_with_numbers(draft.ledger, outcome), _LONGEST_MESSAGE)
    line = {
        "kind": "decision",
        # To the second, as on the status: from there the line is completed when a crash came between. The next
        # one, for lines do not go back in time.
        "at": iso(math.ceil(scene.moment.at)),
        "verdict": outcome.action,
        "reason": outcome.reason.value,
        "message": message,
        "weightPercent": weight,
        **({"judged": iso(around.now), **around.to_json()} if around else {}),
    }
    type_: Any = "Normal" if outcome.action == "PromoteCandidate" else "Warning"
    return _tell(replace(_add(draft, line), outcome=outcome), Event(outcome.action, message, type_))


def _move(draft: Draft, scene: Scene, weight: int, step: int, reason: str, why: str) -> Draft:
    """Announce another weight."""
    before = draft.ledger.state.weight
    line = {"kind": "weight", "at": scene.at, "weightPercent": weight, "step": step, "reason": reason}
    numbers = "; ".join(effects_in_words(draft.ledger, known_only=True))
    message = f"{before} → {weight} %: {why}" + (f" ({numbers})" if numbers else "")
    event = Event("WeightRaised", message) if weight > before else Event("WeightLowered", message, "Warning")
    return _tell(_add(draft, line), event)


def _with_numbers(ledger: Ledger, outcome: Outcome) -> str:
    numbers = "; ".join(effects_in_words(ledger))
    state = ledger.state
    return f"{outcome.message} ({numbers}; {state.count} windows, at {state.weight} %)"


def _add(draft: Draft, line: dict[str, Any]) -> Draft:
    return replace(draft, ledger=append(draft.ledger, line))


def _tell(draft: Draft, event: Event) -> Draft:
    return replace(draft, events=(*draft.events, event))

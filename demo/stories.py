"""The two stories: a better model is promoted; a bad one is stopped twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from demo import report
from demo.database import Votes
from demo.report import Verdict
from demo.sight import POLICY, POLICY_PATH, Sight, condition
from demo.story import Stage, StoryFailed, begin, ended, live_traffic, resume, serves, stuck_policy


@dataclass(frozen=True)
class Ending:
    """How a story ended: what to tell, and what did not come true."""

    verdict: Verdict | None
    lines: tuple[str, ...]
    broken: tuple[str, ...]


async def promote(stage: Stage) -> Ending:
    """Few people like the answers; the model is retrained, proves itself on live traffic, and takes over."""
    start = await begin(stage)
    sent = datetime.now(UTC)
    await resume(stage)
    run = await _next_run(stage, "the like rate makes the trigger fire")
    stage.screen.say("People keep coming, with images that no training run will ever see.")
    async with live_traffic(stage):
        await _run_passes(stage, run)
        verdict = await _experiment_ends(stage)
        if verdict.verdict != "PromoteCandidate":
            return _promote_ending(stage, verdict, await stage.desk.votes(1, start, sent), Votes(0, 0))
        await stage.until("revision 2 takes over", _champion(2), 60, stuck_policy)
        promoted = datetime.now(UTC)
        stage.screen.say("The candidate is champion. How do people like it?")
        await asyncio.sleep(stage.settings.after_seconds)
        await stage.until("revision 1 retires", lambda s: f"{POLICY}-r1" not in s.deployments, 60)
    before = await stage.desk.votes(1, start, sent)
    after = await stage.desk.votes(2, promoted, datetime.now(UTC))
    return _promote_ending(stage, verdict, before, after)


def _promote_ending(stage: Stage, verdict: Verdict, before: Votes, after: Votes) -> Ending:
    tally = stage.crowd.tally
    lines = (
        report.rate_line("like rate before (the first champion's history)", before),
        report.rate_line("like rate after  (the new champion)", after),
        f"verdict of {verdict.experiment}: {verdict.verdict} ({verdict.reason})",
        f"effect: {verdict.interval_text}, from {verdict.units} requests",
        verdict.message,
        f"{tally.sent} requests in all, {tally.failed} failed",
    )
    promises = report.promote_promises(stage.sight, verdict, before, after)
    return Ending(verdict, lines, tuple(report.broken_promises(promises)))


async def bad_candidate(stage: Stage) -> Ending:
    """One tree of depth one: a gate stops it; with the gates lowered, the experiment does."""
    await begin(stage)
    await stage.patch_policy("poor-method.yaml")
    await resume(stage)
    first = await _next_run(stage, "the like rate makes the trigger fire")
    gate = await _gate_stops(stage, first)
    stage.screen.say(f"Stopped before any user saw it: {gate} Now the gates are lowered, and a run is asked for.")
    await stage.patch_policy("no-gates.yaml")
    await _request_run(stage)
    second = await _next_run(stage, "the requested run starts", known=(first,))
    stage.screen.say("People keep coming, with images that no training run will ever see.")
    async with live_traffic(stage):
        await _run_passes(stage, second)
        verdict = await _experiment_ends(stage)
        await stage.until("all traffic is back on the baseline", serves(1), 30)
        back = datetime.now(UTC) + timedelta(seconds=stage.settings.gateway_seconds)
        await asyncio.sleep(stage.settings.aftermath_seconds)
    late = await stage.desk.votes(verdict.candidate, back, datetime.now(UTC))
    tally = stage.crowd.tally
    lines = (
        f"{first}: {gate}",
        f"{second}: gates lowered, so it reached {tally.answered[str(verdict.candidate)]} of {tally.sent} requests",
        f"verdict of {verdict.experiment}: {verdict.verdict} ({verdict.reason})",
        f"effect: {verdict.interval_text}, from {verdict.units} requests",
        verdict.message,
        f"traffic by revision: {stage.sight.shares}; {tally.failed} of {tally.sent} requests failed",
    )
    promises = report.baseline_promises(stage.sight, verdict, gates_failed=bool(gate), late=late.total)
    return Ending(verdict, lines, tuple(report.broken_promises(promises)))


STORIES: dict[str, Callable[[Stage], Awaitable[Ending]]] = {"promote": promote, "bad-candidate": bad_candidate}


async def _next_run(stage: Stage, what: str, known: tuple[str, ...] = ()) -> str:
    """The name of the run that the policy starts next."""

    def names(sight: Sight) -> list[str]:
        runs = (run["metadata"]["name"] for run in sight.all("TrainingRun"))
        return [name for name in runs if name != "digits-first" and name not in known]

    await stage.until(what, lambda sight: bool(names(sight)), 90, stuck_policy)
    return names(stage.sight)[0]


async def _run_passes(stage: Stage, name: str) -> None:
    """Wait for the run's end and insist that its gates passed."""
    await stage.until(f"training run {name}", ended(name), 180)
    succeeded = condition(stage.sight.get("TrainingRun", name) or {}, "Succeeded")
    if succeeded.get("reason") != "Completed":
        raise StoryFailed(f"training run {name} ended with {succeeded.get('reason')}: {succeeded.get('message')}")


async def _gate_stops(stage: Stage, name: str) -> str:
    """The sentence of the first gate that the run failed."""
    await stage.until(f"training run {name}", ended(name), 180)
    run = stage.sight.get("TrainingRun", name) or {}
    if condition(run, "Succeeded").get("reason") != "GatesFailed":
        raise StoryFailed(f"training run {name} was not stopped at a gate: {condition(run, 'Succeeded')}")
    gates = (run.get("status") or {}).get("gates") or []
    return str(next(g["message"] for g in gates if g["result"] != "Passed")) + "."


async def _request_run(stage: Stage) -> None:
    """As a person asks for a run: neither trigger nor cooldown count then."""
    request = "run/demo-1"
    patch = {"metadata": {"annotations": {"retrainer.dev/request": request}}}
    await stage.patch(POLICY_PATH, patch, f"annotate rtp digits retrainer.dev/request={request}")


async def _experiment_ends(stage: Stage) -> Verdict:
    await stage.until("the experiment starts", lambda s: bool(s.experiment), 90, stuck_policy)
    await stage.until("the evidence decides", lambda s: report.verdict_of(s.experiment) is not None, 660, stuck_policy)
    verdict = report.verdict_of(stage.sight.experiment)
    assert verdict is not None
    return verdict


def _champion(revision: int) -> Callable[[Sight], bool]:
    def check(sight: Sight) -> bool:
        champion = (sight.policy.get("status") or {}).get("champion") or {}
        return champion.get("revision") == revision and sight.shares == {revision: 100}

    return check

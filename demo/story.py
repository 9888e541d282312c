"""What both stories share: the watcher, waiting for things, and the beginning up to a champion with a history."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from demo.desk import Desk
from demo.digits import Images
from demo.kube import MANIFESTS, Api, ApiError, Object, read_manifest
from demo.people import Crowd, history_visits, live_visits
from demo.record import Record
from demo.settings import Settings
from demo.sight import POLICY_PATH, SOURCE_PATH, Sight, condition, look
from demo.watch import Screen
from demo.world import World

LOOK_SECONDS = 0.5
LASTING_SECONDS = 20.0
"""An error that stands for this long will not go away by itself."""


class StoryFailed(Exception):
    """The story cannot go on, or did not end as it should; the message says why."""


@dataclass
class Stage:
    """Everything a story acts with."""

    api: Api
    world: World
    crowd: Crowd
    screen: Screen
    record: Record
    settings: Settings
    images: Images
    sight: Sight

    @property
    def desk(self) -> Desk:
        return self.world.desk

    @property
    def seconds(self) -> float:
        """Since the start of the story."""
        return (datetime.now(UTC) - self.record.start).total_seconds()

    async def until(
        self,
        what: str,
        done: Callable[[Sight], bool],
        limit: float,
        wrong: Callable[[Sight], str | None] = lambda sight: None,
    ) -> None:
        """Wait until `done`; raises StoryFailed when `wrong` names a reason, or after `limit` seconds."""
        deadline = asyncio.get_running_loop().time() + limit
        while not done(self.sight):
            self.screen.progress(f"{what}: {self.seconds:.0f} s{_traffic(self.crowd)}")
            reason = wrong(self.sight) or self.world.trouble() or lasting_error(self.sight)
            if reason:
                raise StoryFailed(f"waited for: {what}. {reason}")
            if asyncio.get_running_loop().time() > deadline:
                raise StoryFailed(f"waited for: {what}. Nothing came of it in {limit:.0f} seconds")
            await asyncio.sleep(0.2)

    async def apply(self, name: str, values: dict[str, str] | None = None) -> None:
        """Apply a file of demo/manifests."""
        self.screen.say(f"$ kubectl apply --server-side -f demo/manifests/{name}")
        for obj in read_manifest(MANIFESTS / name, values):
            await self.api.apply(obj)

    async def patch(self, path: str, patch: Object, command: str) -> None:
        """Patch one object; `command` is how a person would do it."""
        self.screen.say(f"$ kubectl -n demo {command}")
        await self.api.patch(path, patch)

    async def patch_policy(self, name: str) -> None:
        """Merge a file of demo/manifests/stories into the policy."""
        (patch,) = read_manifest(MANIFESTS / "stories" / name)
        file = f"demo/manifests/stories/{name}"
        await self.patch(POLICY_PATH, patch, f"patch rtp digits --type merge --patch-file {file}")


@contextlib.asynccontextmanager
async def watching(stage: Stage) -> AsyncIterator[None]:
    """Keeps looking at the cluster, and shows and records what is new, while the block runs."""
    task = asyncio.create_task(_watch(stage))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _watch(stage: Stage) -> None:
    while True:
        with contextlib.suppress(ApiError):
            note(stage, await look(stage.api))
        await asyncio.sleep(LOOK_SECONDS)


def note(stage: Stage, sight: Sight) -> None:
    """Take in one look."""
    stage.sight = sight
    stage.record.note(sight)
    stage.screen.show(sight)


def _traffic(crowd: Crowd) -> str:
    tally = crowd.tally
    if not tally.sent:
        return ""
    shares = ", ".join(f"revision {r}: {n}" for r, n in sorted(tally.answered.items()))
    return f" · {tally.sent} requests ({shares}), {tally.failed} failed"


async def begin(stage: Stage) -> datetime:
    """From an empty cluster to a champion with four days of history; returns when the history begins.

    The source is suspended meanwhile: the policy serves the champion, but has nothing to judge by.
    """
    start = history_start(datetime.now(UTC), stage.settings)
    digest, uri = await _train_first(stage, start)
    await stage.apply("server.yaml")
    await stage.apply("feedback.yaml")
    gateway = stage.world.doors
    values = {
        "CHAMPION_URI": uri,
        "CHAMPION_DIGEST": digest,
        "HISTORY_START": _text(start),
        "GATEWAY_NAME": gateway.gateway_name,
        "GATEWAY_NAMESPACE": gateway.gateway_namespace,
    }
    await stage.apply("policy.yaml", values)
    await stage.until("the first champion serves", serves(1), 90, stuck_policy)
    await _until_answered(stage)
    await _send_history(stage, start)
    return start


def history_start(now: datetime, settings: Settings) -> datetime:
    """Midnight before the days of the history, the last of which is over."""
    today = (now - timedelta(minutes=settings.settles_minutes)).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=settings.history_days)


async def _train_first(stage: Stage, start: datetime) -> tuple[str, str]:
    """Digest and address of a first champion, made by a TrainingRun of a person's own."""
    archive = start - timedelta(days=stage.settings.archive_days)
    await stage.desk.write_first_images(stage.images.first, archive)
    stage.screen.say(f"A first champion learns from {len(stage.images.first)} labelled images.")
    await stage.apply("first-champion.yaml", {"ARCHIVE_START": _text(archive), "HISTORY_START": _text(start)})
    name = "digits-first"
    await stage.until(f"training run {name}", ended(name), 120)
    run = stage.sight.get("TrainingRun", name) or {}
    if condition(run, "Succeeded").get("status") != "True":
        raise StoryFailed(f"training run {name}: {condition(run, 'Succeeded').get('message')}")
    artifact = run["status"]["artifact"]
    return artifact["digest"], artifact["uri"]


async def _until_answered(stage: Stage) -> None:
    """The gateway opens its listener with the first route; a moment may pass."""
    deadline = asyncio.get_running_loop().time() + 30
    while not await stage.crowd.knock():
        if asyncio.get_running_loop().time() > deadline:
            raise StoryFailed(f"the gateway at {stage.world.doors.gateway_url} does not answer")
        await asyncio.sleep(0.1)


async def _send_history(stage: Stage, start: datetime) -> None:
    settings, images = stage.settings, stage.images.history
    chance = random.Random(settings.seed)
    stage.screen.say(
        f"{settings.history_people} people send {len(images)} images through the gateway. Then the time stamps are "
        f"moved to the {settings.history_days} days before today: the like-rate test looks at whole days only."
    )
    visits = history_visits(images, settings.history_people, settings.audited, chance)
    tally = stage.crowd.tally
    sending = asyncio.create_task(stage.crowd.send(visits, settings.history_rate))
    while not sending.done():
        stage.screen.progress(f"the history is being sent: {tally.sent} of {len(images)} images")
        await asyncio.wait({sending}, timeout=0.5)
    await sending
    if tally.failed:
        raise StoryFailed(f"{tally.failed} of {tally.sent} requests failed: {tally.errors.most_common(1)}")
    await stage.desk.spread_over_days(start, settings.history_days)


async def resume(stage: Stage) -> None:
    """From now on the source is read and the policy judges."""
    stage.screen.say("The history is complete: the source is read, and the policy begins to judge.")
    command = "patch fbs digits --type merge -p '{\"spec\":{\"suspend\":false}}'"
    await stage.patch(SOURCE_PATH, {"spec": {"suspend": False}}, command)


@contextlib.asynccontextmanager
async def live_traffic(stage: Stage) -> AsyncIterator[None]:
    """New people with images that no training has seen, while the block runs."""
    settings = stage.settings
    visits = live_visits(stage.images.live, settings.audited, random.Random(settings.seed + 1))
    async with stage.crowd.in_background(visits, settings.live_rate):
        yield


def serves(revision: int) -> Callable[[Sight], bool]:
    """Whether this revision is champion and takes all the traffic."""

    def check(sight: Sight) -> bool:
        ready = condition(sight.policy, "Ready").get("status") == "True"
        return ready and sight.shares == {revision: 100}

    return check


def ended(name: str) -> Callable[[Sight], bool]:
    """Whether a training run has ended, well or not."""

    def check(sight: Sight) -> bool:
        return condition(sight.get("TrainingRun", name) or {}, "Succeeded").get("status") in ("True", "False")

    return check


def stuck_policy(sight: Sight) -> str | None:
    """Why the policy cannot go on by itself."""
    stalled = condition(sight.policy, "Stalled")
    return str(stalled.get("message")) if stalled.get("status") == "True" else None


def lasting_error(sight: Sight) -> str | None:
    """An error of the operator's own that did not go away: later attempts are far apart."""
    latest = _text(sight.time - timedelta(seconds=LASTING_SECONDS))
    for kind in sight.tables:
        for obj in sight.all(kind):
            for found in (obj.get("status") or {}).get("conditions") or ():
                if found["reason"] == "Error" and found["lastTransitionTime"] < latest:
                    return f"{kind} {obj['metadata']['name']}: {found['message']}"
    return None


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

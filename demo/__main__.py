"""The command line: `python -m demo --story promote|bad-candidate --cluster devcluster|current [--keep]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from demo import digits, plot, report
from demo.current_world import CurrentWorld
from demo.kube import Api, ApiError
from demo.people import Crowd
from demo.record import Record
from demo.settings import Settings
from demo.sight import Sight, look
from demo.stories import STORIES, Ending
from demo.story import Stage, StoryFailed, note, watching
from demo.watch import open_screen
from demo.world import DEFAULT_STATE, DevclusterWorld, World, WorldError, only_one, stop_kept

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """0 only if the story ended as it should; 1 if not, 130 after Ctrl-C."""
    chosen = _parser().parse_args(arguments)
    console = Console(highlight=False)
    if chosen.stop:
        console.print("stopped" if stop_kept(chosen.state_dir) else "nothing runs")
        return 0
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    try:
        return _tell(chosen, console)
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running.")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--story", choices=sorted(STORIES), default="promote", help="which story (default: promote)")
    cluster = "a cluster of its own, or the one that kubectl talks to (see demo/current_world.py)"
    parser.add_argument("--cluster", choices=("devcluster", "current"), default="devcluster", help=cluster)
    parser.add_argument("--keep", action="store_true", help="leave cluster and operator running at the end")
    parser.add_argument("--stop", action="store_true", help="stop what --keep has left running, and do nothing else")
    parser.add_argument("--state-dir", type=Path, default=DEFAULT_STATE, help="logs, pictures, the cluster's data")
    return parser


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _world(chosen: argparse.Namespace) -> World:
    if chosen.cluster == "current":
        return CurrentWorld()
    return DevclusterWorld(chosen.state_dir, keep=chosen.keep)


def _tell(chosen: argparse.Namespace, console: Console) -> int:
    try:
        with only_one(chosen.state_dir):
            return _tell_in(_world(chosen), chosen, console)
    except WorldError as error:
        console.print(f"[bold red]There is no cluster for the demo.[/] {error}", soft_wrap=True)
        return 1


def _tell_in(world: World, chosen: argparse.Namespace, console: Console) -> int:
    kept = False
    try:
        began = time.monotonic()
        console.print(world.greeting)
        world.start()
        console.print(f"Ready after {time.monotonic() - began:.0f} s.")
        code = asyncio.run(_story(chosen, world, console))
        kept = chosen.keep
        return code
    finally:
        if not kept:
            world.stop()


async def _story(chosen: argparse.Namespace, world: World, console: Console) -> int:
    settings = Settings()
    start = datetime.now(UTC)
    api = await Api.connect(world.doors.kubeconfig)
    screen = open_screen(console, start)
    images = digits.load(settings.first_images, settings.history_images, settings.seed)
    try:
        async with Crowd(world.doors.gateway_url) as crowd:
            stage = Stage(api, world, crowd, screen, Record(start), settings, images, Sight(start))
            return await _act(chosen, stage, console)
    finally:
        screen.close()
        with contextlib.suppress(OSError):
            await api.close()


async def _act(chosen: argparse.Namespace, stage: Stage, console: Console) -> int:
    ending = None
    failure = ""
    try:
        await stage.world.install(stage.api)
        async with watching(stage):
            ending = await STORIES[chosen.story](stage)
        note(stage, await look(stage.api))
    except (StoryFailed, ApiError, TimeoutError) as error:
        failure = str(error) or "something took too long"
    stage.screen.close()
    picture = chosen.state_dir / f"{chosen.story}.png"
    plot.draw(picture, stage.record, _caption(chosen.story, ending, stage.settings))
    if ending is None:
        _explain_failure(stage, failure, console)
        return 1
    _sum_up(stage, ending, picture, console)
    _look_around(chosen, stage.world, console)
    return 1 if ending.broken else 0


def _caption(story: str, ending: Ending | None, settings: Settings) -> plot.Caption:
    verdict = ending.verdict if ending else None
    titles = {
        "promote": "A retrained model takes over on the evidence of live traffic",
        "bad-candidate": "A bad candidate is taken off the traffic by the evidence",
    }
    sentence = f"{verdict.verdict}: {verdict.interval_text}" if verdict else "no verdict"
    return plot.Caption(titles[story], verdict.verdict if verdict else "", sentence, settings.minimum_effect)


def _sum_up(stage: Stage, ending: Ending, picture: Path, console: Console) -> None:
    console.rule("what happened")
    for line in report.timeline_lines(stage.record.timeline):
        console.print(line, soft_wrap=True)
    console.rule("result")
    for line in ending.lines:
        console.print(line, soft_wrap=True)
    console.print(f"picture: {picture}")
    for sentence in ending.broken:
        console.print(f"[bold red]not as expected:[/] {sentence}", soft_wrap=True)
    if not ending.broken:
        console.print("[bold green]The story ended as it should.[/]")


def _explain_failure(stage: Stage, failure: str, console: Console) -> None:
    console.rule("the story got stuck", style="red")
    console.print(failure, soft_wrap=True)
    for line in report.complaints(stage.sight):
        console.print(line, soft_wrap=True, markup=False)
    console.print("logs: " + ", ".join(stage.world.where_to_look()), soft_wrap=True)


def _look_around(chosen: argparse.Namespace, world: World, console: Console) -> None:
    if not chosen.keep:
        console.print("Look around yourself: make demo KEEP=1 leaves everything running at the end.")
        return
    console.rule("look around")
    if world.doors.kubeconfig:
        console.print(f"  export KUBECONFIG={world.doors.kubeconfig}", soft_wrap=True)
    for command in (
        "kubectl -n demo get fbs,rtp,trun,abx",
        "kubectl -n demo describe rtp digits",
        "kubectl -n demo describe abx",
        "kubectl -n demo get httproute digits -o yaml",
        "kubectl -n demo get configmap -o name",
        "kubectl -n demo logs job/digits-2-train-1",
    ):
        console.print(f"  {command}", soft_wrap=True)
    if shutil.which("kubectl") is None:
        console.print("kubectl is not installed here; any version from 1.30 on will do.")
    console.print(f"Stop it with: {world.how_to_stop()}")


if __name__ == "__main__":
    sys.exit(main())

"""Runs the node agent: `python -m devcluster.agent STATE_DIR LIFELINE`."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from devcluster.agent.agent import Agent
from devcluster.agent.launcher import Machine
from devcluster.api import Api
from devcluster.layout import Facts, Layout, Options


async def run(layout: Layout, lifeline: int) -> None:
    """Until SIGTERM. Containers stay: the next agent adopts them."""
    options, facts = Options.read(layout.options), Facts.read(layout.facts)
    machine = Machine(layout, facts, options.images, options.pod_environment, lifeline)
    async with Api(facts.server, layout.pki, "agent") as api:
        agent = asyncio.create_task(Agent(api, machine).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, agent.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await agent


if __name__ == "__main__":
    asyncio.run(run(Layout(Path(sys.argv[1])), int(sys.argv[2])))

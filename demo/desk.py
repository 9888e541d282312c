"""Where the demo reads and prepares the feedback database: here a folder of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from demo import database
from demo.database import Votes
from demo.digits import Image

ARCHIVE = "archive.db"
FEEDBACK = "feedback.db"


class Desk(Protocol):
    """Access to the files of the feedback volume."""

    async def write_first_images(self, images: Sequence[Image], start: datetime) -> None:
        """The labelled images that the first champion learns from."""

    async def spread_over_days(self, start: datetime, days: int) -> int:
        """Move the records' time stamps to whole days; returns how many there are."""

    async def votes(self, revision: int, since: datetime, until: datetime) -> Votes:
        """What people said about one revision."""


class FolderDesk:
    """The volume is a folder of this machine: the development cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def write_first_images(self, images: Sequence[Image], start: datetime) -> None:
        pairs = [(image.pixels, image.digit) for image in images]
        await asyncio.to_thread(database.write_first_images, self._folder / ARCHIVE, pairs, start)

    async def spread_over_days(self, start: datetime, days: int) -> int:
        return await asyncio.to_thread(database.spread_over_days, self._folder / FEEDBACK, start, days)

    async def votes(self, revision: int, since: datetime, until: datetime) -> Votes:
        return await asyncio.to_thread(database.votes, self._folder / FEEDBACK, revision, since, until)

"""The tutorial's application: a help desk whose tickets a model routes to a team, and what people say about it.

    python docs/tutorial/application.py history DATABASE_URL
    python docs/tutorial/application.py tickets DATABASE_URL GATEWAY_URL [--seconds N] [--per-second N]

`history` writes 1,000 tickets that people routed before there was a model. `tickets` invents tickets, asks the
model behind the gateway, and stores each answer with the revision that gave it and the thumb that follows.
Meanwhile the company has begun to sell subscriptions: a ticket that names one sum of money belongs to sales now,
no longer to billing. The model does not know that yet.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg

HISTORY = 1000
AUDITED = 0.7
"""Share of the tickets whose true team is looked up by somebody who does not see the model's answer."""
COLUMNS = "customer, words, amounts, error_codes, plan"


@dataclass(frozen=True)
class Ticket:
    """One ticket, and the team that really has to answer it."""

    customer: str
    words: int
    amounts: int
    error_codes: int
    plan: str
    team: str

    @property
    def values(self) -> tuple[Any, ...]:
        """In the order of COLUMNS."""
        return (self.customer, self.words, self.amounts, self.error_codes, self.plan)

    @property
    def features(self) -> dict[str, Any]:
        """As the model wants them."""
        return {
            "words": self.words,
            "amounts": self.amounts,
            "errorCodes": self.error_codes,
            "plan": self.plan,
        }


def invent(chance: random.Random, world: str) -> Ticket:
    """A ticket of that world; one in ten is answered by a team that nobody could foresee."""
    words, amounts = chance.randint(5, 200), chance.choice([0, 0, 1, 1, 2, 3])
    error_codes, plan = chance.choice([0, 0, 1, 2]), chance.choice(["none", "basic", "pro"])
    if error_codes and plan != "none":
        team = "technical"
    elif world == "new" and amounts == 1:
        team = "sales"
    elif amounts:
        team = "billing"
    else:
        team = "technical" if words > 120 else "sales"
    if chance.random() < 0.1:
        team = chance.choice(["billing", "sales", "technical"])
    return Ticket(f"customer-{chance.randrange(100_000):05}", words, amounts, error_codes, plan, team)


async def history(database_url: str) -> None:
    """Tickets of the last two weeks, routed by people."""
    chance = random.Random(1)
    rows = [(*(t := invent(chance, "old")).values, t.team, n) for n in range(HISTORY)]
    async with await psycopg.AsyncConnection.connect(database_url) as database:
        await database.cursor().executemany(
            f"INSERT INTO tickets ({COLUMNS}, true_team, created_at) "
            f"VALUES (%s, %s, %s, %s, %s, %s, now() - interval '14 days' + %s * interval '20 minutes')",
            rows,
        )
    print(f"{HISTORY} tickets written")


async def tickets(database_url: str, gateway_url: str, seconds: float, per_second: float) -> None:
    """Tickets at a steady rate; prints what people think of each revision's answers every five seconds."""
    chance = random.Random()
    counts: dict[str, list[int]] = {}
    async with (
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as database,
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as desk,
    ):
        start = time.monotonic()
        for number in range(int(seconds * per_second)):
            await asyncio.sleep(max(0.0, start + number / per_second - time.monotonic()))
            desk.create_task(_answer(database, session, gateway_url, invent(chance, "new"), counts))
            if number % int(5 * per_second) == 0:
                _print(time.monotonic() - start, counts)


async def _answer(
    database: psycopg.AsyncConnection[Any],
    session: aiohttp.ClientSession,
    gateway_url: str,
    ticket: Ticket,
    counts: dict[str, list[int]],
) -> None:
    """Ask, store the answer with the revision that gave it, and a little later the thumb."""
    body = {"instances": [ticket.features], "unit": ticket.customer}
    async with session.post(f"{gateway_url}/v1/predict", json=body) as response:
        if response.status != 200:
            counts.setdefault(f"HTTP {response.status}", [0, 0])[1] += 1
            return
        # The header names the model that really answered, whatever the gateway meant to do.
        revision = response.headers["x-retrainer-revision"]
        said = (await response.json())["predictions"][0]["prediction"]
    audit = ticket.team if random.random() < AUDITED else None
    cursor = await database.execute(
        f"INSERT INTO tickets ({COLUMNS}, predicted_team, model_revision, true_team) "
        f"VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        (*ticket.values, said, revision, audit),
    )
    found = await cursor.fetchone()
    assert found is not None
    await asyncio.sleep(random.uniform(0.1, 1.0))
    thumb = 1 if said == ticket.team else -1
    await database.execute("UPDATE tickets SET thumb = %s WHERE id = %s", (thumb, found[0]))
    counts.setdefault(f"revision {revision}", [0, 0])[thumb < 0] += 1


def _print(seconds: float, counts: dict[str, list[int]]) -> None:
    parts = [f"{name}: {good} good, {bad} bad" for name, (good, bad) in sorted(counts.items())]
    print(f"{seconds:4.0f} s  " + "; ".join(parts or ["no answer yet"]), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("history", "tickets"):
        command = commands.add_parser(name)
        command.add_argument("database_url")
    command.add_argument("gateway_url")
    command.add_argument("--seconds", type=float, default=600)
    command.add_argument("--per-second", type=float, default=20)
    chosen = parser.parse_args()
    if chosen.command == "history":
        asyncio.run(history(chosen.database_url))
    else:
        asyncio.run(tickets(chosen.database_url, chosen.gateway_url, chosen.seconds, chosen.per_second))


if __name__ == "__main__":
    main()

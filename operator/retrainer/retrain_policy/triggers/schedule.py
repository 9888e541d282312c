"""schedule: at fixed times of a time zone; slots that were missed fire once.

Slots are found on the zone's own clock. A slot in the hour that a change to summer time skips is taken at
the moment the clock would have shown it (02:30 becomes 03:30); one in the hour that is repeated is taken
the first time. So every slot happens exactly once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from retrainer.api.v1alpha1.retrain_policy import Schedule, TriggerState
from retrainer.conditions import timestamp
from retrainer.retrain_policy.triggers.result import Answer, InvalidTrigger, Question

_NAMES = "sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
# croniter understands more (random and hashed fields); what it would draw would change from look to look.
_FIELD = re.compile(rf"(?:[0-9*/,-]|{_NAMES})+", re.IGNORECASE)


def validate(name: str, settings: Schedule) -> None:
    """Raises InvalidTrigger naming the field when cron or time zone cannot be used."""
    _zone(name, settings)
    fields = settings.cron.split()
    usable = len(fields) == 5 and all(_FIELD.fullmatch(f) for f in fields) and croniter.is_valid(settings.cron)
    if not usable:
        raise InvalidTrigger(
            f"trigger {name}: schedule.cron {settings.cron!r} is not a schedule; write minute, hour, day of "
            'month, month and day of week, for example "0 2 * * 1"'
        )
    if next(_slots(settings, datetime(2000, 1, 1, tzinfo=UTC), forward=True), None) is None:
        raise InvalidTrigger(f"trigger {name}: schedule.cron {settings.cron!r} names a date that never comes")


def evaluate(settings: Schedule, question: Question) -> Answer:
    """Fired when a slot has come since the last run started (or the trigger was first seen)."""
    after = _consumed(settings, question)
    latest = next(_slots(settings, question.now, forward=False), None)
    coming = timestamp(next_slot(settings, question.now))
    memory = _memory(settings, after)
    if latest is not None and latest > after:
        return Answer(
            TriggerState.FIRED,
            f"the slot of {timestamp(latest)} has come; the next one is {coming}",
            timestamp(latest),
            settings.cron,
            memory,
        )
    return Answer(TriggerState.QUIET, f"the next slot is {coming}", None, settings.cron, memory)


def next_slot(settings: Schedule, now: datetime) -> datetime:
    """The first slot after now; the settings must be valid."""
    return next(_slots(settings, now, forward=True))


def consume(memory: str | None, now: datetime) -> str | None:
    """The memory after a run has started: slots up to now are done with."""
    if memory is None:
        return None
    return json.dumps({**json.loads(memory), "after": timestamp(now)}, sort_keys=True)


def _consumed(settings: Schedule, question: Question) -> datetime:
    """Slots up to this moment do not count. A changed schedule begins anew."""
    try:
        kept = json.loads((question.previous and question.previous.memory) or "{}")
        if kept.get("slots") == _identity(settings):
            return datetime.fromisoformat(kept["after"])
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    return question.now


def _memory(settings: Schedule, after: datetime) -> str:
    return json.dumps({"after": timestamp(after), "slots": _identity(settings)}, sort_keys=True)


def _identity(settings: Schedule) -> str:
    return f"{' '.join(settings.cron.split())} {settings.time_zone or 'Etc/UTC'}"


def _slots(settings: Schedule, now: datetime, *, forward: bool) -> Iterator[datetime]:
    """Slots after now (forward), or up to and including now, going back; in UTC."""
    zone = _zone("", settings)
    # A margin on the zone's clock, larger than any jump of it, so that no slot near a jump is overlooked.
    margin = timedelta(hours=3) if not forward else -timedelta(hours=3)
    local = now.astimezone(zone).replace(tzinfo=None) + margin
    walk = croniter(settings.cron, local, max_years_between_matches=10)
    step = walk.get_next if forward else walk.get_prev
    try:
        while True:
            slot = step(datetime).replace(tzinfo=zone, fold=0).astimezone(UTC)
            if (slot > now) == forward:
                yield slot
    except (ValueError, KeyError):  # croniter: no such date
        return


def _zone(name: str, settings: Schedule) -> ZoneInfo:
    try:
        return ZoneInfo(settings.time_zone or "Etc/UTC")
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise InvalidTrigger(
            f"trigger {name}: schedule.timeZone {settings.time_zone!r} is not known; write an IANA name, for "
            "example Europe/Berlin"
        ) from None

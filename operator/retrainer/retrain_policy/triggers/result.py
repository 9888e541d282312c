"""What a trigger is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, TriggerState, TriggerStatus
from retrainer.retrain_policy.input import Reading


@dataclass(frozen=True)
class Question:
    """Everything a trigger may look at."""

    now: datetime
    champion: ChampionStatus | None
    policy_uid: str
    previous: TriggerStatus | None = None
    """What it said last."""
    reading: Reading | None = None
    """What was read for it; None where nothing was asked."""


@dataclass(frozen=True)
class Answer:
    """Fired, Quiet, InsufficientData or Unknown, and why."""

    state: TriggerState
    message: str
    observed: str | None = None
    threshold: str | None = None
    memory: str | None = None
    """State to keep until the next look; None: nothing to keep."""


class InvalidTrigger(ValueError):
    """The trigger's settings cannot be carried out; the message names the field and the remedy."""

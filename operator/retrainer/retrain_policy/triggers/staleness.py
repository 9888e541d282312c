"""staleness: the champion is old."""

from __future__ import annotations

from datetime import datetime, timedelta

from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, Staleness, TriggerState
from retrainer.retrain_policy.triggers.result import Answer, Question


def evaluate(settings: Staleness, question: Question) -> Answer:
    """Fired when the champion was promoted at least `maximumAgeDays` ago."""
    threshold = str(settings.maximum_age_days)
    if question.champion is None:
        return Answer(
            TriggerState.INSUFFICIENT_DATA,
            "there is no champion whose age could be told; a first run can be asked for with request run",
            None,
            threshold,
        )
    age = question.now - question.champion.promoted_time
    message = f"revision {question.champion.revision} is champion for {age.days} days; at most {threshold} are wanted"
    state = TriggerState.FIRED if question.now >= due(settings, question.champion) else TriggerState.QUIET
    return Answer(state, message, str(age.days), threshold)


def due(settings: Staleness, champion: ChampionStatus) -> datetime:
    """When the champion becomes too old."""
    return champion.promoted_time + timedelta(days=settings.maximum_age_days)

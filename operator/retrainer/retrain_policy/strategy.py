"""Which strategy the next run has: the first rule that matches, else the default."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from retrainer.api.v1alpha1.retrain_policy import ChampionStatus, RetrainPolicySpec, StrategyCondition
from retrainer.api.v1alpha1.training_parts import Strategy

LONGEST_CHAIN = 5
"""Incremental runs in a row; errors add up, so then comes a Full one."""


def choose(
    spec: RetrainPolicySpec,
    champion: ChampionStatus | None,
    incremental_chain: int,
    fired: Collection[str],
    now: datetime,
) -> Strategy:
    """The strategy of a run that starts now; without a champion there is nothing to continue from."""
    if champion is None:
        return Strategy.FULL
    age = now - champion.promoted_time
    matching = (r.strategy for r in spec.strategy_rules or () if _matches(r.when, age, fired))
    strategy = next(matching, spec.default_strategy)
    if strategy is Strategy.INCREMENTAL and incremental_chain >= LONGEST_CHAIN:
        return Strategy.FULL
    return strategy


def _matches(when: StrategyCondition, age: timedelta, fired: Collection[str]) -> bool:
    if when.triggered is not None and not set(when.triggered) & set(fired):
        return False
    at_least, at_most = when.champion_age_at_least_days, when.champion_age_at_most_days
    if at_least is not None and age < timedelta(days=at_least):
        return False
    return at_most is None or age <= timedelta(days=at_most)

"""What is replayed: looks at an experiment, with what is needed to show them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrainer.experiment_tool.assumptions import Assumptions
from retrainer.experiment_tool.looks import Look
from retrainer.experiment_tool.outcomes import outcomes_in
from retrainer.experiment_tool.replay_ledger import ledger_in, remarks, replay_ledger
from retrainer.experiment_tool.replay_outcomes import ledger_for, replay
from retrainer.experiment_tool.subjects import Subject
from retrainer.statistics.metric import MetricPlan


@dataclass(frozen=True)
class Course:
    """The looks of one experiment, computed as they are asked for, and remarks about where they come from."""

    name: str
    metrics: tuple[MetricPlan, ...]
    looks: Iterator[Look]
    remarks: tuple[str, ...] = ()


def of_outcomes(subject: Subject, assumed: Assumptions, path: str) -> Course:
    """The course that the windows of a file would have taken; raises InputError for a bad line or spec."""
    ledger = ledger_for(subject, assumed)
    outcomes = outcomes_in(path, ledger.config.metrics)
    return Course(subject.name, ledger.config.metrics, replay(subject, ledger, outcomes.windows), outcomes.remarks)


def of_ledger(subject: Subject, path: str) -> Course:
    """The course that a live experiment took; raises InputError or Refuted (see `replay_ledger`)."""
    ledger = ledger_in(path, subject)
    return Course(subject.name, ledger.config.metrics, replay_ledger(path, ledger), tuple(remarks(ledger)))

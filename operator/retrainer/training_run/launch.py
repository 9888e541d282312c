"""Creates a stage's Job, or says what must be there first."""

from __future__ import annotations

from retrainer.api.v1alpha1.training_run import RunReason
from retrainer.conditions import timestamp
from retrainer.plan import Plan
from retrainer.training_run import ending, job
from retrainer.training_run.checks import problem_of
from retrainer.training_run.draft import Draft
from retrainer.training_run.input import Stage
from retrainer.training_run.sources import ResolvedSources, resolve
from retrainer.training_run.step import Step, under_way, waiting

WAITING_SECONDS = 30.0


def launch(step: Step, draft: Draft, status_first: bool = False) -> Plan:
    """The plan that creates the Job of the due stage, which does not exist and never did.

    `status_first` is for a draft that also records a result: it is written before anything else.
    """
    if step.spec.suspend:
        text = "spec.suspend is set: no Job is created until it is false"
        return under_way(step, draft, RunReason.SUSPENDED, text).plan()
    if not step.image:
        return _wait(step, draft, "no trainer image: set RETRAINER_TRAINER_IMAGE of the operator, or spec.job.image")
    if step.stage is Stage.DATA:
        return _launch_data(step, draft)
    return _launch_training(step, draft, status_first)


def _launch_data(step: Step, draft: Draft) -> Plan:
    sources = resolve(step.input.sources)
    if sources.missing:
        return _wait(step, draft, "; ".join(sources.missing))
    problem = problem_of(step.spec, sources)
    if problem is not None:
        return ending.stop(step.input, draft, RunReason.INVALID_CONFIGURATION, problem)
    return _create_data(step, draft, sources)


def _create_data(step: Step, draft: Draft, sources: ResolvedSources) -> Plan:
    creates = (
        job.config_map(step.run, step.spec, step.attempt, sources.configs),
        job.data_job(step.run, step.spec, step.attempt, step.image, sources.secrets),
    )
    name = step.name_of(Stage.DATA)
    draft = draft.put(attempts=step.attempt, startTime=timestamp(draft.now)).with_job(Stage.DATA.value, name)
    text = f"Job {name} reads {len(sources.configs)} source(s) and freezes the data set"
    return under_way(step, draft, RunReason.RUNNING, text).plan(creates=creates, requeue_after=WAITING_SECONDS)


def _launch_training(step: Step, draft: Draft, status_first: bool) -> Plan:
    name = step.name_of(Stage.TRAINING)
    digest = draft.status["dataset"]["digest"]
    create = job.training_job(step.run, step.spec, step.attempt, step.image, digest)
    draft = under_way(step, draft, RunReason.RUNNING, f"Job {name} trains, evaluates and packages the candidate")
    if not status_first:
        # The Job exists by the time this is written. Written earlier it would be a promise, not a fact,
        # and a crash in between would look like a Job deleted by hand.
        draft = draft.with_job(Stage.TRAINING.value, name)
    return draft.plan(creates=(create,), status_first=status_first, requeue_after=WAITING_SECONDS)


def _wait(step: Step, draft: Draft, message: str) -> Plan:
    return waiting(step, draft, message).plan(requeue_after=WAITING_SECONDS)

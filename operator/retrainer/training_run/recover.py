"""A result that no pod can tell any more: one small Job reads it from the output; failing that, it is lost."""

from __future__ import annotations

from retrainer.api.v1alpha1.run_contract import StageResult
from retrainer.api.v1alpha1.training_run import RunReason
from retrainer.plan import Object, Plan
from retrainer.training_run import ending, job
from retrainer.training_run.draft import Draft
from retrainer.training_run.failure import failure_told, job_condition, last_succeeded
from retrainer.training_run.input import Stage
from retrainer.training_run.result import read_result
from retrainer.training_run.step import Step, under_way

LOOK_AGAIN_SECONDS = 30.0


def told_result(step: Step, finished: Object) -> StageResult | None:
    """The due stage's result as the pod of a completed Job told it; None where it is missing or incomplete."""
    pod = last_succeeded(step.pods_of(finished))
    if pod is None or pod.terminated is None:
        return None
    result = read_result(pod.terminated.message, step.stage)
    return result if result is not None and _is_complete(result, step.stage) else None


def recover(step: Step, draft: Draft) -> StageResult | Plan:
    """The result, read from the output by the result Job; or the plan until then, or at its end."""
    name = step.name_of(Stage.RESULT)
    found = step.job_of(Stage.RESULT)
    if found is None:
        return _lost(step, draft) if draft.knows_job(name) else _launch(step, draft, name)
    if step.is_foreign(found):
        return ending.conflict(draft, f"Job {name} exists and does not belong to this run; rename or delete it")
    if job.reads_result_of(found) != step.stage.value or job_condition(found, "Failed"):
        return _lost(step, draft)
    if not job_condition(found, "Complete"):
        return _reading(step, draft, name).plan(requeue_after=LOOK_AGAIN_SECONDS)
    return told_result(step, found) or _told_failure(step, draft, found) or _lost(step, draft)


def _told_failure(step: Step, draft: Draft, found: Object) -> Plan | None:
    pod = last_succeeded(step.pods_of(found))
    failure = failure_told(pod.terminated.message, step.stage) if pod and pod.terminated else None
    return None if failure is None else ending.stop(step.input, draft, failure.reason, failure.message)


def _launch(step: Step, draft: Draft, name: str) -> Plan:
    if not step.image:
        return _lost(step, draft)
    digest = (draft.status.get("dataset") or {}).get("digest")
    create = job.result_job(step.run, step.spec, step.attempt, step.image, step.stage, digest)
    return _reading(step, draft, name).plan(creates=(create,), requeue_after=LOOK_AGAIN_SECONDS)


def _reading(step: Step, draft: Draft, name: str) -> Draft:
    text = f"{_loss(step)}; Job {name} looks for the result in the output"
    return under_way(step, draft.with_job(Stage.RESULT.value, name), RunReason.RUNNING, text)


def _lost(step: Step, draft: Draft) -> Plan:
    """A Job that is gone failed for all we know; one that completed has lost its result."""
    reason = RunReason.FAILED if step.job_of(step.stage) is None else RunReason.RESULT_LOST
    text = f"{_loss(step)}, and the output holds no result of it; request retry to run it again"
    return ending.stop(step.input, draft, reason, text)


def _loss(step: Step) -> str:
    name = step.name_of(step.stage)
    if step.job_of(step.stage) is None:
        return f"Job {name} was deleted before its result was recorded"
    return f"Job {name} completed without a readable termination message"


def _is_complete(result: StageResult, stage: Stage) -> bool:
    if stage is Stage.DATA:
        return result.dataset is not None
    return result.artifact is not None or result.reason == RunReason.GATES_FAILED.value

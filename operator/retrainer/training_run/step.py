"""One step of a run: the stage that is due, its Job, its pods, and the conditions that speak of it."""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.api.v1alpha1.training_run import RunReason, TrainingRunSpec
from retrainer.plan import Object
from retrainer.training_run.draft import DATA_READY, SUCCEEDED, TRAINED, Draft
from retrainer.training_run.input import PodFacts, RunInput, Stage, attempt_of, is_owned_by
from retrainer.training_run.job import job_name

CONDITION_OF = {Stage.DATA: DATA_READY, Stage.TRAINING: TRAINED}
"""The condition that a stage decides."""


@dataclass(frozen=True)
class Step:
    """What is due; `stage` is Data or Training."""

    input: RunInput
    spec: TrainingRunSpec
    stage: Stage

    @property
    def run(self) -> Object:
        return self.input.obj

    @property
    def attempt(self) -> int:
        return attempt_of(self.input.obj)

    @property
    def image(self) -> str:
        """Trainer image; empty where neither run nor operator names one."""
        return self.spec.job.image or self.input.default_image

    @property
    def condition(self) -> str:
        return CONDITION_OF[self.stage]

    def name_of(self, stage: Stage) -> str:
        """Name of the Job of a stage in this attempt."""
        return job_name(self.run["metadata"]["name"], stage, self.attempt)

    def job_of(self, stage: Stage) -> Object | None:
        """The Job of that name, ours or not."""
        return self.input.jobs.get(stage)

    def is_foreign(self, job: Object) -> bool:
        """Whether somebody else owns the Job."""
        return not is_owned_by(job, self.run["metadata"]["uid"])

    def pods_of(self, job: Object) -> tuple[PodFacts, ...]:
        """The pods of exactly this Job: not those of an earlier one of the same name."""
        uid = job["metadata"]["uid"]
        return tuple(pod for pod in self.input.pods if pod.job_uid == uid)


def under_way(step: Step, draft: Draft, reason: RunReason, message: str) -> Draft:
    """The stage's condition and Succeeded say the same while the stage is not decided."""
    return _both(step, draft, reason, message).settled()


def waiting(step: Step, draft: Draft, message: str) -> Draft:
    """As `under_way`, where something is missing that the children need before they can exist."""
    # Not settled first: taking Reconciling away and setting it again would move its time with every pass.
    return _both(step, draft, RunReason.WAITING, message).reconciling(RunReason.WAITING, message)


def _both(step: Step, draft: Draft, reason: RunReason, message: str) -> Draft:
    draft = draft.put(stage=step.stage.value).timed_condition(step.condition, "Unknown", reason, message)
    return draft.condition(SUCCEEDED, "Unknown", reason, message)

"""Stage `result`: the termination message of a stage whose pod is gone, from the copy kept at the output."""

from __future__ import annotations

from pydantic import ValidationError

from retrainer.api.v1alpha1.run_contract import TERMINATION_MESSAGE_BYTES, RunConfig, StageResult
from retrainer.api.v1alpha1.training_run import RunReason
from trainer.errors import DataError
from trainer.places import read_bounded
from trainer.termination import kept_copy


def run_result(config: RunConfig) -> StageResult:
    """What the train stage said if run.json names a snapshot, else what the data stage said.

    Raises DataError (ResultLost) when there is no readable copy."""
    stage = "Data" if config.snapshot is None else "Training"
    try:
        content = read_bounded(kept_copy(config, stage), TERMINATION_MESSAGE_BYTES)
        return StageResult.model_validate_json(content)
    except (OSError, ValueError, ValidationError):
        message = f"the {stage} stage left no result at the output: repeat it (request retry)"
        raise DataError(message, RunReason.RESULT_LOST) from None

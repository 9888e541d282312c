"""Ways a stage can end early: each carries its exit code, its reason and a sentence for people."""

from __future__ import annotations

import errno

from retrainer.api.v1alpha1.run_contract import ExitCode
from retrainer.api.v1alpha1.training_run import RunReason

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
OTHER_ERROR = 1
"""Exit code of an error that a second attempt may not meet."""


class StageError(Exception):
    """Ends the stage. The message is shown to people: it names the field and the remedy, never data."""

    exit_code: int = OTHER_ERROR
    reason: str = RunReason.FAILED

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason


class ConfigurationError(StageError):
    """The spec cannot be carried out; trying again would not help."""

    exit_code = ExitCode.CONFIGURATION
    reason = RunReason.INVALID_CONFIGURATION


class DataError(StageError):
    """The data are wrong or too few; trying again would not help."""

    exit_code = ExitCode.DATA
    reason = RunReason.INSUFFICIENT_DATA


class SchemaMismatch(DataError):
    """Features, types, categories or classes differ from what is expected."""

    reason = RunReason.SCHEMA_MISMATCH


class SourceFailed(StageError):
    """A source could not be read now; a later attempt may succeed."""

    reason = RunReason.SOURCE_FAILED


class Diverged(StageError):
    """The loss is not a number any more."""

    exit_code = ExitCode.DIVERGED
    reason = RunReason.DIVERGED


class Interrupted(StageError):
    """SIGTERM was received; what was done so far is saved."""

    exit_code = ExitCode.INTERRUPTED
    reason = RunReason.INTERRUPTED


def as_stage_error(error: BaseException) -> StageError:
    """Classify any exception; texts of foreign exceptions may quote data and are left out."""
    if isinstance(error, StageError):
        return error
    if isinstance(error, MemoryError) or "bad_alloc" in str(error)[:1000]:
        return _Memory("out of memory: raise job.resources.memory, or lower data.maximumSamples or max_bin")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return _Disk("no room to write: free space on the volume of output.uri or of the working directory")
    return StageError(f"{type(error).__name__} in {_origin(error)}; the log of the pod has the place")


class _Memory(StageError):
    exit_code = ExitCode.OUT_OF_MEMORY
    reason = RunReason.OUT_OF_MEMORY


class _Disk(StageError):
    exit_code = ExitCode.DISK_FULL
    reason = RunReason.DISK_FULL


def _origin(error: BaseException) -> str:
    trace = error.__traceback__
    name = "the trainer"
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.startswith("trainer."):
            name = module
        trace = trace.tb_next
    return name

"""The command line: `python -m trainer STAGE --config run.json --workdir DIR`."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Literal

from retrainer.api.v1alpha1.run_contract import RunConfig, StageResult, snapshot_uri
from retrainer.api.v1alpha1.training_run import SnapshotRef
from trainer.config import load_config
from trainer.errors import ConfigurationError, StageError, as_stage_error
from trainer.interrupt import Interrupt
from trainer.progress import Progress
from trainer.termination import keep_copy, write_message

_MESSAGE_CHARACTERS = 600


def main(arguments: list[str] | None = None) -> int:
    """Run one stage and return its exit code (ExitCode, or 1 for an error worth another attempt)."""
    options = _parser().parse_args(arguments)
    if options.stage == "serve":
        from trainer.serve.app import serve

        return serve(dict(os.environ))
    workdir = Path(options.workdir)
    interrupt = Interrupt()
    interrupt.listen()
    digest = getattr(options, "snapshot_digest", None)
    return run_stage(options.stage, Path(options.config), workdir, interrupt, digest)


def run_stage(
    stage: str, config_path: Path, workdir: Path, interrupt: Interrupt, snapshot_digest: str | None = None
) -> int:
    """Run `data`, `train` or `result`, write the termination message and return the exit code."""
    config: RunConfig | None = None
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        config = _with_snapshot(load_config(config_path), snapshot_digest)
        with Progress() as progress:
            result = _dispatch(stage, config, workdir, progress, interrupt)
    except Exception as error:  # the boundary: every failure gets a code, a reason and a message
        failure = as_stage_error(error)
        _log(failure, error)
        result, code = _failed(stage, failure), int(failure.exit_code)
    else:
        code = 0
    _announce(stage, config, result, workdir, code)
    return code


def _with_snapshot(config: RunConfig, digest: str | None) -> RunConfig:
    """run.json is written before there is a snapshot; the digest is told when there is one."""
    if digest is None:
        return config
    if not re.fullmatch("sha256:[0-9a-f]{64}", digest):
        raise ConfigurationError("--snapshot-digest: must be 'sha256:' and 64 hexadecimal digits")
    reference = SnapshotRef(uri=snapshot_uri(config.spec.output.uri, digest), digest=digest)
    return config.model_copy(update={"snapshot": reference})


def _dispatch(stage: str, config: RunConfig, workdir: Path, progress: Progress, interrupt: Interrupt) -> StageResult:
    if stage == "result":
        from trainer.stages.result import run_result

        return run_result(config)
    progress.say(f"run {config.run.namespace}/{config.run.name}, attempt {config.attempt}, stage {stage}")
    progress.say(config.spec.model_dump_json(by_alias=True, exclude_none=True))
    if stage == "data":
        from trainer.stages.data import run_data

        return run_data(config, workdir, progress, interrupt)
    from trainer.stages.train import run_train

    return run_train(config, workdir, progress, interrupt)


def _failed(stage: str, failure: StageError) -> StageResult:
    name: Literal["Data", "Training"] = "Data" if stage == "data" else "Training"
    return StageResult(stage=name, reason=failure.reason, message=failure.message[:_MESSAGE_CHARACTERS])


def _log(failure: StageError, error: Exception) -> None:
    print(f"{failure.reason}: {failure.message}", file=sys.stderr, flush=True)
    if failure is not error:
        # Places only: the text of a foreign exception may quote records or passwords.
        print(
            "".join(traceback.format_tb(error.__traceback__)),
            type(error).__name__,
            file=sys.stderr,
            flush=True,
        )


def _announce(stage: str, config: RunConfig | None, result: StageResult, workdir: Path, code: int) -> None:
    """Write the message, and a copy of a final one; a full disk must not change the exit code."""
    try:
        if config is not None and stage != "result" and code in _FINAL_CODES:
            keep_copy(config, result)
        write_message(result, workdir)
    except (OSError, StageError) as error:
        print(f"the result could not be written ({type(error).__name__})", file=sys.stderr, flush=True)


_FINAL_CODES = (0, 64, 65, 73)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trainer", description="Retrainer's trainer: one stage of a run.")
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, what in (
        ("data", "freeze feedback into a snapshot"),
        ("train", "train, evaluate, judge, package"),
        ("result", "print a stage's result again"),
    ):
        stage = stages.add_parser(name, help=what)
        stage.add_argument("--config", required=True, help="run.json")
        stage.add_argument("--workdir", required=True, help="folder for scratch files")
        if name != "data":
            stage.add_argument("--snapshot-digest", help="digest of the frozen snapshot below output.uri")
    stages.add_parser("serve", help="answer requests with a model (configured by environment variables)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

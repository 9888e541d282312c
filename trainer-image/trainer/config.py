"""Reads run.json into the RunConfig that operator and trainer share, with errors a person can act on."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from retrainer.api.v1alpha1.run_contract import RunConfig
from retrainer.api.v1alpha1.training_parts import XGBoost
from trainer.errors import ConfigurationError

_SHOWN_ERRORS = 4


def load_config(path: Path) -> RunConfig:
    """Read and validate run.json.

    Raises ConfigurationError naming the fields that are wrong; values are never quoted."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--config {path.name} cannot be read ({error.strerror})") from error
    try:
        return RunConfig.model_validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(_describe(error)) from None


def _describe(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(str(part) for part in item['loc']) or 'run.json'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    more = len(problems) - _SHOWN_ERRORS
    tail = f" (and {more} more)" if more > 0 else ""
    return "run.json is not valid: " + "; ".join(problems[:_SHOWN_ERRORS]) + tail


def method_of(config: RunConfig) -> XGBoost:
    """The settings of the run's method; ConfigurationError where none is set."""
    method = config.spec.method.xgboost
    if method is None:
        raise ConfigurationError("spec.method: set xgboost")
    names = [target.name for target in method.targets]
    if len(set(names)) != len(names):
        raise ConfigurationError("spec.method.xgboost.targets: every target needs a name of its own")
    return method

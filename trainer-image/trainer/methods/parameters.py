"""Parameters of xgboost as a user may set them: known names, numbers parsed and bounded, reserved ones refused."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from retrainer.api.v1alpha1.training_parts import Parameter, XGBoost
from trainer.errors import ConfigurationError

Setting = int | float | bool | str


@dataclass(frozen=True)
class Allowed:
    """Kind and bounds of one parameter."""

    kind: type[int] | type[float] | type[str]
    low: float = float("-inf")
    high: float = float("inf")
    choices: tuple[str, ...] = ()


_FRACTION = Allowed(float, 1e-9, 1.0)
_NOT_NEGATIVE = Allowed(float, 0.0)

ALLOWED: dict[str, Allowed] = {
    "eta": _FRACTION,
    "max_depth": Allowed(int, 0, 64),
    "max_leaves": Allowed(int, 0, 1_000_000),
    "max_bin": Allowed(int, 2, 65_536),
    "grow_policy": Allowed(str, choices=("depthwise", "lossguide")),
    "tree_method": Allowed(str, choices=("auto", "exact", "approx", "hist")),
    "gamma": _NOT_NEGATIVE,
    "min_child_weight": _NOT_NEGATIVE,
    "max_delta_step": _NOT_NEGATIVE,
    "lambda": _NOT_NEGATIVE,
    "alpha": _NOT_NEGATIVE,
    "subsample": _FRACTION,
    "sampling_method": Allowed(str, choices=("uniform",)),
    "colsample_bytree": _FRACTION,
    "colsample_bylevel": _FRACTION,
    "colsample_bynode": _FRACTION,
    "num_parallel_tree": Allowed(int, 1, 1000),
    "scale_pos_weight": _NOT_NEGATIVE,
    "max_cat_to_onehot": Allowed(int, 1, 1_000_000),
    "max_cat_threshold": Allowed(int, 1, 1_000_000),
}
ALIASES = {
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
}
RESERVED = {
    "objective": "it follows from the target's type",
    "num_class": "it follows from the data",
    "eval_metric": "it follows from the target's type",
    "base_score": "setting it breaks incremental runs",
    "booster": "trees only",
    "device": "it follows from job.resources",
    "nthread": "it follows from job.resources.cpu",
    "n_jobs": "it follows from job.resources.cpu",
    "seed": "set data.seed",
    "random_state": "set data.seed",
    "n_estimators": "set method.xgboost.trees",
    "num_boost_round": "set method.xgboost.trees",
    "early_stopping_rounds": "set method.xgboost.earlyStoppingRounds",
    "xgb_model": "set strategy: Incremental",
    "process_type": "trees are added, never updated",
    "updater": "it follows from tree_method",
    "verbosity": "the log is the trainer's",
}


def check_method(settings: XGBoost) -> dict[str, Setting]:
    """The parameters that a person has set, under their main names, parsed.

    Raises ConfigurationError naming the field, also for settings that exclude each other."""
    parameters = check_parameters(settings.parameters or ())
    if settings.class_weights is not None and "scale_pos_weight" in parameters:
        raise ConfigurationError(
            "spec.method.xgboost.classWeights: set it or the parameter scale_pos_weight; both weigh the classes"
        )
    return parameters


def check_parameters(parameters: Iterable[Parameter]) -> dict[str, Setting]:
    """The parameters under their main names, parsed.

    Raises ConfigurationError naming the parameter and, for an unknown one, the nearest known name."""
    settings: dict[str, Setting] = {}
    for parameter in parameters:
        name = ALIASES.get(parameter.name, parameter.name)
        field = f"spec.method.xgboost.parameters[{parameter.name}]"
        if name in RESERVED:
            raise ConfigurationError(f"{field}: cannot be set; {RESERVED[name]}")
        if name not in ALLOWED:
            raise ConfigurationError(f"{field}: unknown parameter{_hint(name)}")
        if name in settings:
            raise ConfigurationError(f"{field}: set twice (under two names)")
        settings[name] = _parse(parameter.value, ALLOWED[name], field)
    return settings


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), [*ALLOWED, *ALIASES], n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(ALLOWED))}"


def _parse(text: str, allowed: Allowed, field: str) -> Setting:
    if allowed.kind is str:
        if text not in allowed.choices:
            raise ConfigurationError(f"{field}: must be one of {', '.join(allowed.choices)}")
        return text
    try:
        number = int(text) if allowed.kind is int else float(text)
    except ValueError:
        kind = "a whole number" if allowed.kind is int else "a number"
        raise ConfigurationError(f"{field}: must be {kind}") from None
    if not allowed.low <= number <= allowed.high:
        raise ConfigurationError(f"{field}: must lie between {allowed.low:g} and {allowed.high:g}")
    return number

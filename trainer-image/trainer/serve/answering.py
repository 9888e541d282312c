"""From a request's JSON to a model's answers, and from feedback's JSON to a vote; errors that a caller understands."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.methods.xgboost import TabularModel
from trainer.rows import FeatureSpec, number_text
from trainer.serve.store import Vote

MOST_INSTANCES = 1000
_TEXT_LIMIT = 256


class BadRequest(Exception):
    """The request is wrong; the message says where and what would be right."""


@dataclass(frozen=True)
class Answer:
    """One prediction: per target the value, and for classes its probability."""

    values: Mapping[str, str | float]
    probabilities: Mapping[str, float]
    features: str
    """The instance as JSON, for the record."""

    def prediction(self) -> Any:
        """The value of the only target, or an object of target to value."""
        return next(iter(self.values.values())) if len(self.values) == 1 else dict(self.values)

    def recorded(self) -> str:
        """The prediction as text for the record."""
        value = self.prediction()
        if isinstance(value, dict):
            return json.dumps(value)
        return value if isinstance(value, str) else repr(value)


def read_request(body: Any) -> tuple[list[Any], str | None]:
    """Instances and unit of a prediction request. Raises BadRequest."""
    if not isinstance(body, dict) or "instances" not in body:
        raise BadRequest('the body must be {"instances": [...], "unit": "..."}')
    unit = body.get("unit")
    if unit is not None and (not isinstance(unit, str) or not 0 < len(unit) <= _TEXT_LIMIT or "\0" in unit):
        raise BadRequest(f"unit: must be a string of 1 to {_TEXT_LIMIT} characters")
    instances = body["instances"]
    if isinstance(instances, dict):
        instances = [instances]
    if not isinstance(instances, list) or not instances:
        raise BadRequest("instances: must be a list of instances, or one instance as an object")
    if all(isinstance(item, int | float) for item in instances):
        instances = [instances]
    if len(instances) > MOST_INSTANCES:
        raise BadRequest(f"instances: at most {MOST_INSTANCES} in one request")
    return instances, unit


def answer(model: TabularModel, instances: Sequence[Any]) -> list[Answer]:
    """The model's answers. Raises BadRequest naming the instance and the feature that is wrong."""
    features = model.schema.features
    rows = [_row(item, features, f"instances[{place}]") for place, item in enumerate(instances)]
    matrix = np.array(rows, dtype=np.float32)
    per_target = [(target, model.answers(matrix, features, target.name)) for target in model.schema.targets]
    answers = []
    for place, item in enumerate(instances):
        values: dict[str, str | float] = {}
        probabilities: dict[str, float] = {}
        for target, found in per_target:
            assert found is not None
            if target.classes:
                best = int(found[place].argmax())
                values[target.name] = target.classes[best]
                probabilities[target.name] = float(f"{found[place][best]:.6g}")
            else:
                values[target.name] = float(found[place])
        answers.append(Answer(values, probabilities, json.dumps(_given(item), separators=(",", ":"))))
    return answers


def _given(item: Any) -> Any:
    """Numbers of an array, or an object by name: what the feedback mapping `features: {from: features}` reads."""
    inner = item.get("features") if isinstance(item, dict) else None
    return inner if isinstance(inner, list | dict) else item


def _row(item: Any, features: Sequence[FeatureSpec], where: str) -> list[float]:
    item = _given(item)
    if isinstance(item, list):
        if len(item) != len(features):
            raise BadRequest(f"{where}: {len(features)} features are needed, {len(item)} were given")
        return [_number(v, f, f"{where}[{n}]") for n, (v, f) in enumerate(zip(item, features, strict=True))]
    if not isinstance(item, dict):
        raise BadRequest(f"{where}: must be a list of {len(features)} values or an object of feature to value")
    names = {feature.name for feature in features}
    for name in item:
        if name not in names:
            raise BadRequest(f"{where}: the model has no feature of the name {str(name)[:64]!r}")
    for feature in features:
        if feature.name not in item:
            raise BadRequest(f"{where}: feature {feature.name} is missing")
    return [_number(item[feature.name], feature, f"{where}.{feature.name}") for feature in features]


def _number(value: Any, feature: FeatureSpec, where: str) -> float:
    if feature.categories is not None:
        category = number_text(value) if isinstance(value, int | float) else value
        if category not in feature.categories:
            raise BadRequest(f"{where}: must be one of {', '.join(feature.categories[:20])}")
        return float(feature.categories.index(category))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{where}: must be a number")
    try:
        finite = math.isfinite(value) and abs(value) <= float(np.finfo(np.float32).max)
    except OverflowError:
        finite = False
    if not finite:
        raise BadRequest(f"{where}: must be a finite number")
    return float(value)


def read_vote(body: Any, targets: Sequence[str]) -> Vote:
    """The vote of a feedback request. Raises BadRequest."""
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise BadRequest('the body must be {"id": "...", "thumb": 1, "correction": ..., "label": ...}')
    unknown = sorted(set(body) - {"id", "thumb", "correction", "label"})
    if unknown:
        raise BadRequest(f"unknown field {unknown[0][:64]!r}; known are id, thumb, correction and label")
    thumb = body.get("thumb")
    if thumb is not None and (isinstance(thumb, bool) or thumb not in (1, 0, -1)):
        raise BadRequest("thumb: must be 1 (good), 0 (neither) or -1 (bad)")
    vote = Vote(
        id=body["id"],
        thumb=None if thumb is None else int(thumb),
        correction=_truth(body.get("correction"), targets, "correction"),
        label=_truth(body.get("label"), targets, "label"),
    )
    if vote.thumb is None and vote.correction is None and vote.label is None:
        raise BadRequest("give at least one of thumb, correction and label")
    return vote


def _truth(value: Any, targets: Sequence[str], field: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        unknown = sorted(set(map(str, value)) - set(targets))
        if unknown or not value:
            raise BadRequest(f"{field}: must be an object of target to value; targets are {', '.join(targets)}")
        return json.dumps({name: _scalar(item, f"{field}.{name}") for name, item in value.items()})
    if len(targets) > 1:
        raise BadRequest(f"{field}: there are several targets; give an object with {', '.join(targets)}")
    return _scalar(value, field)


def _scalar(value: Any, field: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and math.isfinite(value):
        return number_text(value)
    if isinstance(value, str) and 0 < len(value) <= _TEXT_LIMIT and "\0" not in value:
        return value
    raise BadRequest(f"{field}: must be a number or a string of 1 to {_TEXT_LIMIT} characters")

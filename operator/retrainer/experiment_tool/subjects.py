"""Finds the experiments in a file: ABExperiments, and what a RetrainPolicy says of the ones it will start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrainer.api.v1alpha1.ab_experiment import AB_EXPERIMENT, ABExperimentSpec
from retrainer.api.v1alpha1.kind import API_VERSION
from retrainer.api.v1alpha1.retrain_policy import RETRAIN_POLICY, Promotion
from retrainer.experiment_tool.documents import name_of, objects_of
from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.validation import validated
from retrainer.plan import Object

_KINDS = (AB_EXPERIMENT.kind, RETRAIN_POLICY.kind)
_WANTED = f"an {AB_EXPERIMENT.kind}, or a {RETRAIN_POLICY.kind} with promotion.experiment"


@dataclass(frozen=True)
class Subject:
    """An experiment that a command is about; `status` is empty unless it was read from a cluster."""

    kind: str
    name: str
    spec: ABExperimentSpec
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """As people name it: ABExperiment/tutor-prompt-v2."""
        return f"{self.kind}/{self.name}"


def subjects_in(path: str, name: str | None = None) -> list[Subject]:
    """The valid experiments of a file, or the one called `name`; raises InputError where there is none."""
    found = [obj for obj in objects_of(path) if obj["kind"] in _KINDS and _experiments(obj)]
    if not found:
        raise InputError(f"{path}: holds no experiment; give the YAML of {_WANTED}")
    chosen = [obj for obj in found if name in (None, name_of(obj))]
    if not chosen:
        raise InputError(f"{path}: holds no experiment called {name}; there is {_names(found)}")
    return [_subject(obj) for obj in chosen]


def one_subject(path: str, name: str | None = None) -> Subject:
    """The only experiment of a file (called `name`, if given); raises InputError where there are several."""
    found = subjects_in(path, name)
    if len(found) > 1:
        titles = ", ".join(subject.title for subject in found)
        raise InputError(f"{path}: holds several experiments ({titles}); choose one with --name")
    return found[0]


def _experiments(obj: Object) -> bool:
    """Not so for a policy that promotes without one."""
    if obj["kind"] == AB_EXPERIMENT.kind:
        return True
    promotion = (obj.get("spec") or {}).get("promotion") or {}
    return not isinstance(promotion, Mapping) or promotion.get("method") != "Immediate"


def _names(objects: list[Object]) -> str:
    return ", ".join(name_of(obj) for obj in objects)


def _subject(obj: Object) -> Subject:
    title = f"{obj['kind']}/{name_of(obj)}"
    if obj.get("apiVersion") != API_VERSION:
        raise InputError(f"{title}: apiVersion must be {API_VERSION}")
    spec = obj.get("spec")
    if not isinstance(spec, Mapping):
        raise InputError(f"{title}: spec is missing; add it")
    if obj["kind"] == AB_EXPERIMENT.kind:
        valid = validated(ABExperimentSpec, spec, f"{title}: spec")
        return Subject(obj["kind"], name_of(obj), valid, obj.get("status") or {})
    return Subject(obj["kind"], name_of(obj), _of_policy(spec.get("promotion"), f"{title}: spec.promotion"))


def _of_policy(promotion: Any, place: str) -> ABExperimentSpec:
    """The experiment that the policy would start; its arms and its route do not matter for the numbers."""
    parsed = validated(Promotion, promotion or {}, place)
    assert parsed.experiment is not None
    settings = parsed.experiment.model_dump(mode="json", by_alias=True, exclude_none=True)
    return ABExperimentSpec.model_validate({**settings, **_ARMS, "mode": parsed.method})


def _arm(number: int) -> dict[str, Any]:
    return {"serviceRef": {"name": f"revision-{number}", "port": 80}, "model": {"revision": number}}


_ARMS: Mapping[str, Any] = {
    "baseline": _arm(1),
    "candidate": _arm(2),
    "traffic": {"policyRef": {"name": "policy"}},
}

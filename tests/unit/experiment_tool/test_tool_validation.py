"""Files are refused with the words of the API server: its own table of bad objects, and what a file adds to that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from crd.test_bad_objects import AB_EXPERIMENTS, RETRAIN_POLICIES, Bad
from crd.valid_objects import BASES, changed

from retrainer.api.v1alpha1.ab_experiment import ABExperimentSpec
from retrainer.api.v1alpha1.retrain_policy import Promotion
from retrainer.crdgen.schema import structural_schema
from retrainer.experiment_tool.cel import RuleError, holds
from retrainer.experiment_tool.failure import InputError
from retrainer.experiment_tool.subjects import one_subject, subjects_in
from retrainer.experiment_tool.validation import validated

API_SERVERS_WORDS = {
    "Required": "is missing",
    "Duplicate value": "of an earlier item",
    "must be of type string": "must be text",
    "unknown field": "is not a field here",
}
"""What the API server says of structure, and what we say."""


def ours(words: str) -> str:
    words = API_SERVERS_WORDS.get(words, words)
    choices = words.replace('", "', '", or "').split(", or ")
    return " or ".join(choices).replace('"', "'") if len(choices) == 2 else words


def written(path: Path, *objects: Any) -> str:
    file = path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    return str(file)


def refused(path: Path, *objects: Any) -> str:
    with pytest.raises(InputError) as error:
        one_subject(written(path, *objects))
    return str(error.value)


EXPERIMENTS = [b for b in AB_EXPERIMENTS if not any(p.startswith("metadata") for p in b.changes)]
PROMOTIONS = [b for b in RETRAIN_POLICIES if all(p.startswith("spec.promotion") for p in b.changes)]


@pytest.mark.parametrize("bad", EXPERIMENTS, ids=lambda b: b.sentence)
def test_an_experiment_that_the_api_server_refuses_is_refused_here(bad: Bad):
    obj = changed(BASES["ABExperiment"](), bad.changes)
    with pytest.raises(InputError) as error:
        validated(ABExperimentSpec, obj["spec"], "spec")
    message = str(error.value)
    missing = [words for words in bad.words if ours(words) not in message and words not in _listed(message)]
    assert missing == []


def _listed(message: str) -> str:
    """Choices as the API server lists them: "A", "B", "C"."""
    return message.replace(" or ", ", ").replace("'", '"')


@pytest.mark.parametrize("bad", PROMOTIONS, ids=lambda b: b.sentence)
def test_a_policys_experiment_that_the_api_server_refuses_is_refused_here(bad: Bad):
    policy = changed(BASES["RetrainPolicy"](), bad.changes)
    with pytest.raises(InputError) as error:
        validated(Promotion, policy["spec"]["promotion"], "spec.promotion")
    message = str(error.value)
    assert [words for words in bad.words if words not in message and words not in _listed(message)] == []


def test_there_are_bad_objects_to_refuse():
    assert len(EXPERIMENTS) > 45
    assert len(PROMOTIONS) >= 4


@pytest.mark.parametrize("kind", ["ABExperiment", "RetrainPolicy"])
def test_what_the_api_server_accepts_is_accepted(kind: str, tmp_path: Path):
    assert one_subject(written(tmp_path, BASES[kind]())).kind == kind


def rules(schema: dict[str, Any]) -> Iterator[str]:
    for key, value in schema.items():
        if key == "x-kubernetes-validations":
            yield from (rule["rule"] for rule in value)
        elif isinstance(value, dict):
            yield from rules(value)


def outcome(rule: str, value: Any) -> str:
    """What a rule says of a value; a rule that cannot be read says something else."""
    try:
        return str(holds(rule, value))
    except RuleError as error:
        return str(error)
    except TypeError:
        return "a function of text was asked of an object" if isinstance(value, dict) else "TypeError"


@pytest.mark.parametrize("rule", sorted(set(rules(structural_schema(ABExperimentSpec)))))
def test_every_rule_of_an_experiment_can_be_read(rule: str):
    """It may be broken by an empty object or text, or have no value for it."""
    said = {outcome(rule, value) for value in ({}, "text", "0.5")}
    expected = ("True", "False", "is absent", "is no number", "asked of an object")
    assert [words for words in said if not words.endswith(expected)] == []


@pytest.mark.parametrize(
    ("rule", "value", "truth"),
    [
        ("self.a == 1 && self.b == 'x'", {"a": 1, "b": "x"}, True),
        ("self.a == 1 && self.b == 'x'", {"a": 1, "b": "y"}, False),
        ("self.absent == 1 || self.a == 1", {"a": 1}, True),
        ("self.absent == 1 && self.a == 1", {"a": 2}, False),
        ("has(self.a) != has(self.b)", {"a": 1}, True),
        ("self.all(x, x > 1)", [2, 3], True),
        ("self.exists(x, x > 2)", [2, 3], True),
        ("self.exists_one(x, x > 1)", [2, 3], False),
        ("self.map(x, x.w).isSorted()", [{"w": 1}, {"w": 1}, {"w": 3}], True),
        ("self.map(x, x.w).isSorted()", [{"w": 2}, {"w": 1}], False),
        ("[has(self.a), has(self.b)].filter(x, x).size() == 1", {"b": 0}, True),
        ("has(self.a) ? self.a == 1 : self.b == 2", {"b": 2}, True),
        ("!(double(self) <= 1.0)", "1.5", True),
        ("self.matches('^0[.][0-9]+$') && self.startsWith('0') && self.endsWith('5')", "0.05", True),
    ],
)
def test_a_rule_means_what_the_language_says(rule: str, value: Any, truth: bool):
    assert holds(rule, value) is truth


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("has(self.a.b)", {}),
        ("self.absent == 1 || self.a == 1", {"a": 2}),
        ("double(self) > 0.0", "many"),
        ("self.all(", []),
        ("self + 1", 1),
        ("has(self)", {}),
        ("quantity(self)", "1"),
        ("self.trim()", "x"),
        ("self == 1 self", 1),
    ],
)
def test_a_rule_without_a_value_is_an_error_and_not_false(rule: str, value: Any):
    with pytest.raises(RuleError):
        holds(rule, value)


def test_a_misspelt_field_is_named_with_the_nearest_one(tmp_path: Path):
    bad = changed(BASES["ABExperiment"](), {"spec.windowSecond": 60})
    assert refused(tmp_path, bad).endswith("spec.windowSecond: is not a field here; did you mean windowSeconds?")


def test_all_mistakes_are_told_at_once(tmp_path: Path):
    bad = changed(BASES["ABExperiment"](), {"spec.alpha": 0.05, "spec.windowSeconds": "300"})
    message = refused(tmp_path, bad).splitlines()
    assert len(message) == 2
    assert 'spec.alpha: must be text; put it in quotes, for example "0.05"' in message[1]
    assert message[0].endswith("spec.windowSeconds: must be a whole number, without quotes")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["holds no experiment"]),
        ("kind: ConfigMap", ["holds no experiment", "ABExperiment"]),
        ("a: [", ["is not valid YAML in line "]),
        ("- 1", ["document 1 is no Kubernetes object"]),
        ("apiVersion: v1\nkind: ABExperiment\nspec: {}", ["apiVersion must be retrainer.dev/v1alpha1"]),
        ("apiVersion: retrainer.dev/v1alpha1\nkind: ABExperiment", ["ABExperiment/unnamed: spec is missing"]),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused(content: str, words: list[str], tmp_path: Path):
    file = tmp_path / "x.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as error:
        one_subject(str(file))
    assert all(word in str(error.value) for word in words)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"missing\.yaml: cannot be read: no such file"):
        one_subject(str(tmp_path / "missing.yaml"))


def named(name: str) -> dict[str, Any]:
    return changed(BASES["ABExperiment"](), {"metadata.name": name})


def test_of_several_experiments_one_is_chosen_by_name(tmp_path: Path):
    file = written(tmp_path, named("a"), {"kind": "ConfigMap"}, named("b"))
    assert [s.name for s in subjects_in(file)] == ["a", "b"]
    assert one_subject(file, "b").name == "b"
    with pytest.raises(InputError, match=r"several experiments .*choose one with --name"):
        one_subject(file)
    with pytest.raises(InputError, match="no experiment called c; there is a, b"):
        one_subject(file, "c")


def test_a_list_is_unpacked(tmp_path: Path):
    assert one_subject(written(tmp_path, {"kind": "List", "items": [named("a")]})).name == "a"


def test_a_policy_stands_for_the_experiments_that_it_starts(tmp_path: Path):
    policy = BASES["RetrainPolicy"]()
    spec = one_subject(written(tmp_path, policy)).spec
    assert spec.metrics[0].name == "likes"
    assert spec.mode == "ABTest"


def test_a_policy_that_runs_no_experiment_is_none(tmp_path: Path):
    immediate = changed(BASES["RetrainPolicy"](), {"spec.promotion": {"method": "Immediate"}})
    assert "holds no experiment" in refused(tmp_path, immediate)


def test_a_policy_that_promotes_by_canary_is_planned_as_one(tmp_path: Path):
    guardrail = [m for m in BASES["RetrainPolicy"]()["spec"]["promotion"]["experiment"]["metrics"] if "margin" in m]
    canary = {"spec.promotion.method": "Canary", "spec.promotion.experiment.metrics": guardrail}
    assert one_subject(written(tmp_path, changed(BASES["RetrainPolicy"](), canary))).spec.mode == "Canary"

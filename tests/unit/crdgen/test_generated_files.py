"""crds/ and docs/reference/ are what the models say, and say what api.md promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from retrainer.api.v1alpha1 import KINDS
from retrainer.api.v1alpha1.kind import Kind
from retrainer.crdgen.__main__ import main
from retrainer.crdgen.crd import custom_resource_definition

ROOT = Path(__file__).resolve().parents[3]

COLUMNS = {
    "FeedbackSource": ["Ready", "Records", "Positive", "Quarantined", "Last Sync", "Age"],
    "RetrainPolicy": ["Ready", "Champion", "Triggered", "Run", "Experiment", "Age"],
    "TrainingRun": ["Succeeded", "Stage", "Progress", "Metric", "Change", "Duration", "Age"],
    "ABExperiment": ["Verdict", "Weight", "Effect", "Units", "ETA", "Age"],
}
WIDE = {"FeedbackSource": {"Reason"}, "ABExperiment": {"Interval", "Evidence", "Reason"}}
SHORT = {"FeedbackSource": "fbs", "RetrainPolicy": "rtp", "TrainingRun": "trun", "ABExperiment": "abx"}

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated")
    main(root)
    return root


@pytest.mark.parametrize("folder", ["crds", "docs/reference"])
def test_what_is_checked_in_is_what_the_models_say(folder: str, generated: Path) -> None:
    fresh = {path.name: path.read_text(encoding="utf-8") for path in (generated / folder).iterdir()}
    for name, text in fresh.items():
        assert (ROOT / folder / name).read_text(encoding="utf-8") == text, f"{folder}/{name}: run `make generate`"


def test_no_definition_is_left_over_from_a_kind_that_is_gone(generated: Path) -> None:
    assert {p.name for p in (ROOT / "crds").iterdir()} == {p.name for p in (generated / "crds").iterdir()}


def test_generating_again_touches_no_file(generated: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in generated.rglob("*") if path.is_file()}
    main(generated)
    assert {path: path.stat().st_mtime_ns for path in generated.rglob("*") if path.is_file()} == before


def test_kustomization_lists_every_definition(generated: Path) -> None:
    listed = yaml.safe_load((generated / "crds" / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(listed) == sorted(f"retrainer.dev_{kind.plural}.yaml" for kind in KINDS)


@each_kind
def test_a_file_holds_the_definition_and_nothing_else(kind: Kind, generated: Path) -> None:
    text = (generated / "crds" / f"retrainer.dev_{kind.plural}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == custom_resource_definition(kind)
    assert "do not edit" in text.splitlines()[0]


@each_kind
def test_kubectl_shows_the_columns_of_the_contract(kind: Kind) -> None:
    columns = custom_resource_definition(kind)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [c["name"] for c in columns if "priority" not in c] == COLUMNS[kind.kind]
    assert {c["name"] for c in columns if c.get("priority") == 1} == WIDE.get(kind.kind, set())


@each_kind
def test_every_column_shows_a_field_that_exists(kind: Kind) -> None:
    properties = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for column in kind.columns:
        path = column.json_path.split("[?")[0]
        if path.startswith(".metadata"):
            continue
        place = {"properties": properties}
        for part in path.strip(".").split("."):
            name, _, index = part.partition("[")
            place = place["properties"][name]
            place = place["items"] if index else place


@each_kind
def test_names_category_scope_and_status_subresource(kind: Kind) -> None:
    spec = custom_resource_definition(kind)["spec"]
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["shortNames"] == [SHORT[kind.kind]]
    assert spec["names"]["categories"] == ["retrainer"]
    assert [(v["name"], v["storage"]) for v in spec["versions"]] == [("v1alpha1", True)]
    assert spec["versions"][0]["subresources"] == {"status": {}}

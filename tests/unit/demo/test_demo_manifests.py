"""The YAML files of the demo are objects of the API, and the placeholders in them are the documented ones."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.kube import MANIFESTS, object_path, plural, read_manifest
from demo.settings import Settings
from retrainer.api.v1alpha1 import KINDS
from retrainer.api.v1alpha1.retrain_policy import RetrainPolicySpec

VALUES = {
    "ARCHIVE_START": "2026-02-01T00:00:00Z",
    "HISTORY_START": "2026-03-01T00:00:00Z",
    "CHAMPION_URI": "file:///models/artifacts/ab/",
    "CHAMPION_DIGEST": "sha256:" + "a" * 64,
    "GATEWAY_NAME": "public",
    "GATEWAY_NAMESPACE": "gateway-system",
}
FILES = sorted(p.name for p in MANIFESTS.glob("*.yaml"))
SPECS: dict[str, Any] = {k.kind: k.spec for k in KINDS}


def objects() -> list[dict[str, Any]]:
    return [obj for name in FILES for obj in read_manifest(MANIFESTS / name, VALUES)]


def policy() -> dict[str, Any]:
    return next(o for o in objects() if o["kind"] == "RetrainPolicy")


def merged(obj: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict) or not isinstance(obj, dict):
        return patch
    kept = {k: v for k, v in obj.items() if k not in patch}
    return kept | {k: merged(obj.get(k), v) for k, v in patch.items() if v is not None}


def test_the_files_hold_what_the_story_applies() -> None:
    assert {o["kind"] for o in objects()} == {
        "Namespace", "PersistentVolumeClaim", "PodTemplate", "FeedbackSource", "TrainingRun", "RetrainPolicy",
    }  # fmt: skip


@pytest.mark.parametrize("obj", [o for o in objects() if o["kind"] in SPECS], ids=lambda o: o["metadata"]["name"])
def test_every_object_of_ours_is_valid(obj: dict[str, Any]) -> None:
    SPECS[obj["kind"]].model_validate(obj["spec"])


@pytest.mark.parametrize("story", ["poor-method.yaml", "no-gates.yaml"])
def test_a_patch_of_a_story_leaves_a_valid_policy(story: str) -> None:
    (patch,) = read_manifest(MANIFESTS / "stories" / story)
    assert merged(policy(), patch) != policy()
    RetrainPolicySpec.model_validate(merged(policy(), patch)["spec"])


def test_every_comment_at_the_top_names_the_placeholders_of_its_file() -> None:
    for name in FILES:
        text = (MANIFESTS / name).read_text()
        comment = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
        for placeholder in VALUES:
            assert (f"${{{placeholder}}}" in text) <= (placeholder in comment), (name, placeholder)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(KeyError, match="ARCHIVE_START"):
        read_manifest(MANIFESTS / "first-champion.yaml", {})


def test_the_source_begins_suspended_so_that_no_half_written_day_is_judged_but_the_policy_serves() -> None:
    suspended = {(o["kind"], o["metadata"]["name"]): o["spec"].get("suspend") for o in objects() if o["kind"] in SPECS}
    assert suspended["FeedbackSource", "digits"] is True
    assert not suspended["RetrainPolicy", "digits"]


def test_the_picture_shows_the_policy_s_own_smallest_effect() -> None:
    experiment = policy()["spec"]["promotion"]["experiment"]
    assert float(experiment["minimumDetectableEffect"]) == Settings().minimum_effect


def test_people_vote_before_their_outcomes_count() -> None:
    from demo.people import THINKING_SECONDS

    assert policy()["spec"]["promotion"]["experiment"]["maturitySeconds"] > max(THINKING_SECONDS)


def test_the_server_s_pods_are_restricted() -> None:
    template = next(o for o in objects() if o["kind"] == "PodTemplate")["template"]["spec"]
    assert template["securityContext"]["runAsNonRoot"] is True
    for container in template["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_commands_in_the_stories_patches_name_the_file_itself() -> None:
    for path in (MANIFESTS / "stories").glob("*.yaml"):
        assert f"demo/manifests/stories/{path.name}" in path.read_text()


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [
        ("RetrainPolicy", "retrainer.dev/v1alpha1", "/apis/retrainer.dev/v1alpha1/namespaces/demo/retrainpolicies/x"),
        ("ABExperiment", "retrainer.dev/v1alpha1", "/apis/retrainer.dev/v1alpha1/namespaces/demo/abexperiments/x"),
        ("PersistentVolumeClaim", "v1", "/api/v1/namespaces/demo/persistentvolumeclaims/x"),
        ("Namespace", "v1", "/api/v1/namespaces/x"),
    ],
)
def test_paths_of_objects(kind: str, version: str, expected: str) -> None:
    obj = {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "demo"}}
    assert object_path(obj) == expected


def test_plurals_are_those_of_our_kinds() -> None:
    assert {k.kind: plural(k.kind) for k in KINDS} == {k.kind: k.plural for k in KINDS}


def test_a_file_without_placeholders_may_hold_dollar_signs(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: $b\n---\n---\nc: ${d}\n")
    assert read_manifest(tmp_path / "a.yaml") == list(yaml.safe_load_all("a: $b\n---\nc: ${d}\n"))

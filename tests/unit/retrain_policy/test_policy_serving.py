"""Deployment and Service of a revision: what is copied from the template, what is ours, what counts as drift."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrainer.api.v1alpha1.retrain_policy import Revision, RevisionState, Serving
from retrainer.retrain_policy import serving
from tests.unit.retrain_policy.policy_world import NOW, digest, pod_template, policy

REVISION = Revision(revision=4, uri="file:///m/4", digest=digest(4), state=RevisionState.CHAMPION, time=NOW)


def settings(**changes: Any) -> Serving:
    return Serving.model_validate({**policy()["spec"]["serving"], **changes})


def deployment(template: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    frozen = serving.freeze(template or pod_template(), 8080)
    return serving.build_deployment(policy(), settings(**changes), REVISION, frozen)


def test_the_pods_are_told_which_model_they_serve() -> None:
    (container,) = deployment()["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [
        {"name": "MODEL_URI", "value": "file:///m/4"},
        {"name": "MODEL_DIGEST", "value": digest(4)},
        {"name": "MODEL_REVISION", "value": "4"},
        {"name": "LOG", "value": "info"},
    ]


def test_init_containers_are_told_too_and_ours_replace_the_templates() -> None:
    template = pod_template()
    template["template"]["spec"]["initContainers"] = [
        {"name": "fetch", "env": [{"name": "MODEL_URI", "value": "stale"}, {"name": "TO", "value": "$(MODEL_URI)"}]}
    ]
    (container,) = deployment(template)["spec"]["template"]["spec"]["initContainers"]
    assert [(e["name"], e["value"]) for e in container["env"]] == [
        ("MODEL_URI", "file:///m/4"),
        ("MODEL_DIGEST", digest(4)),
        ("MODEL_REVISION", "4"),
        ("TO", "$(MODEL_URI)"),
    ]


def test_it_is_selected_by_labels_of_our_own() -> None:
    built = deployment()
    selector = {"retrainer.dev/policy": "tutor", "retrainer.dev/revision": "4"}
    assert built["spec"]["selector"]["matchLabels"] == selector
    assert selector.items() <= built["spec"]["template"]["metadata"]["labels"].items()
    service = serving.build_service(policy(), 4, 8080)
    assert service["spec"]["selector"] == selector
    assert service["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": 8080, "protocol": "TCP"}]
    assert service["metadata"]["name"] == built["metadata"]["name"] == "tutor-r4"


def test_labels_by_which_other_tools_believe_they_own_it_are_not_copied() -> None:
    template = pod_template()
    template["template"]["metadata"]["annotations"] = {
        "argocd.argoproj.io/tracking-id": "x",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "prometheus.io/scrape": "true",
    }
    template["template"]["metadata"]["creationTimestamp"] = None
    metadata = deployment(template)["spec"]["template"]["metadata"]
    assert metadata["labels"]["app"] == "tutor"
    assert "app.kubernetes.io/instance" not in metadata["labels"]
    assert metadata["annotations"] == {"prometheus.io/scrape": "true"}
    assert "creationTimestamp" not in metadata


def test_replicas_are_applied_only_where_the_spec_names_them() -> None:
    assert "replicas" not in deployment()["spec"]
    assert deployment(replicas=0)["spec"]["replicas"] == 0
    assert deployment(replicas=3)["spec"]["replicas"] == 3


def test_the_progress_deadline_is_that_of_the_policy() -> None:
    assert deployment(progressDeadlineSeconds=77)["spec"]["progressDeadlineSeconds"] == 77


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["template"]["spec"]["containers"][0].update(image="server:2"),
        lambda t: t["template"]["metadata"]["labels"].update(new="label"),
        lambda t: t["template"]["spec"].update(serviceAccountName="x"),
    ],
)
def test_the_hash_covers_what_reaches_the_pods(change: Any) -> None:
    template = pod_template()
    change(template)
    assert serving.freeze(template, 8080).hash != serving.freeze(pod_template(), 8080).hash


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["metadata"].update(resourceVersion="99", labels={"app.kubernetes.io/instance": "argo"}),
        lambda t: t["template"]["metadata"].setdefault("annotations", {}).update({"argocd.argoproj.io/x": "1"}),
        lambda t: t["template"]["metadata"]["labels"].update({"app.kubernetes.io/instance": "another"}),
    ],
)
def test_the_hash_does_not_cover_what_does_not(change: Any) -> None:
    template, plain = pod_template(), pod_template()
    plain["template"]["metadata"]["annotations"] = {}
    template["template"]["metadata"]["annotations"] = {}
    change(template)
    assert serving.freeze(template, 8080).hash == serving.freeze(plain, 8080).hash


def test_another_port_is_another_template() -> None:
    assert serving.freeze(pod_template(), 80).hash != serving.freeze(pod_template(), 8080).hash


def as_the_api_server_returns_it(built: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(built)
    found["metadata"].update(uid="u", generation=3)
    found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    found["spec"].update(replicas=1, strategy={"type": "RollingUpdate"})
    pod = found["spec"]["template"]["spec"]
    pod.update(restartPolicy="Always", dnsPolicy="ClusterFirst")
    pod["containers"][0].update(imagePullPolicy="IfNotPresent", terminationMessagePath="/dev/termination-log")
    pod["containers"][0]["env"].append({"name": "INJECTED", "value": "by a webhook"})
    return found


def test_defaults_and_additions_of_others_are_no_drift() -> None:
    built = deployment()
    assert serving.up_to_date(as_the_api_server_returns_it(built), built)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["spec"]["template"]["spec"]["containers"][0].update(image="other"),
        lambda d: d["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="other"),
        lambda d: d["spec"]["template"]["spec"]["containers"][0]["env"].pop(0),
        lambda d: d["spec"]["template"]["metadata"]["labels"].pop("app"),
        lambda d: d["spec"].update(progressDeadlineSeconds=1),
        lambda d: d["metadata"]["labels"].pop("retrainer.dev/managed-by"),
    ],
)
def test_what_we_asked_for_and_is_not_so_is_drift(change: Any) -> None:
    built = deployment()
    found = as_the_api_server_returns_it(built)
    change(found)
    assert not serving.up_to_date(found, built)


JSON = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abname"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_everything_covers_itself(value: Any) -> None:
    assert serving.covers(value, copy.deepcopy(value)) or _has_twin_names(value)


def _has_twin_names(value: Any) -> bool:
    """Lists whose items share a name do not exist in Kubernetes: names are merge keys."""
    if isinstance(value, dict):
        return any(_has_twin_names(v) for v in value.values())
    if isinstance(value, list):
        names = [repr(v.get("name")) for v in value if isinstance(v, dict)]
        return len(set(names)) < len(names) or any(_has_twin_names(v) for v in value)
    return False


@pytest.mark.parametrize(
    ("seen", "updated", "says", "available"),
    [
        (1, 1, "True", False),  # an earlier generation
        (2, 1, "True", True),
        (2, 0, "True", False),  # only pods of the old template
        (2, 1, "False", False),
        (2, 1, None, False),
    ],
)
def test_available_means_the_present_generation(seen: int, updated: int, says: str | None, available: bool) -> None:
    conditions = [{"type": "Available", "status": says}] if says else []
    status = {"observedGeneration": seen, "updatedReplicas": updated, "conditions": conditions}
    assert serving.is_available({"metadata": {"generation": 2}, "spec": {}, "status": status}) is available


def test_a_deployment_that_nobody_has_looked_at_is_not_available() -> None:
    assert not serving.is_available({"metadata": {"generation": 1}, "spec": {}})

"""What is installed: rights, security settings and network policies, as kustomize builds them."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.kube import resources
from retrainer.kube.resources import Resource
from retrainer.settings import Settings
from retrainer.training_run.input import Stage
from retrainer.training_run.job import data_job, result_job, training_job
from tests.unit.training_run.run_world import IMAGE, SNAPSHOT, run, spec

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
OURS = ("feedbacksources", "retrainpolicies", "trainingruns", "abexperiments")
OVERLAY = MANIFESTS / "overlays" / "several-namespaces"


@cache
def built(folder):
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder, kind):
    return [obj for obj in built(folder) if obj["kind"] == kind]


def only(folder, kind):
    (found,) = of_kind(folder, kind)
    return found


def verbs(role):
    """(group, resource) → verbs."""
    table = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                table.setdefault((group, resource), set()).update(rule["verbs"])
    return table


RIGHTS = verbs(only(MANIFESTS / "base", "Role"))


def test_base_holds_what_an_installation_needs():
    kinds = [obj["kind"] for obj in built(MANIFESTS / "base")]
    assert kinds.count("CustomResourceDefinition") == 4
    assert {"ServiceAccount", "Role", "RoleBinding", "Deployment", "NetworkPolicy", "ClusterRole"} <= set(kinds)
    assert "Namespace" not in kinds, "deleting the installation must not delete the namespace"


def test_nothing_is_granted_cluster_wide():
    for folder in (MANIFESTS / "base", OVERLAY):
        assert of_kind(folder, "ClusterRoleBinding") == []
        assert {b["roleRef"]["kind"] for b in of_kind(folder, "RoleBinding")} == {"Role"}


def test_no_rule_has_a_wildcard():
    for role in [*of_kind(MANIFESTS / "base", "Role"), *of_kind(MANIFESTS / "base", "ClusterRole")]:
        for rule in role["rules"]:
            assert "*" not in str(rule)
            assert set(rule) == {"apiGroups", "resources", "verbs"}


def test_secrets_can_be_read_by_name_and_neither_listed_nor_written():
    assert RIGHTS["", "secrets"] == {"get"}


def test_the_operator_may_not_raise_its_own_rights_or_run_pods_directly():
    assert not {group for group, _ in RIGHTS} & {"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}
    assert RIGHTS["", "pods"] == {"get", "list", "watch"}
    assert RIGHTS["", "pods/log"] == {"get"}
    assert not {resource for _, resource in RIGHTS} & {"pods/exec", "pods/attach", "serviceaccounts/token"}


def test_people_own_sources_and_policies():
    for plural in ("feedbacksources", "retrainpolicies"):
        assert RIGHTS["retrainer.dev", plural] == {"get", "list", "watch"}


@pytest.mark.parametrize("plural", OURS)
def test_every_kind_has_status_and_finalizers(plural):
    assert RIGHTS["retrainer.dev", f"{plural}/status"] == {"get", "update", "patch"}
    assert RIGHTS["retrainer.dev", f"{plural}/finalizers"] == {"update"}


WRITTEN = {resources.JOB, resources.DEPLOYMENT, resources.SERVICE, resources.HTTP_ROUTE}
WATCHED = {resources.JOB, resources.DEPLOYMENT, resources.SERVICE, resources.CONFIG_MAP, resources.POD}
WATCHED |= {resources.ENDPOINT_SLICE, resources.POD_TEMPLATE}


@pytest.mark.parametrize("resource", [r for r in vars(resources).values() if isinstance(r, Resource)], ids=str)
def test_every_resource_that_the_code_touches_is_granted(resource):
    granted = RIGHTS[resource.group, resource.plural]
    if resource in WRITTEN:
        assert {"get", "create", "patch", "delete"} <= granted
    if resource in WATCHED:
        assert {"get", "list", "watch"} <= granted
    if resource is resources.EVENT:
        assert "create" in granted
    if resource is resources.LEASE:
        assert granted == {"get", "create", "update"}
    assert granted


def test_nothing_is_granted_that_the_code_never_touches():
    known = {(r.group, r.plural) for r in vars(resources).values() if isinstance(r, Resource)}
    extra = {("", "pods/log"), ("events.k8s.io", "events")}
    extra |= {("retrainer.dev", f"{plural}/{sub}") for plural in OURS for sub in ("status", "finalizers")}
    assert set(RIGHTS) <= known | extra


def test_viewers_and_editors_join_the_roles_that_kubernetes_has():
    roles = {role["metadata"]["name"]: role for role in of_kind(MANIFESTS / "base", "ClusterRole")}
    prefix = "rbac.authorization.k8s.io/aggregate-to-"

    def joins(role):
        return {
            k.removeprefix(prefix)
            for k, v in role["metadata"]["labels"].items()
            if k.startswith(prefix) and v == "true"
        }

    assert joins(roles["retrainer-viewer"]) == {"view"}
    assert joins(roles["retrainer-editor"]) == {"edit", "admin"}
    for role in roles.values():
        assert {resource for _, resource in verbs(role)} == set(OURS), "status is the operator's alone"
    assert all(v == {"get", "list", "watch"} for v in verbs(roles["retrainer-viewer"]).values())


# The operator's pod


def operator_pod(folder=MANIFESTS / "base"):
    return only(folder, "Deployment")["spec"]["template"]["spec"]


def assert_restricted(pod):
    """Pod Security Standard `restricted`, and a root file system that nobody writes to."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "projected", "downwardAPI", "name"}
    assert all(set(volume) <= allowed for volume in pod.get("volumes", []))
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert container["resources"]["requests"]
        assert not any("hostPort" in port for port in container.get("ports", []))


def test_the_operator_runs_restricted_and_is_probed():
    pod = operator_pod()
    assert_restricted(pod)
    (container,) = pod["containers"]
    assert container["args"] == ["operator"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    assert pod["serviceAccountName"] == only(MANIFESTS / "base", "ServiceAccount")["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is True


def environment(pod):
    return {v["name"]: v.get("value", "from-the-pod") for v in pod["containers"][0]["env"]}


def test_the_settings_of_the_deployment_are_understood():
    settings = Settings.from_environment(environment(operator_pod()))
    assert settings.namespaces == ("from-the-pod",), "it watches its own namespace"
    assert (settings.health_port, settings.trainer_image) == (8080, "retrainer/trainer:0.1.0")
    known = set(re.findall(r"RETRAINER_\w+", (ROOT / "operator/retrainer/settings.py").read_text()))
    assert {name for name in environment(operator_pod()) if name.startswith("RETRAINER_")} <= known


def test_selector_service_and_policy_mean_the_same_pods():
    deployment = only(MANIFESTS / "base", "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert only(MANIFESTS / "base", "Service")["spec"]["selector"].items() <= labels.items()
    policies = {p["metadata"]["name"]: p for p in of_kind(MANIFESTS / "base", "NetworkPolicy")}
    assert policies["retrainer-operator"]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


# Network policies of the Jobs


def selects(policy, labels):
    selector = policy["spec"]["podSelector"]
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def labels_of_jobs():
    full = TrainingRunSpec.model_validate(spec())
    jobs = {
        "data": data_job(run(), full, 1, IMAGE, ()),
        "training": training_job(run(), full, 1, IMAGE, SNAPSHOT),
        "result": result_job(run(), full, 1, IMAGE, Stage.DATA, None),
    }
    return {stage: job["spec"]["template"]["metadata"]["labels"] for stage, job in jobs.items()}


@pytest.mark.parametrize(
    ("stage", "policy"),
    [("data", "retrainer-data-jobs"), ("training", "retrainer-training-jobs"), ("result", "retrainer-training-jobs")],
)
def test_every_job_has_exactly_its_network_policy(stage, policy):
    labels = labels_of_jobs()[stage]
    found = [p["metadata"]["name"] for p in of_kind(MANIFESTS / "base", "NetworkPolicy") if selects(p, labels)]
    assert found == [policy]


def test_nothing_reaches_a_job_and_training_reaches_nothing():
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(MANIFESTS / "base", "NetworkPolicy")}
    for name in ("retrainer-data-jobs", "retrainer-training-jobs"):
        assert set(policies[name]["policyTypes"]) == {"Ingress", "Egress"}
        assert "ingress" not in policies[name]
    assert "egress" not in policies["retrainer-training-jobs"]


def test_cloud_metadata_stays_out_of_reach():
    for policy in of_kind(MANIFESTS / "base", "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            if rule["ports"][0]["port"] != 53:
                assert {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]} in blocks


# Namespaces


def test_base_can_be_moved_to_another_namespace(tmp_path):
    base = os.path.relpath(MANIFESTS / "base", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "chat", "resources": [base]}))
    for obj in built(tmp_path):
        assert obj["metadata"].get("namespace") in (None, "chat")
    assert only(tmp_path, "RoleBinding")["subjects"][0]["namespace"] == "chat"
    assert only(MANIFESTS / "base", "RoleBinding")["subjects"][0]["namespace"] == "retrainer"


def test_one_operator_serves_several_namespaces():
    assert only(OVERLAY, "Deployment")["metadata"]["namespace"] == "retrainer"
    settings = Settings.from_environment(environment(operator_pod(OVERLAY)))
    assert (settings.namespaces, settings.lease_namespace) == (("chat", "search"), "retrainer")
    for kind in ("Role", "RoleBinding"):
        assert {obj["metadata"]["namespace"] for obj in of_kind(OVERLAY, kind)} == {"retrainer", *settings.namespaces}
    for binding in of_kind(OVERLAY, "RoleBinding"):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "retrainer-operator", "namespace": "retrainer"}
        ]
    assert {str(verbs(role)) for role in of_kind(OVERLAY, "Role")} == {str(RIGHTS)}


def test_the_jobs_network_policies_are_in_every_watched_namespace():
    where = {(p["metadata"]["namespace"], p["metadata"]["name"]) for p in of_kind(OVERLAY, "NetworkPolicy")}
    jobs = ("retrainer-data-jobs", "retrainer-training-jobs")
    assert where == {(n, name) for n in ("retrainer", "chat", "search") for name in jobs} | {
        ("retrainer", "retrainer-operator")
    }


# Files


def test_every_manifest_is_part_of_a_kustomization():
    for path in MANIFESTS.rglob("*.yaml"):
        if path.name != "kustomization.yaml" and (path.parent / "kustomization.yaml").exists():
            assert path.name in yaml.safe_load((path.parent / "kustomization.yaml").read_text())["resources"], path


def test_images_name_no_registry():
    text = "\n".join(path.read_text() for path in MANIFESTS.rglob("*.yaml"))
    images = re.findall(r"^\s*-?\s*image:\s*(\S+)", text, re.MULTILINE)
    assert images
    assert all("." not in image.split("/")[0] for image in images)


def dockerfile():
    text = (ROOT / "operator" / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_the_image_runs_as_a_number_and_installs_by_hash_only():
    lines = dockerfile()
    assert [rest for word, rest in lines if word == "USER"] == ["65532:65532"]
    assert [rest for word, rest in lines if word == "ENTRYPOINT"] == ['["python", "-m", "retrainer"]']
    installs = [rest for word, rest in lines if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("--require-hashes" in rest and "--no-deps" in rest for rest in installs)
    assert not [word for word, _ in lines if word == "ADD"], "ADD fetches and unpacks"
    assert not re.search(r"\b(curl|wget|apt-get)\b", "\n".join(rest for _, rest in lines))


def test_the_image_copies_only_what_exists():
    sources = [rest.split()[:-1] for word, rest in dockerfile() if word == "COPY" and "--from" not in rest]
    for source in (s for group in sources for s in group):
        assert (ROOT / source).exists(), source

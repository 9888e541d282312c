"""The samples that people copy are accepted, and applying them again changes nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from crd.conftest import Api

from devcluster.cluster import Cluster
from retrainer.api.v1alpha1 import KINDS

SAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "samples"
FILES = [path for path in sorted(SAMPLES.glob("*.yaml")) if path.name != "kustomization.yaml"]


def documents() -> list[dict[str, object]]:
    return [doc for path in FILES for doc in yaml.safe_load_all(path.read_text(encoding="utf-8")) if doc]


def test_there_is_a_sample_of_every_kind() -> None:
    assert {kind.kind for kind in KINDS} <= {str(document["kind"]) for document in documents()}


@pytest.mark.parametrize(
    "how", [["--validate=strict"], ["--server-side", "--validate=strict"]], ids=["client", "server"]
)
def test_every_sample_is_accepted_and_applying_it_again_changes_nothing(
    how: list[str], api: Api, cluster: Cluster, namespace: str
) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    files = [part for path in FILES for part in ("-f", str(path))]

    def apply() -> dict[str, str]:
        columns = "custom-columns=KIND:.kind,NAME:.metadata.name,VERSION:.metadata.resourceVersion"
        subprocess.run([*kubectl, "apply", *how, *files], check=True, capture_output=True)
        kinds = ",".join(kind.plural for kind in KINDS)
        listed = subprocess.run(
            [*kubectl, "get", kinds, "-o", columns, "--no-headers"], check=True, capture_output=True, text=True
        )
        return {" ".join(line.split()[:2]): line.split()[2] for line in listed.stdout.splitlines()}

    first = apply()
    assert len(first) == len([d for d in documents() if str(d["apiVersion"]).startswith("retrainer.dev/")])
    assert apply() == first


def test_kubectl_finds_the_kinds_by_their_short_names_and_by_the_category(cluster: Cluster, api: Api) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    command = [*kubectl, "api-resources", "--categories=retrainer", "--no-headers"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {tuple(line.split()[:2]) for line in listed} == {(kind.plural, kind.short) for kind in KINDS}

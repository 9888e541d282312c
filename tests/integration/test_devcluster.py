"""Containers of the development cluster behave like containers of Kubernetes."""

import os
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from integration.devcluster_support import (
    Kubectl,
    condition,
    config_map,
    container,
    eventually,
    finished,
    is_running,
    job,
    pod,
    pod_spec,
    terminated,
    waiting,
)

from devcluster.cluster import Cluster


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace)


def test_a_job_ends_with_its_exit_code_and_termination_message(kubectl: Kubectl) -> None:
    script = 'echo working; printf \'{"reason":"SchemaMismatch"}\' > /dev/termination-log; exit 64'
    kubectl.create(job("fails", pod_spec(container("sh", "-c", script))))

    eventually(lambda: condition(kubectl.get("job", "fails"), "Failed").get("status") == "True")
    state = terminated(kubectl.pods("app=fails")[0])

    assert (state["exitCode"], state["reason"]) == (64, "Error")
    assert state["message"] == '{"reason":"SchemaMismatch"}'
    assert kubectl("logs", "job/fails") == "working\n"


def test_a_job_that_succeeds_completes(kubectl: Kubectl) -> None:
    kubectl.create(job("works", pod_spec(container("true"))))

    eventually(lambda: condition(kubectl.get("job", "works"), "Complete").get("status") == "True")

    assert terminated(kubectl.pods("app=works")[0])["reason"] == "Completed"


def test_the_termination_message_path_is_honoured_and_in_the_environment(kubectl: Kubectl) -> None:
    script = 'printf "$1" > "$2"; test "$2" = "$TERMINATION_MESSAGE_PATH"'
    main = container("sh", "-c", script, "sh", "done", "/run/result", terminationMessagePath="/run/result")
    kubectl.create(pod("told", pod_spec(main)))

    state = finished(kubectl, "told")

    assert (state["exitCode"], state["message"]) == (0, "done")


def test_an_unexplained_sigkill_is_a_lack_of_memory(kubectl: Kubectl) -> None:
    kubectl.create(pod("big", pod_spec(container("sh", "-c", "kill -9 $$$$"))))

    state = finished(kubectl, "big")

    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")


def test_a_program_that_does_not_exist_is_a_start_error(kubectl: Kubectl) -> None:
    kubectl.create(pod("absent", pod_spec(container("no-such-program"))))

    state = finished(kubectl, "absent")

    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert "no-such-program" in state["message"]


def test_logs_can_be_cut_and_followed_and_the_previous_ones_read(kubectl: Kubectl) -> None:
    script = (
        "for n in 1 2 3 4 5; do echo line $n; done; echo >> /keep/starts; [ $(wc -l < /keep/starts) = 2 ]"
    )
    main = container("sh", "-c", script, volumeMounts=[{"name": "keep", "mountPath": "/keep"}])
    spec = pod_spec(main, restartPolicy="OnFailure", volumes=[{"name": "keep", "emptyDir": {}}])
    kubectl.create(pod("talks", spec))

    eventually(lambda: kubectl.get("pod", "talks")["status"].get("phase") == "Succeeded")

    assert kubectl("logs", "talks", "--tail=2") == "line 4\nline 5\n"
    assert kubectl("logs", "talks", "--limit-bytes=6") == "line 1"
    assert kubectl("logs", "talks", "-f") == "".join(f"line {n}\n" for n in range(1, 6))
    assert kubectl("logs", "talks", "--previous", "--tail=1") == "line 5\n"
    assert kubectl.get("pod", "talks")["status"]["containerStatuses"][0]["restartCount"] == 1


def test_following_shows_lines_as_they_come(kubectl: Kubectl, cluster: Cluster, namespace: str) -> None:
    kubectl.create(pod("slow", pod_spec(container("sh", "-c", "echo first; sleep 1; echo last"))))
    eventually(lambda: is_running(kubectl, "slow"))

    assert kubectl("logs", "slow", "-f") == "first\nlast\n"


def test_config_maps_secrets_and_the_downward_api_reach_the_container(kubectl: Kubectl) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "keys"},
        "stringData": {"token": "s3cret"},
    }
    script = (
        'cat /conf/app.json; echo "$COLOR $SIZE $NAME $MISSING."; cat /keys/token; '
        "stat -c ' %a' /keys/token; test -d $(sed 's/.*:\"file:..//; s/\"}//' /conf/app.json) && echo found"
    )
    main = container(
        "sh",
        "-c",
        script,
        envFrom=[{"configMapRef": {"name": "conf"}}],
        env=[
            {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "COLOR"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        volumeMounts=[
            {"name": "conf", "mountPath": "/conf"},
            {"name": "keys", "mountPath": "/keys"},
            {"name": "data", "mountPath": "/data"},
        ],
    )
    volumes = [
        {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "app.json", "path": "app.json"}]}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "data", "emptyDir": {}},
    ]
    conf = config_map("conf", COLOR="blue", **{"app.json": '{"uri":"file:///data"}'})
    kubectl.create(conf, secret, pod("reads", pod_spec(main, volumes=volumes)))

    assert finished(kubectl, "reads")["exitCode"] == 0
    lines = kubectl("logs", "reads").splitlines()
    assert "file:///data" not in lines[0]
    assert "blue blue reads ." in lines[0]
    assert lines[1:] == ["s3cret 400", "found"]


def test_a_pod_waits_for_its_config_map(kubectl: Kubectl) -> None:
    main = container("sh", "-c", "echo $COLOR", envFrom=[{"configMapRef": {"name": "later"}}])
    kubectl.create(pod("patient", pod_spec(main)))
    eventually(lambda: waiting(kubectl.get("pod", "patient")).get("reason") == "CreateContainerConfigError")

    kubectl.create(config_map("later", COLOR="green"))

    assert finished(kubectl, "patient")["exitCode"] == 0
    assert kubectl("logs", "patient") == "green\n"


def test_a_claim_is_a_directory_that_outlives_its_pods(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    resources = {"requests": {"storage": "1Gi"}}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources},
    }
    mounts = [{"name": "models", "mountPath": "/models"}]
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    writer = container("sh", "-c", "echo weights > $0", "/models/a.bin", volumeMounts=mounts)
    reader = container("cat", "/models/a.bin", volumeMounts=mounts)
    kubectl.create(claim, pod("writes", pod_spec(writer, volumes=volumes)))

    assert finished(kubectl, "writes")["exitCode"] == 0
    assert kubectl.get("pvc", "models")["status"]["phase"] == "Bound"
    assert (cluster.volumes_dir(namespace, "models") / "a.bin").read_text() == "weights\n"
    kubectl("delete", "pod", "writes")
    kubectl.create(pod("reads", pod_spec(reader, volumes=volumes)))
    assert finished(kubectl, "reads")["exitCode"] == 0
    assert kubectl("logs", "reads") == "weights\n"


def test_the_service_account_token_opens_the_api(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={namespace}:default")
    main = container("kubectl", "get", "configmaps", "--output=name")
    kubectl.create(pod("asks", pod_spec(main)))

    assert finished(kubectl, "asks")["exitCode"] == 0
    assert "configmap/kube-root-ca.crt" in kubectl("logs", "asks")


def test_a_service_account_kubeconfig_is_bound_by_rbac(
    kubectl: Kubectl, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    kubectl("create", "serviceaccount", "limited")

    path = cluster.service_account_kubeconfig(namespace, "limited", tmp_path / "kubeconfig")

    command = ["kubectl", "--kubeconfig", str(path), "get", "pods"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"system:serviceaccount:{namespace}:limited" in refused.stderr


def test_init_containers_run_first_and_their_failure_fails_the_pod(kubectl: Kubectl) -> None:
    mounts = [{"name": "work", "mountPath": "/exchange"}]
    volumes = [{"name": "work", "emptyDir": {}}]
    first = {**container("sh", "-c", "echo ready > /exchange/state", volumeMounts=mounts), "name": "first"}
    main = container("grep", "ready", "/exchange/state", volumeMounts=mounts)
    broken = {**container("false"), "name": "broken"}
    kubectl.create(
        pod("ordered", pod_spec(main, volumes=volumes, initContainers=[first])),
        pod("stuck", pod_spec(container("true"), initContainers=[broken])),
    )

    assert finished(kubectl, "ordered")["exitCode"] == 0
    eventually(lambda: kubectl.get("pod", "stuck")["status"].get("phase") == "Failed")
    assert waiting(kubectl.get("pod", "stuck"))["reason"] == "PodInitializing"


def test_an_unknown_image_is_reported_with_the_remedy(kubectl: Kubectl) -> None:
    main = {**container("true"), "image": "registry.example/unknown:1"}
    kubectl.create(pod("unknown", pod_spec(main)))

    reasons = {"ErrImagePull", "ImagePullBackOff"}
    eventually(lambda: waiting(kubectl.get("pod", "unknown")).get("reason") in reasons)

    assert "image table" in waiting(kubectl.get("pod", "unknown"))["message"]


def test_pods_queue_for_the_only_gpu(kubectl: Kubectl) -> None:
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    hold = container("sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait", resources=resources)
    kubectl.create(pod("holds", pod_spec(hold)))
    eventually(lambda: is_running(kubectl, "holds"))
    kubectl.create(pod("queues", pod_spec(container("true", resources=resources))))

    scheduled = eventually(lambda: condition(kubectl.get("pod", "queues"), "PodScheduled"))
    assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
    assert "nvidia.com/gpu" in scheduled["message"]
    kubectl("delete", "pod", "holds", "--wait=false")
    assert finished(kubectl, "queues")["exitCode"] == 0


def test_termination_sends_sigterm_and_waits_for_the_grace_period(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    """The container is given the time that it asked for, and what it leaves behind is killed."""
    mounts = [{"name": "out", "mountPath": "/out"}]
    script = "trap 'sleep 1; echo saved > /out/checkpoint; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    spec = pod_spec(
        container("sh", "-c", script, volumeMounts=mounts),
        terminationGracePeriodSeconds=20,
        volumes=[{"name": "out", "hostPath": {"path": str(cluster.volumes_dir(namespace, "out"))}}],
    )
    cluster.volumes_dir(namespace, "out").mkdir(parents=True)
    kubectl.create(pod("saves", spec))
    eventually(lambda: kubectl("logs", "saves", check=False) == "up\n")

    kubectl("delete", "pod", "saves")

    assert (cluster.volumes_dir(namespace, "out") / "checkpoint").read_text() == "saved\n"


def test_a_suspended_job_ends_its_pod_and_resumes(kubectl: Kubectl) -> None:
    spec = pod_spec(container("sleep", "600"), terminationGracePeriodSeconds=1)
    kubectl.create(job("pausable", spec))
    eventually(lambda: kubectl.get("job", "pausable")["status"].get("ready") == 1)

    kubectl("patch", "job", "pausable", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    eventually(lambda: not kubectl.pods("app=pausable"))
    kubectl("patch", "job", "pausable", "--type=merge", "-p", '{"spec":{"suspend":false}}')

    eventually(lambda: kubectl.get("job", "pausable")["status"].get("ready") == 1)


def test_a_failing_liveness_probe_restarts_the_container(kubectl: Kubectl) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    main = container("sleep", "600", livenessProbe=probe)
    spec = {**pod_spec(main, terminationGracePeriodSeconds=1), "restartPolicy": "Always"}
    kubectl.create(pod("sick", spec))

    def restarted() -> bool:
        statuses = kubectl.get("pod", "sick")["status"].get("containerStatuses") or [{}]
        return bool(statuses[0].get("restartCount", 0) >= 1)

    eventually(restarted)


def test_a_pod_failure_policy_sees_the_exit_code(kubectl: Kubectl) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64]}}
    spec = pod_spec(container("sh", "-c", "exit 64"))
    kubectl.create(job("invalid", spec, backoffLimit=6, podFailurePolicy={"rules": [rule]}))

    failed = eventually(lambda: condition(kubectl.get("job", "invalid"), "Failed"))

    assert failed["reason"] == "PodFailurePolicy"
    assert len(kubectl.pods("app=invalid")) == 1


@pytest.mark.skipif(
    os.geteuid() != 0, reason="the node's address is inside the namespace of a rootless cluster"
)
def test_only_the_api_server_may_read_logs_from_the_node(cluster: Cluster, kubectl: Kubectl) -> None:
    kubectl.create(pod("talks", pod_spec(container("echo", "secret"))))
    finished(kubectl, "talks")
    addresses = kubectl.get("node", "devcluster")["status"]["addresses"]
    url = f"https://{addresses[0]['address']}:10250/containerLogs/x/talks/main"
    pki = cluster.state_dir / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url, context=context, timeout=10)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(
            url, context=ssl.create_default_context(cafile=str(pki / "ca.crt")), timeout=10
        )

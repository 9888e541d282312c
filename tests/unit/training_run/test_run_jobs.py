"""The children of a run, field by field."""

import json

import pytest

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.api.v1alpha1.run_contract import RunConfig, SourceConfig
from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.training_run.input import Stage
from retrainer.training_run.job import (
    config_map,
    config_name,
    data_job,
    job_name,
    reads_result_of,
    result_job,
    training_job,
)
from retrainer.training_run.pod import SecretMount
from tests.unit.training_run.run_world import IMAGE, SNAPSHOT, run, source, spec

MOUNT = SecretMount("thumbs", "feedback-db", "dsn")
SETTINGS = {
    "image": IMAGE,
    "resources": {"cpu": "4", "memory": "16Gi", "gpu": 2, "gpuResource": "amd.com/gpu"},
    "serviceAccountName": "trainer",
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "batch",
    "volumeClaims": [{"claimName": "models", "mountPath": "/models"}, {"claimName": "cache", "mountPath": "/cache"}],
    "activeDeadlineSeconds": 7200,
    "maximumRetries": 5,
    "ttlSecondsAfterFinished": 900,
}


def parsed(**changes):
    return TrainingRunSpec.model_validate(spec(**changes))


def all_jobs(**changes):
    full = parsed(**changes)
    return {
        Stage.DATA: data_job(run(), full, 1, IMAGE, (MOUNT,)),
        Stage.TRAINING: training_job(run(), full, 1, IMAGE, SNAPSHOT),
        Stage.RESULT: result_job(run(), full, 1, IMAGE, Stage.DATA, None),
    }


def container(job):
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


def pod_spec(job):
    return job["spec"]["template"]["spec"]


def test_names_tell_run_stage_and_attempt():
    assert [job_name("tutor-4", stage, 2) for stage in Stage] == [
        "tutor-4-data-2",
        "tutor-4-train-2",
        "tutor-4-result-2",
    ]
    assert config_name("tutor-4", 2) == "tutor-4-config-2"


def test_names_of_children_fit_for_the_longest_name_and_many_attempts():
    assert all(len(job_name("a" * 40, stage, 10**9)) <= 63 for stage in Stage)


@pytest.mark.parametrize("stage", Stage)
def test_every_job_is_owned_labelled_and_free_of_what_belongs_to_the_run(stage):
    meta = all_jobs()[stage]["metadata"]
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "retrainer.dev/v1alpha1",
            "kind": "TrainingRun",
            "name": "tutor-4",
            "uid": "run-uid",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    labels = {
        "retrainer.dev/managed-by": "retrainer",
        "retrainer.dev/owner-kind": "trainingrun",
        "retrainer.dev/owner-name": "tutor-4",
        "retrainer.dev/stage": stage.value.lower(),
    }
    assert labels.items() <= meta["labels"].items()
    assert meta["namespace"] == "chat"
    assert "annotations" not in meta
    assert all(key.startswith("retrainer.dev/") for key in meta["labels"])
    # The pods carry them too: the operator watches only what has them.
    assert all_jobs()[stage]["spec"]["template"]["metadata"]["labels"] == meta["labels"]


@pytest.mark.parametrize("stage", Stage)
def test_every_pod_meets_pod_security_restricted(stage):
    spec = pod_spec(all_jobs(job=SETTINGS)[stage])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(all_jobs()[stage])["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set().union(*spec["volumes"]) <= {"name", "configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)


@pytest.mark.parametrize("stage", Stage)
def test_no_pod_gets_an_api_token_and_every_one_can_be_restarted_safely(stage):
    spec = pod_spec(all_jobs()[stage])
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never", "podFailurePolicy requires it"
    assert all_jobs()[stage]["spec"]["podReplacementPolicy"] == "Failed"
    assert spec["terminationGracePeriodSeconds"] >= 60


@pytest.mark.parametrize("stage", Stage)
def test_the_failure_policy_follows_the_exit_codes(stage):
    rules = all_jobs()[stage]["spec"]["podFailurePolicy"]["rules"]
    assert rules == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "trainer", "operator": "In", "values": [64, 65, 71, 72, 73, 137]},
        },
        {"action": "Ignore", "onExitCodes": {"containerName": "trainer", "operator": "In", "values": [75]}},
    ]
    assert container(all_jobs()[stage])["name"] == "trainer"


def test_limits_of_time_and_retries_are_the_runs():
    for stage, job in all_jobs(job=SETTINGS).items():
        deadline, retries = (600, 2) if stage is Stage.RESULT else (7200, 5)
        assert job["spec"]["activeDeadlineSeconds"] == deadline
        assert job["spec"]["backoffLimit"] == retries
        assert job["spec"]["ttlSecondsAfterFinished"] == 900


def test_the_deadline_is_set_even_if_nobody_asked_for_one():
    assert all_jobs()[Stage.TRAINING]["spec"]["activeDeadlineSeconds"] == 86_400
    assert all_jobs()[Stage.TRAINING]["spec"]["ttlSecondsAfterFinished"] >= 600


def test_only_the_training_job_asks_for_gpus():
    jobs = all_jobs(job=SETTINGS)
    amounts = {"cpu": "4", "memory": "16Gi"}
    assert container(jobs[Stage.TRAINING])["resources"] == {
        "requests": {**amounts, "amd.com/gpu": "2"},
        "limits": {**amounts, "amd.com/gpu": "2"},
    }
    for stage in (Stage.DATA, Stage.RESULT):
        assert container(jobs[stage])["resources"] == {"requests": amounts, "limits": amounts}


def test_gpus_are_nvidias_unless_named_otherwise():
    job = all_jobs(job={**SETTINGS, "resources": {"gpu": 1}})[Stage.TRAINING]
    assert container(job)["resources"]["limits"] == {"nvidia.com/gpu": "1"}


def test_a_run_that_asks_for_nothing_still_requests_a_little():
    job = all_jobs(job={"image": IMAGE})[Stage.DATA]
    assert container(job)["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}}


def test_only_the_data_job_gets_source_credentials():
    jobs = all_jobs()
    secret = {
        "secretName": "feedback-db",
        "items": [{"key": "dsn", "path": "dsn"}],
        "defaultMode": 0o440,
    }
    assert {"name": "source-0", "secret": secret} in pod_spec(jobs[Stage.DATA])["volumes"]
    assert {
        "name": "source-0",
        "mountPath": "/etc/retrainer-secrets/thumbs",
        "readOnly": True,
    } in container(jobs[Stage.DATA])["volumeMounts"]
    assert MOUNT.file == "/etc/retrainer-secrets/thumbs/dsn"
    for stage in (Stage.TRAINING, Stage.RESULT):
        assert "feedback-db" not in json.dumps(jobs[stage])
    assert "secretKeyRef" not in json.dumps(jobs), "environment variables leak into child processes and dumps"


@pytest.mark.parametrize("stage", Stage)
def test_every_job_has_configuration_scratch_space_and_claims(stage):
    job = all_jobs(job=SETTINGS)[stage]
    volumes = {volume.pop("name"): volume for volume in pod_spec(job)["volumes"]}
    mounts = {mount.pop("name"): mount for mount in container(job)["volumeMounts"]}
    assert volumes["config"] == {"configMap": {"name": "tutor-4-config-1"}}
    assert mounts["config"] == {"mountPath": "/etc/retrainer", "readOnly": True}
    assert (volumes["workdir"], mounts["workdir"]) == ({"emptyDir": {}}, {"mountPath": "/workdir"})
    assert volumes["claim-1"] == {"persistentVolumeClaim": {"claimName": "cache"}}
    assert mounts["claim-1"] == {"mountPath": "/cache"}
    assert set(volumes) == set(mounts)
    environment = {variable["name"]: variable["value"] for variable in container(job)["env"]}
    assert environment == {
        "HOME": "/workdir",
        "TMPDIR": "/workdir",
        "TERMINATION_MESSAGE_PATH": "/dev/termination-log",
        "RETRAINER_DATA_ROOT": "/models",
    }


@pytest.mark.parametrize("stage", Stage)
def test_where_the_pods_may_run_is_the_runs_choice(stage):
    spec = pod_spec(all_jobs(job=SETTINGS)[stage])
    assert spec["serviceAccountName"] == "trainer"
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["priorityClassName"] == "batch"
    bare = pod_spec(all_jobs(job={"image": IMAGE})[stage])
    assert not {"serviceAccountName", "nodeSelector", "tolerations", "priorityClassName"} & set(bare)


def test_arguments_follow_the_images_entry_point():
    common = ["--config", "/etc/retrainer/run.json", "--workdir", "/workdir"]
    jobs = all_jobs()
    assert container(jobs[Stage.DATA])["args"] == ["data", *common]
    assert container(jobs[Stage.TRAINING])["args"] == ["train", *common, "--snapshot-digest", SNAPSHOT]
    assert container(jobs[Stage.RESULT])["args"] == ["result", *common]
    of_training = result_job(run(), parsed(), 1, IMAGE, Stage.TRAINING, SNAPSHOT)
    assert container(of_training)["args"] == ["result", *common, "--snapshot-digest", SNAPSHOT]
    assert "command" not in container(jobs[Stage.DATA])
    assert {container(job)["image"] for job in jobs.values()} == {IMAGE}


@pytest.mark.parametrize("stage", Stage)
def test_the_termination_message_is_the_files_never_the_logs(stage):
    only = container(all_jobs()[stage])
    assert only["terminationMessagePolicy"] == "File"
    assert only["terminationMessagePath"] == "/dev/termination-log"


def test_a_result_job_says_whose_result_it_reads():
    assert reads_result_of(result_job(run(), parsed(), 1, IMAGE, Stage.DATA, None)) == "Data"
    assert reads_result_of(result_job(run(), parsed(), 1, IMAGE, Stage.TRAINING, SNAPSHOT)) == "Training"
    assert reads_result_of(data_job(run(), parsed(), 1, IMAGE, ())) == ""


def test_run_json_is_what_the_trainer_validates_and_names_secrets_by_file_only():
    sources = (
        SourceConfig(
            name="thumbs",
            spec=FeedbackSourceSpec.model_validate(source()["spec"]),
            secret_file=MOUNT.file,
            allowed_hosts=("db.chat.svc",),
        ),
    )
    made = config_map(run(), parsed(), 3, sources)
    assert made["metadata"]["name"] == "tutor-4-config-3"
    assert made["immutable"] is True
    assert made["metadata"]["ownerReferences"][0]["uid"] == "run-uid"
    config = RunConfig.model_validate_json(made["data"]["run.json"])
    assert (config.run.namespace, config.run.name, config.run.uid, config.attempt) == ("chat", "tutor-4", "run-uid", 3)
    assert config.spec == parsed()
    assert config.sources == sources
    assert config.snapshot is None


def test_builders_return_plain_data_that_json_can_carry():
    for made in (*all_jobs(job=SETTINGS).values(), config_map(run(), parsed(), 1, ())):
        assert json.loads(json.dumps(made)) == made

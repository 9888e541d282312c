"""The pod of a run's Jobs: Pod Security restricted, without an API token, with exactly the mounts it needs."""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.api.v1alpha1.run_contract import CONFIG_MOUNT, DATA_ROOT_VARIABLE, SECRETS_MOUNT, WORKDIR_MOUNT
from retrainer.api.v1alpha1.training_parts import JobSettings, Resources
from retrainer.plan import Object

CONTAINER = "trainer"
"""Name of the only container; `podFailurePolicy` and log readers refer to it."""

RESERVED_MOUNTS = (CONFIG_MOUNT, SECRETS_MOUNT, WORKDIR_MOUNT)
"""Paths at which no claim may be mounted."""

TERMINATION_LOG = "/dev/termination-log"
DEFAULT_GPU_RESOURCE = "nvidia.com/gpu"

_GROUP = 65532
"""Files on claims and secrets belong to this group: an unprivileged user of any number can then use them."""
_GROUP_MAY_READ = 0o440
_GRACE_SECONDS = 120
"""Time to finish a step and save a checkpoint after SIGTERM."""
_FLOOR = {"cpu": "100m", "memory": "256Mi"}
"""Requested where the run asks for nothing, so that the scheduler does not take the pod for free."""


@dataclass(frozen=True)
class SecretMount:
    """One key of a Secret as the file `SECRETS_MOUNT/<source>/<key>`."""

    source: str
    secret: str
    key: str

    @property
    def file(self) -> str:
        """Where the container finds it."""
        return f"{SECRETS_MOUNT}/{self.source}/{self.key}"


def pod_template(
    settings: JobSettings,
    image: str,
    arguments: tuple[str, ...],
    config_map: str,
    labels: dict[str, str],
    secrets: tuple[SecretMount, ...] = (),
    gpus: int = 0,
) -> Object:
    """Template of a Job's pod; the image's entry point is `python -m trainer`, `arguments` follow it."""
    optional = {
        "serviceAccountName": settings.service_account_name,
        "nodeSelector": settings.node_selector,
        "priorityClassName": settings.priority_class_name,
        "tolerations": [
            t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in settings.tolerations or ()
        ],
    }
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": _GROUP,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **{name: value for name, value in optional.items() if value},
        "containers": [_container(settings, image, arguments, secrets, gpus)],
        "volumes": _volumes(settings, config_map, secrets),
    }
    return {"metadata": {"labels": labels}, "spec": spec}


def _container(
    settings: JobSettings, image: str, arguments: tuple[str, ...], secrets: tuple[SecretMount, ...], gpus: int
) -> Object:
    return {
        "name": CONTAINER,
        "image": image,
        "args": list(arguments),
        "env": _environment(settings),
        "resources": _resources(settings.resources or Resources(), gpus),
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(settings, secrets),
    }


def _environment(settings: JobSettings) -> list[Object]:
    """The root file system is read-only, so home and temporary files lie in the work folder."""
    variables = {"HOME": WORKDIR_MOUNT, "TMPDIR": WORKDIR_MOUNT, "TERMINATION_MESSAGE_PATH": TERMINATION_LOG}
    if settings.volume_claims:
        variables[DATA_ROOT_VARIABLE] = settings.volume_claims[0].mount_path
    return [{"name": name, "value": value} for name, value in variables.items()]


def _resources(wanted: Resources, gpus: int) -> Object:
    """Requests and limits alike; extended resources such as GPUs allow nothing else."""
    amounts: dict[str, str] = {}
    if wanted.cpu:
        amounts["cpu"] = wanted.cpu
    if wanted.memory:
        amounts["memory"] = wanted.memory
    if gpus:
        amounts[wanted.gpu_resource or DEFAULT_GPU_RESOURCE] = str(gpus)
    requests = {**_FLOOR, **amounts}
    return {"requests": requests, "limits": amounts} if amounts else {"requests": requests}


def _volumes(settings: JobSettings, config_map: str, secrets: tuple[SecretMount, ...]) -> list[Object]:
    volumes: list[Object] = [
        {"name": "config", "configMap": {"name": config_map}},
        {"name": "workdir", "emptyDir": {}},
    ]
    for index, claim in enumerate(settings.volume_claims or ()):
        volumes.append({"name": f"claim-{index}", "persistentVolumeClaim": {"claimName": claim.claim_name}})
    for index, mount in enumerate(secrets):
        items = [{"key": mount.key, "path": mount.key}]
        secret = {"secretName": mount.secret, "items": items, "defaultMode": _GROUP_MAY_READ}
        volumes.append({"name": f"source-{index}", "secret": secret})
    return volumes


def _mounts(settings: JobSettings, secrets: tuple[SecretMount, ...]) -> list[Object]:
    mounts: list[Object] = [
        {"name": "config", "mountPath": CONFIG_MOUNT, "readOnly": True},
        {"name": "workdir", "mountPath": WORKDIR_MOUNT},
    ]
    for index, claim in enumerate(settings.volume_claims or ()):
        mounts.append({"name": f"claim-{index}", "mountPath": claim.mount_path})
    for index, mount in enumerate(secrets):
        path = f"{SECRETS_MOUNT}/{mount.source}"
        mounts.append({"name": f"source-{index}", "mountPath": path, "readOnly": True})
    return mounts

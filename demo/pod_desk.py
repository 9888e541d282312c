"""The feedback database on a cluster of the user's own: each question is a small Job with the volume mounted."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
from collections.abc import Sequence
from datetime import datetime

from demo import database
from demo.database import Votes
from demo.desk import ARCHIVE, FEEDBACK
from demo.digits import Image
from demo.kube import Api, ApiError, Object
from demo.sight import NAMESPACE
from demo.world import FEEDBACK_CLAIM, TRAINER_IMAGE

MOUNT = "/feedback"
_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_LIMIT_SECONDS = 120


class PodDesk:
    """Runs `demo/database.py` inside pods of the trainer image, which has Python and the volume."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._numbers = itertools.count(1)

    async def write_first_images(self, images: Sequence[Image], start: datetime) -> None:
        pairs = json.dumps([[image.pixels, image.digit] for image in images])
        await self._ask("first-images", f"{MOUNT}/{ARCHIVE}", database.stamp(start), pairs)

    async def spread_over_days(self, start: datetime, days: int) -> int:
        return int(await self._ask("spread", f"{MOUNT}/{FEEDBACK}", database.stamp(start), str(days)))

    async def votes(self, revision: int, since: datetime, until: datetime) -> Votes:
        span = (database.stamp(since), database.stamp(until))
        likes, dislikes = json.loads(await self._ask("votes", f"{MOUNT}/{FEEDBACK}", str(revision), *span))
        return Votes(likes, dislikes)

    async def _ask(self, *words: str) -> str:
        """What the pod printed last. Raises ApiError where its Job fails or takes too long."""
        name = f"desk-{next(self._numbers)}"
        await self._api.create(_JOBS, job(name, words))
        async with asyncio.timeout(_LIMIT_SECONDS):
            while not (status := (await self._api.get(f"{_JOBS}/{name}")).get("status") or {}).get("succeeded"):
                if status.get("failed"):
                    raise ApiError(0, f"Job {name} failed: kubectl -n {NAMESPACE} logs job/{name}")
                await asyncio.sleep(0.5)
        pods = await self._api.get(_PODS, labelSelector=f"batch.kubernetes.io/job-name={name}")
        log = await self._api.text(f"{_PODS}/{pods['items'][0]['metadata']['name']}/log")
        return log.strip().splitlines()[-1] if log.strip() else ""


def job(name: str, words: Sequence[str]) -> Object:
    """A Job that runs `demo/database.py` with these words as its arguments."""
    container = {
        "name": "desk",
        "image": TRAINER_IMAGE,
        "command": ["python3", "-c", inspect.getsource(database), *words],
        "volumeMounts": [{"name": FEEDBACK_CLAIM, "mountPath": MOUNT}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": FEEDBACK_CLAIM, "persistentVolumeClaim": {"claimName": FEEDBACK_CLAIM}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": _LIMIT_SECONDS, "template": {"spec": pod}},
    }

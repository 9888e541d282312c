"""Reads what a decision about a TrainingRun needs; decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrainer.api.v1alpha1.run_contract import ProgressLine
from retrainer.kube.cache import Cache
from retrainer.kube.client import Client
from retrainer.kube.errors import ApiError
from retrainer.kube.resources import FEEDBACK_SOURCE, JOB, POD, SECRET
from retrainer.plan import Object
from retrainer.training_run.input import (
    PodFacts,
    RunInput,
    SecretFacts,
    SourceFacts,
    Stage,
    attempt_of,
    pod_facts,
    secret_facts,
    secret_of,
)
from retrainer.training_run.job import job_name
from retrainer.training_run.result import last_progress

_OWNER_KIND = "trainingrun"
_LOG_LINES = 20
_LOG_BYTES = 16_384
_LOG_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class RunObserver:
    """Reads from the cache, and from the API server whatever the cache does not have."""

    client: Client
    cache: Cache
    default_image: str

    async def observe(self, obj: Object) -> RunInput:
        """Everything about one run at this moment; raises ApiError when the API server does not answer."""
        if (obj.get("status") or {}).get("completionTime"):
            # Finished: only a request can matter, and it needs no children.
            return RunInput(obj=obj, jobs=dict.fromkeys(Stage), default_image=self.default_image)
        jobs = await self._jobs(obj)
        pods = await self._pods(obj, jobs)
        return RunInput(
            obj=obj,
            jobs=jobs,
            pods=pods,
            progress=await self._progress(obj, pods),
            sources=await self._sources(obj) if jobs[Stage.DATA] is None else (),
            default_image=self.default_image,
        )

    async def _jobs(self, obj: Object) -> dict[Stage, Object | None]:
        meta, attempt = obj["metadata"], attempt_of(obj)
        stages = _possible_stages(obj.get("status") or {})
        names = [job_name(meta["name"], stage, attempt) for stage in stages]
        found = await asyncio.gather(*(self._job(meta["namespace"], name) for name in names))
        return {**dict.fromkeys(Stage), **dict(zip(stages, found, strict=True))}

    async def _job(self, namespace: str, name: str) -> Object | None:
        cached = self.cache.get(JOB, (namespace, name))
        return cached if cached is not None else await self.client.get(JOB, namespace, name)

    async def _pods(self, obj: Object, jobs: dict[Stage, Object | None]) -> tuple[PodFacts, ...]:
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        pods = [pod_facts(pod) for pod in self.cache.children(POD, _OWNER_KIND, key)]
        for job in jobs.values():
            if job is not None and _is_finished(job) and not _has_terminated(pods, job):
                uid = job["metadata"]["uid"]
                selector = f"batch.kubernetes.io/controller-uid={uid}"
                live = [pod_facts(pod) for pod in await self.client.list(POD, key[0], selector)]
                pods = [pod for pod in pods if pod.job_uid != uid] + live
        return tuple(pods)

    async def _progress(self, obj: Object, pods: tuple[PodFacts, ...]) -> ProgressLine | None:
        """From the log's tail of the newest running pod; a log that cannot be read shows no progress."""
        running = [pod for pod in pods if pod.phase == "Running" and pod.terminated is None]
        if not running:
            return None
        newest = max(running, key=lambda pod: pod.created)
        try:
            async with asyncio.timeout(_LOG_TIMEOUT_SECONDS):
                tail = await self.client.log_tail(obj["metadata"]["namespace"], newest.name, _LOG_LINES, _LOG_BYTES)
        except (ApiError, TimeoutError):
            return None
        return last_progress(tail)

    async def _sources(self, obj: Object) -> tuple[SourceFacts, ...]:
        namespace = obj["metadata"]["namespace"]
        names = [reference["name"] for reference in obj["spec"]["data"]["sourceRefs"]]
        return tuple(await asyncio.gather(*(self._source(namespace, name) for name in names)))

    async def _source(self, namespace: str, name: str) -> SourceFacts:
        source = self.cache.get(FEEDBACK_SOURCE, (namespace, name))
        if source is None:
            source = await self.client.get(FEEDBACK_SOURCE, namespace, name)
        if source is None:
            return SourceFacts(name=name, obj=None)
        return SourceFacts(name=name, obj=source, secret=await self._secret(namespace, source))

    async def _secret(self, namespace: str, source: Object) -> SecretFacts | None:
        wanted = secret_of(source)
        if wanted is None:
            return None
        secret = await self.client.get(SECRET, namespace, wanted[0])
        return None if secret is None else secret_facts(secret, wanted[1])


def _possible_stages(status: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The Jobs that can exist: the status names the data set before the training Job is created, and a result Job
    reads what another Job, which was seen before, has left. Asking for the others would cost a burst of runs dear."""
    if status.get("dataset") or status.get("jobs"):
        return tuple(Stage)
    return (Stage.DATA,)


def _is_finished(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions)


def _has_terminated(pods: list[PodFacts], job: Object) -> bool:
    return any(pod.job_uid == job["metadata"]["uid"] and pod.terminated is not None for pod in pods)

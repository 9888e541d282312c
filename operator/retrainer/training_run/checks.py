"""What is wrong with a run's spec that the API server cannot see; found before any Job is created."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from retrainer.api.v1alpha1.training_parts import VolumeClaim
from retrainer.api.v1alpha1.training_run import TrainingRunSpec
from retrainer.training_run.pod import RESERVED_MOUNTS
from retrainer.training_run.sources import ResolvedSources

_RESOURCE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def problem_of(spec: TrainingRunSpec, sources: ResolvedSources) -> str | None:
    """The first thing that cannot work, naming the field and the remedy."""
    return next(iter(_problems(spec, sources)), None)


def _problems(spec: TrainingRunSpec, sources: ResolvedSources) -> Iterator[str]:
    yield from _resources(spec)
    yield from _mounts(spec.job.volume_claims or ())
    yield from _addresses(spec)
    for key, value in (spec.job.node_selector or {}).items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            yield f"job.nodeSelector: {key[:63]} is not a label of a node; see kubectl get nodes --show-labels"
    if sources.need_a_claim and not spec.job.volume_claims:
        names = ", ".join(config.name for config in sources.configs if config.spec.sqlite is not None)
        yield f"{names}: an SQLite file needs the claim that holds it as the first of job.volumeClaims"


def _resources(spec: TrainingRunSpec) -> Iterator[str]:
    name = spec.job.resources.gpu_resource if spec.job.resources else None
    if name is not None and not _RESOURCE_NAME.fullmatch(name):
        yield f"job.resources.gpuResource: {name} is not a resource; write for example nvidia.com/gpu"


def _mounts(claims: tuple[VolumeClaim, ...]) -> Iterator[str]:
    reserved = [PurePosixPath(path) for path in RESERVED_MOUNTS]
    taken: set[PurePosixPath] = set()
    for claim in claims:
        path = PurePosixPath(claim.mount_path)
        if ".." in path.parts or ":" in claim.mount_path:
            yield f"job.volumeClaims: mountPath {path} must contain neither '..' nor ':'"
        if path in taken or any(_is_below(path, other) or _is_below(other, path) for other in reserved):
            yield f"job.volumeClaims: mountPath {path} is taken; choose a path of its own, for example /data"
        taken.add(path)


def _addresses(spec: TrainingRunSpec) -> Iterator[str]:
    """What is written outside every claim is lost with the pod; what is read from there is not found."""
    uris = {"output.uri": spec.output.uri}
    if spec.champion is not None:
        uris["champion.uri"] = spec.champion.uri
        if spec.champion.snapshot is not None:
            uris["champion.snapshot.uri"] = spec.champion.snapshot.uri
    mounts = [PurePosixPath(claim.mount_path) for claim in spec.job.volume_claims or ()]
    for field, uri in uris.items():
        path = PurePosixPath(unquote(urlsplit(uri).path))
        if ".." in path.parts or not any(_is_below(path, mount) for mount in mounts):
            yield f"{field}: {uri} must lie below the mountPath of one of job.volumeClaims"


def _is_below(path: PurePosixPath, folder: PurePosixPath) -> bool:
    return path == folder or folder in path.parents

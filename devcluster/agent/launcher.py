"""Turns a container's specification into a local process with real paths."""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from devcluster import kubeconfig
from devcluster.agent import environment, volumes
from devcluster.agent.attempt import Attempt
from devcluster.agent.environment import ConfigProblem
from devcluster.agent.rewriting import Rewriter
from devcluster.api import ApiError, Object
from devcluster.images import command_line, prefix_for
from devcluster.layout import Facts, Layout

DEFAULT_TERMINATION_PATH = "/dev/termination-log"
# Nothing else of the agent's own environment reaches a container.
INHERITED = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE")


@dataclasses.dataclass(frozen=True)
class Machine:
    """What all pods of this node share."""

    layout: Layout
    facts: Facts
    images: Mapping[str, Sequence[str]]
    pod_environment: Mapping[str, str]
    lifeline: int


class PodLauncher:
    """Starts the containers of one pod."""

    def __init__(self, machine: Machine, context: volumes.Context) -> None:
        self._machine = machine
        self._context = context
        self._mounts: dict[str, list[volumes.Mount]] = {}
        self._rewriters: dict[str, Rewriter] = {}
        self._containers: dict[str, Object] = {}

    async def launch(self, container: Object, directory: Path, attempt_number: int) -> Attempt:
        """Raises ConfigProblem while something that the container needs is missing."""
        prefix = prefix_for(container["image"], self._machine.images)
        if prefix is None:
            raise ConfigProblem("ErrImagePull", _unknown_image(container["image"]))
        if container.get("restartPolicy"):
            raise ConfigProblem("CreateContainerConfigError", "this node does not support sidecar containers")
        attempt_directory = directory / str(attempt_number)
        mounts, rewrite = await self._remember(container, directory, attempt_directory)
        await volumes.fill(self._context, mounts, container, rewrite)
        variables = await environment.resolve(
            self._context.pod, container, self._context.address, self._context.sources
        )
        given = {**self._base(directory, attempt_directory, mounts), **variables}
        argv = self._argv(container, prefix, variables, rewrite)
        attempt = Attempt.at(directory, attempt_number)
        rewritten = {name: rewrite(value) for name, value in given.items()}
        attempt.start(argv, rewritten, self._cwd(container, directory, rewrite), self._machine.lifeline)
        return attempt

    async def adopt(self, container: Object, attempt: Attempt) -> None:
        """Learn again what an earlier agent knew about a container that it started."""
        # A claim that has gone meanwhile is the container's business, not ours.
        with contextlib.suppress(ConfigProblem, ApiError, aiohttp.ClientError, TimeoutError):
            await self._remember(container, attempt.directory.parent, attempt.directory)

    async def _remember(
        self, container: Object, directory: Path, attempt: Path
    ) -> tuple[list[volumes.Mount], Rewriter]:
        mounts = await volumes.places(self._context, container, directory)
        rewrite = Rewriter(_places(container, mounts, attempt))
        name = container["name"]
        self._mounts[name], self._rewriters[name], self._containers[name] = mounts, rewrite, container
        return mounts, rewrite

    def rewriter(self, container: Object, attempt: Attempt) -> Rewriter:
        """For commands that are executed in a running container."""
        known = self._rewriters.get(container["name"])
        return known or Rewriter(_places(container, [], attempt.directory))

    async def refresh(self) -> None:
        """Write mounted ConfigMaps, Secrets and tokens again where they have changed."""
        for name, mounts in list(self._mounts.items()):
            await volumes.fill(self._context, mounts, self._containers[name], self._rewriters[name])

    def _argv(
        self, container: Object, prefix: Sequence[str], variables: Mapping[str, str], rewrite: Rewriter
    ) -> list[str]:
        command = [rewrite(environment.expand(part, variables)) for part in container.get("command") or []]
        arguments = [rewrite(environment.expand(part, variables)) for part in container.get("args") or []]
        argv = command_line(prefix, command, arguments)
        if not argv:
            raise ConfigProblem("CreateContainerError", f"no command specified for {container['image']}")
        return argv

    def _base(self, directory: Path, attempt: Path, mounts: list[volumes.Mount]) -> dict[str, str]:
        """What the image and the kubelet would set."""
        pod = self._context.pod
        temporary = directory / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        token = volumes.token_file(mounts)
        search = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "PATH": os.pathsep.join(search),
            "HOME": str(directory / "work"),
            "TMPDIR": str(temporary),
            "HOSTNAME": pod["metadata"]["name"],
            "PYTHONUNBUFFERED": "1",
            "TERMINATION_MESSAGE_PATH": str(attempt / "termination-log"),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._machine.facts.api_port),
            **({"KUBECONFIG": self._kubeconfig(directory, token)} if token else {}),
            **self._machine.pod_environment,
        }

    def _kubeconfig(self, directory: Path, token: Path) -> str:
        """Client libraries look for the token at a fixed place that a local process cannot have."""
        path = directory / "kubeconfig"
        authority = self._machine.layout.pki / "ca.crt"
        namespace = self._context.pod["metadata"]["namespace"]
        kubeconfig.write_token_file_kubeconfig(path, self._machine.facts.server, authority, token, namespace)
        return str(path)

    def _cwd(self, container: Object, directory: Path, rewrite: Rewriter) -> Path:
        work = directory / "work"
        work.mkdir(parents=True, exist_ok=True)
        wanted = container.get("workingDir", "")
        moved = rewrite(wanted)
        return Path(moved) if moved != wanted and Path(moved).is_dir() else work


def _places(container: Object, mounts: list[volumes.Mount], attempt: Path) -> dict[str, str]:
    termination = container.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH
    return {mount.path: str(mount.real) for mount in mounts} | {termination: str(attempt / "termination-log")}


def _unknown_image(image: str) -> str:
    return (
        f'image "{image}" is not in the image table of this cluster: '
        "name its local command with `images=` or `--image PATTERN=COMMAND`"
    )

"""Builds the Go programs once and keeps them in the user's cache, keyed by their sources."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster.errors import DevclusterError

SOURCES = Path(__file__).resolve().parent
KUBERNETES_VERSION = "v1.36.3"
GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.3"
CONTOUR = "github.com/projectcontour/contour"
CONTOUR_VERSION = "v1.33.8"
ISTIO_API = "istio.io/api@v1.31.1"
KSERVE = "github.com/kserve/kserve@v0.17.0"
NEEDED_GO = (1, 26)
INSTALL_GO = "install Go 1.26 or newer, or use a cluster of your own by setting KUBECONFIG"


def control_plane() -> Path:
    """Path of the control plane program; built when its sources are new to this machine."""
    version = f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"
    return _build("controlplane", ".", f"-s -w {version}", "about 5 minutes on two cores")


def contour() -> Path:
    """Path of the Contour program, the gateway's controller."""
    return _build("contour", f"{CONTOUR}/cmd/contour", "-s -w", "about 2 minutes on two cores")


def gateway_manifests() -> list[Path]:
    """CRDs of the Gateway API (standard channel) and of Contour, copied out of their Go modules."""
    gateway_api = _module_files(GATEWAY_API, "config/crd/standard/*.yaml")
    return gateway_api + _module_files(f"{CONTOUR}@{CONTOUR_VERSION}", "examples/contour/01-crds.yaml")


def traffic_manifests() -> list[Path]:
    """CRDs of Istio (all of its networking kinds) and of KServe's InferenceService, for tests of traffic providers.

    No cluster has them of itself. KServe's module is large: 39 MB to download, 222 MB in the module cache.
    """
    istio = _module_files(ISTIO_API, "kubernetes/customresourcedefinitions.gen.yaml")
    return istio + _module_files(KSERVE, "config/crd/full/serving.kserve.io_inferenceservices.yaml")


def _module_files(module: str, pattern: str) -> list[Path]:
    target = cache_folder() / module.replace("/", "_")
    if not target.exists():
        completed = _go(["mod", "download", "-json", module], cwd=Path("/"))
        source = Path(json.loads(completed)["Dir"])
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / ".lock"):
            _copy(sorted(source.glob(pattern)), target)
    return sorted(target.iterdir())


def _copy(files: list[Path], target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.mkdir(exist_ok=True)
    for path in files:
        # The module cache is read-only; copies must not inherit that.
        (unfinished / path.name).write_bytes(path.read_bytes())
    if not target.exists():
        unfinished.replace(target)


def cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "retrainer-devcluster"


def source_hash(folder: Path, *settings: str) -> str:
    """Hash over names and content of everything that the program is built from."""
    digest = hashlib.sha256("\0".join(settings).encode())
    for path in sorted(folder.iterdir()):
        if path.suffix in {".go", ".mod", ".sum"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _build(name: str, package: str, linker_flags: str, expected: str) -> Path:
    folder = SOURCES / name
    target = cache_folder() / source_hash(folder, package, linker_flags) / name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.parent / ".lock"):
        if not target.exists():
            _compile(folder, package, linker_flags, target, expected)
    return target


def _compile(folder: Path, package: str, linker_flags: str, target: Path, expected: str) -> None:
    _check_go()
    started = time.monotonic()
    _say(f"building {target.name} (first time: {expected}) …")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    settings = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", linker_flags]
    _go(["build", *settings, "-o", str(unfinished), package], cwd=folder)
    unfinished.replace(target)
    _say(f"built {target.name} in {time.monotonic() - started:.0f} s")


def _say(line: str) -> None:
    print(f"devcluster: {line}", file=sys.stderr, flush=True)


def _check_go() -> None:
    if shutil.which("go") is None:
        raise DevclusterError(f"the control plane is built from Go modules and there is no `go`: {INSTALL_GO}")
    version = _go(["env", "GOVERSION"], cwd=SOURCES / "controlplane")
    match = re.search(r"go(\d+)\.(\d+)", version)
    if match and (int(match[1]), int(match[2])) < NEEDED_GO:
        raise DevclusterError(f"Go {match[1]}.{match[2]} is too old: {INSTALL_GO}")


def _go(arguments: list[str], cwd: Path) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    try:
        completed = subprocess.run(
            ["go", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise DevclusterError(f"`go` is not installed: {INSTALL_GO}") from None
    except subprocess.CalledProcessError as failure:
        tail = "\n".join((failure.stderr + failure.stdout).splitlines()[-15:])
        raise DevclusterError(f"`go {arguments[0]}` failed in {cwd.name}:\n{tail}") from None
    return completed.stdout


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Two clusters started at once build once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

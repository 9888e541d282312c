"""Installs crds/ on a test cluster."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

CRDS = Path(__file__).resolve().parents[2] / "crds"
SECONDS = 60.0


def install(kubeconfig: Path) -> None:
    """Apply every definition and wait until all are served; doing it again changes nothing."""
    kubectl = ["kubectl", "--kubeconfig", str(kubeconfig)]
    files = [part for path in sorted(CRDS.glob("retrainer.dev_*.yaml")) for part in ("-f", str(path))]
    apply = [*kubectl, "apply", "--server-side", "--force-conflicts", "--field-manager=retrainer-tests", *files]
    subprocess.run(apply, check=True, stdout=subprocess.DEVNULL)
    wait = [*kubectl, "wait", "--for=condition=Established", "--timeout=10s", *files]
    deadline = time.monotonic() + SECONDS
    # kubectl gives up at once on a definition that has no conditions at all yet.
    while (done := subprocess.run(wait, capture_output=True, text=True, check=False)).returncode:
        assert time.monotonic() < deadline, f"definitions not served after {SECONDS:.0f} s: {done.stderr}"

"""Says what this machine lacks, in one list, before anything is built. Standard library only, any Python 3."""

import re
import shutil
import subprocess
import sys

NEEDED_PYTHON = (3, 11)
NEEDED_GO = (1, 26)


def missing():
    """What is missing, each with the remedy."""
    found = []
    if sys.platform != "linux":
        found.append("Linux: the development cluster runs on Linux only (this is %s)." % sys.platform)
    if sys.version_info[:2] < NEEDED_PYTHON:
        found.append(
            "Python %d.%d or newer: `%s` is %d.%d. Install it, or name another: make PYTHON=python3.11 …"
            % (*NEEDED_PYTHON, sys.executable, *sys.version_info[:2])
        )
    go = _go_version()
    if go is None:
        found.append("Go %d.%d or newer: there is no `go` on the PATH (https://go.dev/doc/install)." % NEEDED_GO)
    elif go < NEEDED_GO:
        found.append("Go %d.%d or newer: `go version` says %d.%d (https://go.dev/doc/install)." % (*NEEDED_GO, *go))
    for tool, why in (("git", "to know the sources"), ("ip", "to give pods addresses (package iproute2)")):
        if shutil.which(tool) is None:
            found.append("`%s`: needed %s." % (tool, why))
    return found


def _go_version():
    if shutil.which("go") is None:
        return None
    text = subprocess.run(["go", "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else None


if __name__ == "__main__":
    problems = missing()
    if problems:
        print("This machine lacks:", file=sys.stderr)
        for problem in problems:
            print("  - " + problem, file=sys.stderr)
        sys.exit(1)

"""The table that maps image names to local commands; there is no container engine."""

import fnmatch
import sys
from collections.abc import Mapping, Sequence

PYTHON = "{python}"
# The container's command and arguments follow the prefix.
DEFAULT_IMAGES: Mapping[str, Sequence[str]] = {
    "retrainer/trainer:*": [PYTHON, "-m", "trainer"],
    "retrainer/operator:*": [PYTHON, "-m", "retrainer"],
    "retrainer/shell:*": [],
    "busybox*": [],
}


def prefix_for(image: str, table: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The entry point of an image; None when the table does not know the image.

    The most specific pattern wins: the one with the most characters that are not wildcards.
    """
    names = {image, image.split("@")[0], f"{image.split('@')[0]}:latest" if ":" not in image else image}
    matching = [p for p in table if any(fnmatch.fnmatchcase(name, p) for name in names)]
    if not matching:
        return None
    pattern = max(matching, key=lambda p: len(p.replace("*", "")))
    return [part.replace(PYTHON, sys.executable) for part in table[pattern]]


def command_line(prefix: Sequence[str], command: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """What to execute. As in Kubernetes a container's `command` replaces the entry point of its image."""
    return [*(command or prefix), *arguments]

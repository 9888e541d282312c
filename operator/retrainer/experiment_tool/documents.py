"""Reads the files that people give: YAML of one or several objects, from a path or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrainer.experiment_tool.failure import InputError
from retrainer.plan import Object

STANDARD_INPUT = "-"
LARGEST_FILE = 64 * 1024 * 1024
"""Bytes; an experiment, or its ledger, is a thousand times smaller."""


def text_of(path: str) -> str:
    """The content of a file, or of standard input for `-`; raises InputError where it cannot be read as text."""
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.read()
        if Path(path).is_file() and Path(path).stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: is larger than {LARGEST_FILE // 2**20} MiB; is it the right file?")
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or type(error).__name__).lower()}") from error


def objects_of(path: str) -> list[Object]:
    """The objects in a YAML (or JSON) file, `List`s unpacked; raises InputError for anything else."""
    import yaml

    try:
        # libyaml, where PyYAML has it, reads a full ledger ten times faster.
        documents = list(yaml.load_all(text_of(path), getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}: is not valid YAML{where}: {getattr(error, 'problem', None) or 'syntax'}") from error
    return list(_unpacked(path, documents))


def _unpacked(path: str, documents: list[Any]) -> Iterator[Object]:
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        if not isinstance(document, dict) or "kind" not in document:
            raise InputError(f"{path}: document {number} is no Kubernetes object; it needs apiVersion, kind and spec")
        if document["kind"] == "List":
            yield from _unpacked(path, document.get("items") or [])
        else:
            yield document


def name_of(obj: Object) -> str:
    """The object's name, or "unnamed"."""
    return str((obj.get("metadata") or {}).get("name") or "unnamed")

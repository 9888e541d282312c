"""Files of the output: file:// addresses, relative names that stay inside their folder, atomic publication."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from trainer.errors import ConfigurationError

PARTIAL_PREFIX = ".partial-"


def local_path(uri: str, field: str) -> Path:
    """The folder or file that a file:// address names; `field` is the spec's name for it in errors."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc or not path.startswith("/") or "\0" in path:
        raise ConfigurationError(f"{field}: only file:///… addresses are supported")
    return Path(path)


def contained(folder: Path, name: str) -> Path:
    """`folder/name` for a relative name out of a manifest.

    Raises ValueError when the name is absolute, contains '..' or goes through a link."""
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise ValueError("not a relative path inside its folder")
    path = folder
    for part in pure.parts:
        path = path / part
        if path.is_symlink():
            raise ValueError("is a link")
    return path


def read_bounded(path: Path, limit: int) -> bytes:
    """Bytes of a regular file, opened without following links; ValueError when it is larger than `limit`."""
    # Without O_NONBLOCK, opening a pipe that lies there would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("is not a regular file")
        if facts.st_size > limit:
            raise ValueError(f"is larger than {limit} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder inside `parent`, so that renaming it is atomic; removed unless it was renamed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{PARTIAL_PREFIX}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(partial: Path, target: Path) -> None:
    """Rename a finished folder to its final name; one that is there already has the same digest and stays."""
    for path in sorted(partial.rglob("*")):
        _flush(path)
    _flush(partial)
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    _flush(target.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace one file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PARTIAL_PREFIX}{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

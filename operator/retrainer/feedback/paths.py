"""Which files may be opened: regular files below the data root, reached without any link."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from retrainer.feedback.errors import Unauthorized, Unreachable


def checked_file(data_root: Path | None, path: str, field: str) -> Path:
    """The file below the data root. `path` may also be absolute, if it lies below the root.

    Raises Unauthorized where there is no root, the path leaves it, or a part of it is a link or no regular file;
    Unreachable where it does not exist. Messages name the field, not the path.
    """
    if data_root is None:
        raise Unauthorized(f"{field}: files cannot be read here; start the operator with RETRAINER_DATA_ROOT")
    root = Path(os.path.realpath(data_root))
    relative = _relative(path, (root, data_root), field)
    current = root
    for part in relative.parts:
        current = current / part
        _refuse_link(current, field)
    if not stat.S_ISREG(os.lstat(current).st_mode):
        raise Unauthorized(f"{field}: not a regular file")
    if os.path.realpath(current) != str(current):
        raise Unauthorized(f"{field}: links are not allowed below the data root")
    return current


def _relative(path: str, roots: tuple[Path, ...], field: str) -> PurePosixPath:
    pure = PurePosixPath(path)
    if pure.is_absolute():
        for root in roots:
            if pure.is_relative_to(root):
                pure = pure.relative_to(root)
                break
        else:
            raise Unauthorized(f"{field}: the path lies outside the data root (RETRAINER_DATA_ROOT)")
    if ".." in pure.parts or "\0" in path:
        raise Unauthorized(f"{field}: the path must not contain '..'")
    if not pure.parts:
        raise Unauthorized(f"{field}: names no file")
    return pure


def _refuse_link(current: Path, field: str) -> None:
    try:
        mode = os.lstat(current).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise Unreachable(f"{field}: there is no such file below the data root (RETRAINER_DATA_ROOT)") from None
    except OSError:
        raise Unreachable(f"{field}: the file cannot be reached below the data root (RETRAINER_DATA_ROOT)") from None
    if stat.S_ISLNK(mode):
        raise Unauthorized(f"{field}: links are not allowed below the data root")

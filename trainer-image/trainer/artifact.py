"""The artifact: a folder published under the digest of its manifest, which names the digest of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.digest import canonical_json, sha256_of
from trainer.errors import ConfigurationError
from trainer.places import contained, partial_folder, publish, read_bounded

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 4 * 2**20
FILE_LIMIT = 8 * 2**30
_MOST_FILES = 1000


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk whose manifest has the expected digest; files are checked when they are read."""

    folder: Path
    digest: str
    manifest: Mapping[str, Any]

    def read(self, name: str) -> bytes:
        """Bytes of a file. Raises ConfigurationError when it is not what the manifest says.

        What is returned is what was checked: the file is read once."""
        facts = self.manifest["files"].get(name)
        if facts is None:
            raise ConfigurationError(f"the artifact has no file {name}")
        try:
            content = read_bounded(contained(self.folder, name), min(int(facts["size"]), FILE_LIMIT))
        except (OSError, ValueError):
            raise _damaged(name) from None
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise _damaged(name)
        return content

    def verify(self) -> None:
        """Read and check every file."""
        for name in self.manifest["files"]:
            self.read(name)

    @property
    def size_bytes(self) -> int:
        return sum(int(facts["size"]) for facts in self.manifest["files"].values())


def _damaged(name: str) -> ConfigurationError:
    return ConfigurationError(f"the artifact's file {name} is missing or was changed: its digest is not the manifest's")


def open_artifact(folder: Path, digest: str, field: str) -> Artifact:
    """Open an artifact by the digest of its manifest.

    Raises ConfigurationError naming `field` when it is absent, changed, or of another format."""
    try:
        content = read_bounded(folder / MANIFEST, _MANIFEST_LIMIT)
    except FileNotFoundError:
        raise ConfigurationError(f"{field}: there is no artifact (no {MANIFEST}) at this address") from None
    except (OSError, ValueError):
        raise ConfigurationError(f"{field}: {MANIFEST} cannot be read") from None
    if sha256_of(content) != digest:
        raise ConfigurationError(f"{field}: the artifact at this address has another digest")
    manifest = json.loads(content)
    if manifest.get("formatVersion") != FORMAT_VERSION or len(manifest.get("files", {})) > _MOST_FILES:
        raise ConfigurationError(f"{field}: the artifact has a format that this trainer does not read")
    return Artifact(folder, digest, manifest)


def publish_artifact(parent: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Artifact:
    """Write the files, then the manifest with their digests, and publish the folder under its digest."""
    described = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} for name, content in files.items()
    }
    whole = {**manifest, "formatVersion": FORMAT_VERSION, "files": described}
    content = canonical_json(whole)
    digest = sha256_of(content)
    target = parent / digest.removeprefix("sha256:")
    if not (target / MANIFEST).is_file():
        with partial_folder(parent) as folder:
            for name, body in files.items():
                path = contained(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
            (folder / MANIFEST).write_bytes(content)
            publish(folder, target)
    return Artifact(target, digest, json.loads(content))

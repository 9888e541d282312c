"""Checkpoints at the output: atomic, verified by digest, bound to one run's settings and data."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrainer.api.v1alpha1.run_contract import RunConfig
from trainer.digest import canonical_json, sha256_of
from trainer.methods.tuning import Search
from trainer.places import contained, local_path, read_bounded, write_atomically

_STATES = ("state.json", "state.previous.json")
_STATE_LIMIT = 16 * 2**20
_WEIGHTS_LIMIT = 8 * 2**30


@dataclass(frozen=True)
class Part:
    """The state of one target: its booster so far and the losses of its rounds."""

    weights: bytes
    losses: tuple[float, ...]
    finished: bool


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint folder of one run. A state names its weights by digest; the one before it is kept."""

    folder: Path
    fingerprint: str
    parts: dict[str, Part] = field(default_factory=dict)
    searches: dict[str, Search] = field(default_factory=dict)
    """Per target, where parameters are tuned."""

    def save_search(self, target: str, search: Search) -> None:
        """Remember the search for one target's parameters."""
        self.searches[target] = search
        self._write()

    def save(self, target: str, part: Part) -> None:
        """Remember the state of one target, beside those saved before."""
        self.parts[target] = part
        self._write()

    def _write(self) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "parts": {name: self._store(part) for name, part in self.parts.items()},
            "searches": {name: search.to_plain() for name, search in self.searches.items()},
        }
        current, previous = (self.folder / name for name in _STATES)
        if current.is_file():
            write_atomically(previous, current.read_bytes())
        write_atomically(current, canonical_json(state))
        self._sweep()

    def _store(self, part: Part) -> dict[str, Any]:
        checksum = hashlib.sha256(part.weights).hexdigest()
        path = self.folder / f"{checksum}.ubj"
        if not path.is_file():
            write_atomically(path, part.weights)
        return {"sha256": checksum, "losses": list(part.losses), "finished": part.finished}

    def _sweep(self) -> None:
        """Remove weights that no state names."""
        named = {
            part["sha256"]
            for name in _STATES
            for part in (_read_state(self.folder / name) or {}).get("parts", {}).values()
        }
        for path in self.folder.glob("*.ubj"):
            if path.stem not in named:
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the folder; the run has what it needs."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_checkpoints(config: RunConfig, snapshot_digest: str) -> Checkpoints:
    """The run's checkpoints, with what an interrupted attempt left. Damaged or foreign states are ignored."""
    folder = local_path(config.spec.output.uri, "spec.output.uri") / "checkpoints" / config.run.uid
    fingerprint = _fingerprint(config, snapshot_digest)
    for name in _STATES:
        state = _read_state(folder / name)
        if state is None or state.get("fingerprint") != fingerprint:
            continue
        found = _load(folder, state)
        if found is not None:
            return Checkpoints(folder, fingerprint, *found)
    return Checkpoints(folder, fingerprint)


def _fingerprint(config: RunConfig, snapshot_digest: str) -> str:
    """Of everything that decides the model; the Job's resources may change between attempts."""
    spec = config.spec.model_dump(mode="json", by_alias=True, include={"strategy", "method", "champion", "data"})
    return sha256_of(canonical_json({"spec": spec, "snapshot": snapshot_digest}))


def _read_state(path: Path) -> dict[str, Any] | None:
    try:
        state = json.loads(read_bounded(path, _STATE_LIMIT))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _load(folder: Path, state: Mapping[str, Any]) -> tuple[dict[str, Part], dict[str, Search]] | None:
    """What a state describes, or None when something of it is missing or damaged."""
    try:
        searches = {name: Search.from_plain(plain) for name, plain in state.get("searches", {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    parts = _load_parts(folder, state.get("parts", {}))
    return None if parts is None else (parts, searches)


def _load_parts(folder: Path, described: Mapping[str, Any]) -> dict[str, Part] | None:
    """All parts of a state, or None when one of them is missing or damaged."""
    parts = {}
    for target, facts in described.items():
        try:
            weights = read_bounded(contained(folder, f"{facts['sha256']}.ubj"), _WEIGHTS_LIMIT)
        except (OSError, ValueError):
            return None
        if hashlib.sha256(weights).hexdigest() != facts["sha256"]:
            return None
        parts[target] = Part(weights, tuple(facts["losses"]), bool(facts["finished"]))
    return parts

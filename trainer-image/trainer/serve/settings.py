"""The server's settings, from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from retrainer.api.v1alpha1.run_contract import DATA_ROOT_VARIABLE
from trainer.errors import ConfigurationError
from trainer.places import contained, local_path


@dataclass(frozen=True)
class ServerSettings:
    """What one server process needs to know."""

    model_folder: Path
    """Folder of the artifact (MODEL_URI)."""
    model_digest: str
    """Digest of its manifest (MODEL_DIGEST); checked before the model is loaded."""
    revision: str
    """Number of the model's version (MODEL_REVISION); in every answer's header and every record."""
    database: Path
    """SQLite file of the records (FEEDBACK_DATABASE, relative to RETRAINER_DATA_ROOT)."""
    host: str = "0.0.0.0"
    """Address to listen on (HOST, else POD_IP)."""
    port: int = 8080
    """Port to listen on (PORT)."""
    drain_seconds: float = 1.0
    """How long after SIGTERM requests are still taken while the route forgets this server (DRAIN_SECONDS)."""


def settings_from(environment: Mapping[str, str]) -> ServerSettings:
    """Read the environment. Raises ConfigurationError naming the variable."""
    return ServerSettings(
        model_folder=local_path(_needed(environment, "MODEL_URI"), "MODEL_URI"),
        model_digest=_needed(environment, "MODEL_DIGEST"),
        revision=_needed(environment, "MODEL_REVISION"),
        database=_database(environment),
        host=environment.get("HOST") or environment.get("POD_IP") or ServerSettings.host,
        port=int(_number(environment, "PORT", ServerSettings.port, 65_535)),
        drain_seconds=_number(environment, "DRAIN_SECONDS", ServerSettings.drain_seconds, 600),
    )


def _needed(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"{name} is not set; the model server needs it")
    return value


def _number(environment: Mapping[str, str], name: str, default: float, most: float) -> float:
    try:
        value = float(environment.get(name) or default)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise ConfigurationError(f"{name}: must be a number from 0 to {most:g}")
    return value


def _database(environment: Mapping[str, str]) -> Path:
    root = Path(_needed(environment, DATA_ROOT_VARIABLE))
    name = _needed(environment, "FEEDBACK_DATABASE")
    try:
        relative = os.path.relpath(name, root) if os.path.isabs(name) else name
        return contained(root, relative)
    except ValueError as error:
        raise ConfigurationError(f"FEEDBACK_DATABASE: must lie below {DATA_ROOT_VARIABLE}; it {error}") from None

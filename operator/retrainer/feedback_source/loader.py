"""How to open a FeedbackSource's connector: its spec, the shared Secret, the data root."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors import open_connector
from retrainer.feedback.connectors.protocol import Timeouts
from retrainer.feedback.credentials import Credentials, shared_secret
from retrainer.feedback.errors import Unreachable
from retrainer.feedback_source.readings import Opened, SourceKey
from retrainer.kube.cache import Cache
from retrainer.kube.client import Client
from retrainer.kube.errors import ApiError
from retrainer.kube.resources import FEEDBACK_SOURCE, SECRET


@dataclass(frozen=True)
class SourceLoader:
    """Reads the FeedbackSource from the cache and its Secret live, at every read: a rotated password counts at once."""

    client: Client
    cache: Cache
    data_root: Path | None
    timeout_seconds: float

    async def load(self, key: SourceKey) -> Opened:
        """Raises SourceError where the source cannot be opened as it is."""
        obj = self.cache.get(FEEDBACK_SOURCE, key)
        if obj is None:
            raise Unreachable(f"FeedbackSource {key[1]} does not exist")
        spec = FeedbackSourceSpec.model_validate(obj["spec"])
        if spec.suspend:
            raise Unreachable(f"FeedbackSource {key[1]} is suspended (spec.suspend): nothing is read")
        credentials = await self._credentials(key[0], spec)
        timeouts = Timeouts(connect=min(5.0, self.timeout_seconds), read=self.timeout_seconds)
        opener = partial(open_connector, spec, data_root=self.data_root, credentials=credentials, timeouts=timeouts)
        secret = hashlib.sha256(credentials.value.encode()).hexdigest() if credentials else ""
        hosts = credentials.allowed_hosts if credentials else ()
        return Opened((obj["metadata"]["uid"], spec.model_dump_json(), secret, hosts), opener)

    async def _credentials(self, namespace: str, spec: FeedbackSourceSpec) -> Credentials | None:
        if spec.postgres is None:
            return None
        reference = spec.postgres.connection_secret_ref
        try:
            secret = await self.client.get(SECRET, namespace, reference.name)
        except ApiError as error:
            if error.status == 403:
                secret = None
            else:
                raise Unreachable(f"Secret {reference.name} could not be read; it is tried again") from error
        return shared_secret(secret, reference.name, reference.key)

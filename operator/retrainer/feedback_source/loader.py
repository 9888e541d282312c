"""How to open what is read: a FeedbackSource's connector, or a Prometheus server; with their shared Secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
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
from retrainer.prometheus.client import PrometheusSource, Server
from retrainer.prometheus.endpoint import Endpoint


@dataclass(frozen=True)
class SourceLoader:
    """Reads the FeedbackSource from the cache and Secrets live, at every read: a rotated password counts at once.

    `loopback`: Prometheus without a token may be on this machine itself.
    """

    client: Client
    cache: Cache
    data_root: Path | None
    timeout_seconds: float
    loopback: bool = False

    async def load(self, key: SourceKey) -> Opened:
        """Raises SourceError where the source cannot be opened as it is."""
        if isinstance(key, Endpoint):
            return await self._prometheus(key)
        if isinstance(key, tuple):
            return await self._feedback(*key)
        raise TypeError(f"no source has a key like {key}")

    async def _feedback(self, namespace: str, name: str) -> Opened:
        obj = self.cache.get(FEEDBACK_SOURCE, (namespace, name))
        if obj is None:
            raise Unreachable(f"FeedbackSource {name} does not exist")
        spec = FeedbackSourceSpec.model_validate(obj["spec"])
        if spec.suspend:
            raise Unreachable(f"FeedbackSource {name} is suspended (spec.suspend): nothing is read")
        credentials = None
        if spec.postgres is not None:
            reference = spec.postgres.connection_secret_ref
            credentials = await self._credentials(namespace, reference.name, reference.key)
        timeouts = Timeouts(connect=min(5.0, self.timeout_seconds), read=self.timeout_seconds)
        opener = partial(open_connector, spec, data_root=self.data_root, credentials=credentials, timeouts=timeouts)
        return Opened((obj["metadata"]["uid"], spec.model_dump_json(), *_told_apart(credentials)), opener)

    async def _prometheus(self, endpoint: Endpoint) -> Opened:
        credentials = None
        if endpoint.token is not None:
            credentials = await self._credentials(endpoint.namespace, *endpoint.token)
        server = Server(endpoint.url, credentials, self.timeout_seconds, self.loopback)
        return Opened((endpoint, *_told_apart(credentials)), partial(PrometheusSource, server))

    async def _credentials(self, namespace: str, name: str, key: str) -> Credentials:
        try:
            secret = await self.client.get(SECRET, namespace, name)
        except ApiError as error:
            if error.status == 403:
                secret = None
            else:
                raise Unreachable(f"Secret {name} could not be read; it is tried again") from error
        return shared_secret(secret, name, key)


def _told_apart(credentials: Credentials | None) -> tuple[Hashable, ...]:
    """Another password, or other hosts, is another way to open a source."""
    if credentials is None:
        return ()
    return hashlib.sha256(credentials.value.encode()).hexdigest(), credentials.allowed_hosts

"""Connectors: one per kind of source, opened from the spec of a FeedbackSource."""

from __future__ import annotations

from pathlib import Path

from retrainer.api.v1alpha1.feedback_source import FeedbackSourceSpec
from retrainer.feedback.connectors.protocol import Connector, Timeouts
from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, SecretNotShared


def open_connector(
    spec: FeedbackSourceSpec,
    *,
    data_root: Path | None = None,
    credentials: Credentials | None = None,
    timeouts: Timeouts | None = None,
) -> Connector:
    """The connector of a source. Nothing is contacted yet.

    `data_root` is needed by sqlite, `credentials` by postgres. Raises errors of `retrainer.feedback.errors`.
    """
    limits = timeouts or Timeouts()
    if spec.sqlite is not None:
        from retrainer.feedback.connectors.sqlite import SQLiteConnector

        return SQLiteConnector(spec, data_root, limits)
    if spec.postgres is not None:
        from retrainer.feedback.connectors.postgres import PostgresConnector

        if credentials is None:
            raise SecretNotShared("spec.postgres.connectionSecretRef: the connection string is missing")
        return PostgresConnector(spec, credentials, limits)
    raise SchemaMismatch("spec: set exactly one of postgres and sqlite")

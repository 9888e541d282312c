"""Which server an experiment names; what is asked of it waits in one queue."""

from __future__ import annotations

from dataclasses import dataclass

from retrainer.api.v1alpha1.metrics import PrometheusMetricSource


@dataclass(frozen=True)
class Endpoint:
    """A Prometheus server as one namespace sees it; `token` is (name, key) of a Secret there."""

    namespace: str
    url: str
    token: tuple[str, str] | None

    def __str__(self) -> str:
        return f"{self.namespace}/prometheus"


def endpoint_of(namespace: str, source: PrometheusMetricSource) -> Endpoint:
    """The server of a metric of an experiment in this namespace."""
    reference = source.token_secret_ref
    return Endpoint(namespace, source.url, None if reference is None else (reference.name, reference.key))

"""One connection to the API server for all samples."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from crd.definitions import install

from devcluster.cluster import Cluster
from retrainer.kube.client import Client
from retrainer.kube.errors import Refused
from retrainer.kube.resources import resource_of_object
from retrainer.plan import Object


class Api:
    """Writes samples the way `kubectl --validate=strict` does: unknown fields are errors."""

    def __init__(self, kubeconfig: str) -> None:
        self._runner = asyncio.Runner()
        self.client: Client = self._runner.run(Client.connect(kubeconfig))

    def close(self) -> None:
        self._runner.run(self.client.close())
        self._runner.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def try_create(self, namespace: str, obj: Object) -> Object:
        """What the API server would store; nothing is stored."""
        path = resource_of_object(obj).path(namespace)
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        return self.run(self.client._json("POST", path, query, obj))

    def refusal_of_creating(self, obj: Object) -> str:
        """The message with which the API server refuses to store this object."""
        with pytest.raises(Refused) as refused:
            self.try_create("default", obj)
        return refused.value.message

    def refusal(self, write: Coroutine[Any, Any, Any]) -> str:
        """The message with which the API server refuses this write."""
        with pytest.raises(Refused) as refused:
            self.run(write)
        return refused.value.message


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Iterator[Api]:
    install(cluster.kubeconfig)
    opened = Api(str(cluster.kubeconfig))
    yield opened
    opened.close()

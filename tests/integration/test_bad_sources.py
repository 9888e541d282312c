"""Sources that hang, are unreachable or refuse their credentials hold up nothing else, and say what is wrong."""

import socket
import sqlite3
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from loop_world import SCHEMA, feedback_source, wait_until
from operator_process import Kubectl, Operator, install_access
from postgres_server import Server, running_server

from devcluster.cluster import Cluster


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    held: list[socket.socket] = []

    def accept() -> None:
        try:
            while True:
                held.append(listener.accept()[0])
        except OSError:
            return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.close()
    for connection in held:
        connection.close()


@pytest.fixture
def elsewhere(cluster: Cluster, kubectl: Kubectl) -> Iterator[Kubectl]:
    """A second namespace, which the same operator watches."""
    other = Kubectl(cluster, f"{kubectl.namespace}-too")
    other.run("create", "namespace", other.namespace)
    install_access(other, kubectl.namespace)
    yield other
    other.run("delete", "namespace", other.namespace, "--wait=false")


@pytest.fixture
def wide_operator(cluster: Cluster, kubectl: Kubectl, elsewhere: Kubectl, tmp_path: Path) -> Iterator[Operator]:
    """One operator for both namespaces."""
    root = cluster.volumes_dir(elsewhere.namespace, "feedback")
    root.mkdir(parents=True)
    settings = {"RETRAINER_DATA_ROOT": str(root), "RETRAINER_SOURCE_TIMEOUT_SECONDS": "5"}
    running = Operator(cluster, (kubectl.namespace, elsewhere.namespace), tmp_path, **settings)
    running.start()
    yield running
    running.stop()


def test_objects_elsewhere_go_on_while_a_source_hangs_another_is_away_and_a_third_refuses(
    cluster: Cluster,
    kubectl: Kubectl,
    elsewhere: Kubectl,
    wide_operator: Operator,
    server: Server,
    silent_port: int,
) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    closed_port = closed.getsockname()[1]
    closed.close()
    for name, dsn in (
        ("hangs", f"postgresql://reader:x@127.0.0.1:{silent_port}/postgres"),
        ("away", f"postgresql://reader:x@127.0.0.1:{closed_port}/postgres"),
        ("refuses", server.dsn("reader", "wrong-password")),
    ):
        kubectl.apply(_secret(name, dsn), _postgres(name))
    database = cluster.volumes_dir(elsewhere.namespace, "feedback") / "feedback.db"
    _database(database, 7)
    elsewhere.apply(feedback_source())
    wait_until("the good source is read", lambda: _records(elsewhere, "digits") == 7)
    for name, reasons in (
        ("hangs", {"Unreachable"}),
        ("away", {"Unreachable"}),
        ("refuses", {"Unauthorized"}),
    ):
        found = wait_until(f"{name} says why", lambda n=name: _ready(kubectl, n))
        assert found["reason"] in reasons, found
        assert "wrong-password" not in found["message"]
    # While the bad ones are tried again and again, the good one is still looked at.
    _database(database, 5, first=7)
    wait_until("new records are seen", lambda: _records(elsewhere, "digits") == 12)


def test_an_unlabelled_secret_is_refused_with_the_remedy(
    kubectl: Kubectl, operator: Operator, server: Server
) -> None:
    secret = _secret("plain", server.dsn())
    del secret["metadata"]["labels"]
    kubectl.apply(secret, _postgres("plain"))
    found = wait_until("the refusal", lambda: _ready(kubectl, "plain"))
    assert found["reason"] == "SecretNotShared"
    assert "retrainer.dev/allow-operator" in found["message"]
    secret["metadata"]["labels"] = {"retrainer.dev/allow-operator": "true"}
    secret["metadata"]["annotations"] = {"retrainer.dev/allowed-hosts": "db.example.com"}
    kubectl.apply(secret)
    wait_until("another host is refused", lambda: (_ready(kubectl, "plain") or {}).get("reason") == "Unauthorized")
    found = _ready(kubectl, "plain")
    assert found is not None
    assert "retrainer.dev/allowed-hosts" in found["message"]


def test_a_misspelt_column_names_its_nearest_neighbour(cluster: Cluster, kubectl: Kubectl, operator: Operator) -> None:
    _database(cluster.volumes_dir(kubectl.namespace, "feedback") / "feedback.db", 3)
    source = feedback_source()
    source["spec"]["record"]["time"] = "createdat"
    kubectl.apply(source)
    found = wait_until("the mismatch", lambda: _ready(kubectl, "digits"))
    assert found["reason"] == "SchemaMismatch"
    assert "created_at" in found["message"]
    source["spec"]["record"]["time"] = "created_at"
    kubectl.apply(source)
    wait_until("the corrected mapping is read", lambda: _records(kubectl, "digits") == 3)


def _secret(name: str, dsn: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {"retrainer.dev/allow-operator": "true"},
            "annotations": {"retrainer.dev/allowed-hosts": "127.0.0.1"},
        },
        "data": {"dsn": b64encode(dsn.encode()).decode()},
    }


def _postgres(name: str) -> dict[str, Any]:
    source = feedback_source()
    source["metadata"]["name"] = name
    del source["spec"]["sqlite"]
    source["spec"]["postgres"] = {"connectionSecretRef": {"name": name, "key": "dsn"}, "table": "feedback"}
    return source


def _database(path: Path, rows: int, first: int = 0) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        if not first:
            connection.execute(SCHEMA)
        connection.executemany(
            "INSERT INTO feedback VALUES (?, '2026-11-01T00:00:00Z', ?, '[1.0]', '1', '1', 1, NULL, '1')",
            [(f"r{i}", f"u{i}") for i in range(first, first + rows)],
        )


def _records(kubectl: Kubectl, name: str) -> int | None:
    return (kubectl.status("feedbacksource", name).get("summary") or {}).get("records")


def _ready(kubectl: Kubectl, name: str) -> dict[str, Any] | None:
    """The Ready condition once it is False."""
    conditions = kubectl.status("feedbacksource", name).get("conditions") or []
    return next((c for c in conditions if c["type"] == "Ready" and c["status"] == "False"), None)

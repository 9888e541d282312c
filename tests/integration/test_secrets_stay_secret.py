"""The database's password reaches the data Job and nothing else: no log, status, event, ConfigMap or artifact."""

import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loop_world import COLUMNS, SCHEMA, Feedback, feedback_source, run_spec, volumes, wait_until
from operator_process import Kubectl, Operator
from postgres_server import PASSWORD, Server, running_server

from devcluster.cluster import Cluster


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


def test_the_password_is_nowhere_after_a_run_on_postgres(
    cluster: Cluster, kubectl: Kubectl, operator: Operator, server: Server, tmp_path: Path
) -> None:
    _fill(server, tmp_path / "feedback.db")
    kubectl.apply(*volumes(), _secret(server), _source(), _run())
    wait_until("the source is read", lambda: _summary(kubectl).get("records") == 300)
    done = wait_until("the run ends", lambda: _succeeded(kubectl), 180)
    assert (done["status"], done["reason"]) == ("True", "Completed"), done
    shown = _everything_shown(kubectl, operator)
    assert "300 rows" in shown["objects"], "the grep looks at what the run said"
    folder = cluster.volumes_dir(kubectl.namespace, "models")
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert any(name.endswith("manifest.json") for name in files)
    for name, text in shown.items():
        assert PASSWORD not in text, name
    for name, content in files.items():
        assert PASSWORD.encode() not in content, name


def test_a_wrong_password_is_not_repeated(kubectl: Kubectl, operator: Operator, server: Server) -> None:
    wrong = "n0t-the-Marker-7788"
    kubectl.apply(_secret(server, wrong), _source())
    wait_until("the refusal", lambda: _reason(kubectl) == "Unauthorized")
    for name, text in _everything_shown(kubectl, operator).items():
        assert wrong not in text, name


def _everything_shown(kubectl: Kubectl, operator: Operator) -> dict[str, str]:
    """All that a person may read without reading the Secret itself."""
    kinds = "fbs,rtp,trun,abx,jobs,pods,configmaps,events"
    logs = "\n".join(
        kubectl.run("logs", pod["metadata"]["name"], "--all-containers", check=False) for pod in kubectl.list("pod")
    )
    return {
        "objects": kubectl.run("get", kinds, "--output=yaml"),
        "pod logs": logs,
        "operator log": operator.log.read_text(encoding="utf-8"),
    }


def _fill(server: Server, path: Path) -> None:
    """The rows of `Feedback`, in a table that the role `reader` may read."""
    feedback = Feedback(path)
    feedback.history(300)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM feedback").fetchall()
    places = ",".join(["%s"] * 9)
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS feedback")
        typed = SCHEMA.replace("created_at TEXT", "created_at TIMESTAMPTZ").replace("features TEXT", "features JSONB")
        connection.execute(typed)
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO feedback ({COLUMNS}) VALUES ({places})", rows)
        connection.execute(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reader') THEN "
            f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; END IF; END $$"
        )
        connection.execute(f"ALTER ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("GRANT SELECT ON feedback TO reader")


def _secret(server: Server, password: str = PASSWORD) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "feedback-db",
            "labels": {"retrainer.dev/allow-operator": "true"},
            "annotations": {"retrainer.dev/allowed-hosts": "127.0.0.1"},
        },
        "data": {"dsn": b64encode(server.dsn("reader", password).encode()).decode()},
    }


def _source() -> dict[str, Any]:
    source = feedback_source()
    del source["spec"]["sqlite"]
    source["spec"]["postgres"] = {"connectionSecretRef": {"name": "feedback-db", "key": "dsn"}, "table": "feedback"}
    return source


def _run() -> dict[str, Any]:
    now = datetime.now(UTC)
    spec = run_spec("file:///models/", now - timedelta(days=7), now)
    spec["job"] = {"volumeClaims": [{"claimName": "models", "mountPath": "/models"}]}
    meta = {"name": "from-postgres"}
    return {"apiVersion": "retrainer.dev/v1alpha1", "kind": "TrainingRun", "metadata": meta, "spec": spec}


def _summary(kubectl: Kubectl) -> dict[str, Any]:
    summary: dict[str, Any] = kubectl.status("feedbacksource", "digits").get("summary") or {}
    return summary


def _reason(kubectl: Kubectl) -> str | None:
    conditions = kubectl.status("feedbacksource", "digits").get("conditions") or []
    return next((c["reason"] for c in conditions if c["type"] == "Ready"), None)


def _succeeded(kubectl: Kubectl) -> dict[str, Any] | None:
    conditions = kubectl.status("trainingrun", "from-postgres").get("conditions") or []
    return next((c for c in conditions if c["type"] == "Succeeded" and c["status"] != "Unknown"), None)

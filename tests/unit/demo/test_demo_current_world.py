"""The user's own cluster: which Gateway, how to reach it, what the operator's Deployment gets, Jobs on the volume."""

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo import access, database
from demo.current_world import choose_gateway, with_feedback
from demo.database import Votes
from demo.digits import Image
from demo.kube import ApiError
from demo.pod_desk import PodDesk, job
from demo.world import WorldError

START = datetime(2026, 3, 1, tzinfo=UTC)


def gateway(name: str, address: str | None = "192.0.2.7", port: int = 80) -> dict[str, Any]:
    status = {"addresses": [{"value": address}]} if address else {}
    listeners = [{"protocol": "HTTPS", "port": 443}, {"protocol": "HTTP", "port": port}]
    return {"metadata": {"namespace": "infra", "name": name}, "spec": {"listeners": listeners}, "status": status}


def test_the_only_gateway_is_taken_with_the_address_of_its_status() -> None:
    doors = choose_gateway([gateway("public", port=8080)], {})
    assert (doors.gateway_namespace, doors.gateway_name) == ("infra", "public")
    assert doors.gateway_url == "http://192.0.2.7:8080"
    assert doors.kubeconfig is None


def test_among_several_a_person_chooses() -> None:
    both = [gateway("public"), gateway("internal")]
    assert choose_gateway(both, {"GATEWAY": "infra/internal"}).gateway_name == "internal"
    with pytest.raises(WorldError, match="infra/internal, infra/public"):
        choose_gateway(both, {})


@pytest.mark.parametrize("wanted", [{}, {"GATEWAY": "infra/public"}])
def test_without_a_gateway_the_remedy_is_named(wanted: dict[str, str]) -> None:
    with pytest.raises(WorldError, match="there is none"):
        choose_gateway([], wanted)


def test_an_address_of_a_person_s_own_wins() -> None:
    doors = choose_gateway([gateway("public")], {"GATEWAY_URL": "http://localhost:9080/"})
    assert doors.gateway_url == "http://localhost:9080"
    with pytest.raises(WorldError, match="GATEWAY_URL"):
        choose_gateway([gateway("public", address=None)], {})


def test_the_operator_reads_the_feedback_volume_and_keeps_everything_else() -> None:
    plain = access.operator_deployment("demo")
    mounted = with_feedback(plain)
    before, after = (d["spec"]["template"]["spec"]["containers"][0] for d in (plain, mounted))
    assert {"name": "RETRAINER_DATA_ROOT", "value": "/feedback"} in after["env"]
    assert after["env"][: len(before["env"])] == before["env"]
    assert [m["mountPath"] for m in after["volumeMounts"]][-1] == "/feedback"
    assert mounted["spec"]["template"]["spec"]["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "feedback"}
    assert after["securityContext"] == before["securityContext"]


def test_the_operator_s_access_is_what_the_project_ships_moved_to_the_namespace() -> None:
    objects = access.operator_access("demo")
    assert {o["kind"] for o in objects} == {"ServiceAccount", "Role", "RoleBinding"}
    assert {o["metadata"]["namespace"] for o in objects} == {"demo"}
    subjects = [s for o in objects for s in o.get("subjects", ())]
    assert subjects
    assert all((s["name"], s["namespace"]) == (access.SERVICE_ACCOUNT, "demo") for s in subjects)


class FakeApi:
    """A cluster on which each Job prints the given lines, or fails."""

    def __init__(self, log: str = "", failed: bool = False) -> None:
        self.jobs: list[dict[str, Any]] = []
        self._log = log
        self._failed = failed

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.jobs.append(body)
        return body

    async def get(self, path: str, **_: str) -> dict[str, Any]:
        if path.endswith("/pods"):
            return {"items": [{"metadata": {"name": "desk-1-x"}}]}
        return {"status": {"failed": 1} if self._failed else {"succeeded": 1}}

    async def text(self, path: str) -> str:
        return self._log


def desk(api: FakeApi) -> PodDesk:
    return PodDesk(api)  # type: ignore[arg-type]


def test_votes_are_counted_in_a_pod() -> None:
    api = FakeApi("a warning\n[7, 3]\n")
    assert asyncio.run(desk(api).votes(2, START, START)) == Votes(7, 3)
    assert api.jobs[0]["spec"]["template"]["spec"]["containers"][0]["command"][3:6] == [
        "votes", "/feedback/feedback.db", "2",
    ]  # fmt: skip


def test_each_question_is_a_job_of_its_own() -> None:
    api = FakeApi("1200")
    one = desk(api)

    async def ask() -> int:
        await one.write_first_images([Image((1, 2), "7")], START)
        return await one.spread_over_days(START, 4)

    assert asyncio.run(ask()) == 1200
    assert [j["metadata"]["name"] for j in api.jobs] == ["desk-1", "desk-2"]


def test_a_failed_question_says_where_to_look() -> None:
    with pytest.raises(ApiError, match="kubectl -n demo logs job/desk-1"):
        asyncio.run(desk(FakeApi(failed=True)).spread_over_days(START, 4))


def test_the_command_of_the_job_runs_by_itself(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        command = job("desk-1", words)["spec"]["template"]["spec"]["containers"][0]["command"]
        done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout

    archive = str(tmp_path / "archive.db")
    assert run("first-images", archive, database.stamp(START), json.dumps([[[1, 2], "7"]])) == ""
    import sqlite3

    with sqlite3.connect(archive) as connection:
        assert connection.execute("SELECT features, label FROM images").fetchall() == [("[1, 2]", "7")]
        connection.execute("CREATE TABLE feedback (id TEXT, created_at TEXT, model_revision TEXT, thumb INTEGER)")
        connection.execute("INSERT INTO feedback VALUES ('a', '2026-04-01T00:00:00.000000Z', '1', 1)")
    connection.close()
    assert run("spread", archive, database.stamp(START), "4").strip() == "1"
    until = database.stamp(datetime(2026, 3, 5, tzinfo=UTC))
    assert json.loads(run("votes", archive, "1", database.stamp(START), until)) == [1, 0]

"""What the client sends and how it reads answers, against an HTTP server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from retrainer.kube import client as client_module
from retrainer.kube.client import Client
from retrainer.kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Refused
from retrainer.kube.resources import AB_EXPERIMENT, CONFIG_MAP, JOB
from retrainer.plan import Object, Ref

EXPERIMENT: Object = {
    "apiVersion": "retrainer.dev/v1alpha1",
    "kind": "ABExperiment",
    "metadata": {"namespace": "team", "name": "x", "resourceVersion": "7"},
    "spec": {"alpha": "0.05"},
    "status": {"weightPercent": 5},
}
MAP: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "team", "name": "m"}}
REF = Ref("v1", "ConfigMap", "team", "m", "uid-1")


@dataclass
class Server:
    """Answers requests in turn from `answers` (status, body) and remembers them."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    drop: bool = False
    """Close the connection instead of answering."""
    date: str | None = None
    """The date that the answers bear; the real one if None."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "type": request.headers.get("Content-Type"),
                "authorization": request.headers.get("Authorization"),
                "body": json.loads(text) if text else None,
            }
        )
        if self.drop:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status, body = self.answers.pop(0) if self.answers else (200, {})
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {} if self.date is None else {"Date": self.date}
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def talk(
    tmp_path: Path, server: Server, conversation: Callable[[Client], Awaitable[Any]], stop_first: bool = False
) -> Any:
    """Run a conversation of a client with the server; `stop_first`: the server is gone before it begins."""

    async def main() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", server.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        if stop_first:
            await runner.cleanup()
        client = await Client.connect(str(kubeconfig(tmp_path, f"http://127.0.0.1:{port}")))
        try:
            return await conversation(client)
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(main())


def kubeconfig(folder: Path, address: str) -> Path:
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "abc"}}],
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def status(code: int, reason: str, message: str = "m") -> tuple[int, Object]:
    return code, {"kind": "Status", "reason": reason, "message": message, "code": code}


class TestClock:
    """Whether our clock agrees with the API server's is told by the dates of its answers."""

    NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def ahead(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, date: str | None = None
    ) -> float | None:
        """As the client tells it when our clock is so many seconds after noon, and the answer was of noon."""

        async def conversation(client: Client) -> float | None:
            await client.get(JOB, "team", "j")
            monkeypatch.setattr(client_module.time, "time", lambda: self.NOON.timestamp() + seconds)
            return client.clock_ahead()

        date = format_datetime(self.NOON, usegmt=True) if date is None else date
        found: float | None = talk(tmp_path, Server(date=date), conversation)
        return found

    def test_before_the_first_answer_nothing_is_known(self, tmp_path: Path) -> None:
        async def conversation(client: Client) -> float | None:
            return client.clock_ahead()

        assert talk(tmp_path, Server(), conversation) is None

    @pytest.mark.parametrize("date", ["", "yesterday"])
    def test_an_answer_without_a_usable_date_tells_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str
    ) -> None:
        assert self.ahead(tmp_path, monkeypatch, 3600, date) is None

    @pytest.mark.parametrize("seconds", [-3600, 3600])
    def test_our_clock_is_held_against_the_date_of_the_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
    ) -> None:
        assert self.ahead(tmp_path, monkeypatch, seconds) == pytest.approx(seconds, abs=5)

    def test_what_a_date_cannot_tell_is_no_difference(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else every time that is told would waver by half a second."""
        assert self.ahead(tmp_path, monkeypatch, 1) == 0


class TestRequests:
    def only(self, tmp_path: Path, conversation: Callable[[Client], Awaitable[Any]]) -> dict[str, Any]:
        server = Server()
        talk(tmp_path, server, conversation)
        (request,) = server.requests
        return request

    def test_get_asks_for_one_object_with_the_token(self, tmp_path: Path) -> None:
        request = self.only(tmp_path, lambda c: c.get(JOB, "team", "j"))
        assert (request["method"], request["path"]) == ("GET", "/apis/batch/v1/namespaces/team/jobs/j")
        assert request["authorization"] == "Bearer abc"

    def test_create_posts_to_the_collection_as_our_field_manager(self, tmp_path: Path) -> None:
        request = self.only(tmp_path, lambda c: c.create(MAP))
        assert (request["method"], request["path"]) == ("POST", "/api/v1/namespaces/team/configmaps")
        assert request["query"] == {"fieldManager": "retrainer"}
        assert request["body"] == MAP

    def test_apply_patches_with_force_and_the_type_of_an_apply(self, tmp_path: Path) -> None:
        request = self.only(tmp_path, lambda c: c.apply(MAP))
        assert (request["method"], request["path"]) == ("PATCH", "/api/v1/namespaces/team/configmaps/m")
        assert request["query"] == {"fieldManager": "retrainer", "force": "true"}
        assert request["type"] == "application/apply-patch+yaml"

    def test_a_merge_says_that_it_is_one(self, tmp_path: Path) -> None:
        """Otherwise the library takes it for a strategic merge, which custom resources refuse."""
        request = self.only(tmp_path, lambda c: c.merge(REF, CONFIG_MAP, {"data": {"gone": None}}))
        assert request["type"] == "application/merge-patch+json"
        assert request["body"] == {"data": {"gone": None}}

    def test_replace_puts_the_object_with_its_version(self, tmp_path: Path) -> None:
        request = self.only(tmp_path, lambda c: c.replace(EXPERIMENT))
        assert request["method"] == "PUT"
        assert request["path"].endswith("/abexperiments/x")
        assert request["body"]["metadata"]["resourceVersion"] == "7"

    def test_put_status_replaces_the_status_of_the_version_that_was_read(self, tmp_path: Path) -> None:
        request = self.only(tmp_path, lambda c: c.put_status(EXPERIMENT, {"weightPercent": 10}))
        assert (request["method"], request["path"].rpartition("/")[2]) == ("PUT", "status")
        assert request["body"]["status"] == {"weightPercent": 10}
        assert request["body"]["metadata"]["resourceVersion"] == "7"
        assert EXPERIMENT["status"] == {"weightPercent": 5}

    def test_delete_is_in_the_background_and_only_of_this_identity(self, tmp_path: Path) -> None:
        request = self.only(tmp_path, lambda c: c.delete(REF, CONFIG_MAP))
        assert (request["method"], request["path"]) == ("DELETE", "/api/v1/namespaces/team/configmaps/m")
        assert request["body"]["propagationPolicy"] == "Background"
        assert request["body"]["preconditions"] == {"uid": "uid-1"}

    def test_the_tail_of_a_log_is_bounded(self, tmp_path: Path) -> None:
        server = Server(answers=[(200, "line\n")])
        assert talk(tmp_path, server, lambda c: c.log_tail("team", "p", 20, 4096)) == "line\n"
        assert server.requests[0]["path"] == "/api/v1/namespaces/team/pods/p/log"
        assert server.requests[0]["query"] == {"tailLines": "20", "limitBytes": "4096"}

    def test_writes_are_counted_by_verb_and_kind_and_reads_are_not(self, tmp_path: Path) -> None:
        async def conversation(client: Client) -> dict[tuple[str, str], int]:
            await client.get(JOB, "team", "j")
            await client.create(MAP)
            await client.create(MAP)
            await client.put_status(EXPERIMENT, {})
            await client.delete(REF, CONFIG_MAP)
            return dict(client.writes)

        assert talk(tmp_path, Server(), conversation) == {
            ("create", "ConfigMap"): 2,
            ("status", "ABExperiment"): 1,
            ("delete", "ConfigMap"): 1,
        }


class TestLists:
    def test_all_pages_are_read_and_items_get_the_kind_that_lists_leave_out(self, tmp_path: Path) -> None:
        pages = [
            (200, {"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]}),
            (200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
        ]
        server = Server(answers=pages)
        items = talk(tmp_path, server, lambda c: c.list(AB_EXPERIMENT, "team", "a=b"))
        assert [(i["kind"], i["metadata"]["name"]) for i in items] == [("ABExperiment", "a"), ("ABExperiment", "b")]
        assert [r["query"].get("continue") for r in server.requests] == [None, "next"]
        assert {r["query"]["labelSelector"] for r in server.requests} == {"a=b"}
        assert all(int(r["query"]["limit"]) > 0 for r in server.requests)

    def test_an_empty_list_may_come_as_null(self, tmp_path: Path) -> None:
        assert talk(tmp_path, Server(answers=[(200, {"metadata": {}, "items": None})]), lambda c: c.list(JOB)) == []

    def test_a_list_of_all_namespaces_names_none(self, tmp_path: Path) -> None:
        server = Server(answers=[(200, {"items": []})])
        talk(tmp_path, server, lambda c: c.list(JOB))
        assert server.requests[0]["path"] == "/apis/batch/v1/jobs"

    def test_a_page_that_expired_is_an_error_and_not_half_a_list(self, tmp_path: Path) -> None:
        answers = [(200, {"metadata": {"continue": "n"}, "items": [{"metadata": {}}]}), status(410, "Expired")]
        with pytest.raises(ApiError, match="410 Expired"):
            talk(tmp_path, Server(answers=answers), lambda c: c.list(JOB))


class TestAnswers:
    def test_an_absent_object_is_none(self, tmp_path: Path) -> None:
        assert talk(tmp_path, Server(answers=[status(404, "NotFound")]), lambda c: c.get(JOB, "team", "j")) is None

    def test_deleting_what_is_absent_is_fine(self, tmp_path: Path) -> None:
        talk(tmp_path, Server(answers=[status(404, "NotFound")]), lambda c: c.delete(REF, CONFIG_MAP))

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (status(409, "Conflict"), Conflict),
            (status(409, "AlreadyExists"), AlreadyExists),
            (status(422, "Invalid"), Refused),
            (status(403, "Forbidden"), Refused),
            (status(404, "NotFound"), NotFound),
            (status(500, "InternalError"), ApiError),
        ],
    )
    def test_a_refused_write_raises_its_kind_with_the_servers_words(
        self, answer: tuple[int, Object], kind: type[ApiError], tmp_path: Path
    ) -> None:
        with pytest.raises(kind) as raised:
            talk(tmp_path, Server(answers=[answer]), lambda c: c.create(MAP))
        assert raised.value.message == "m"

    def test_an_error_page_of_a_proxy_is_an_error_too(self, tmp_path: Path) -> None:
        with pytest.raises(ApiError) as raised:
            talk(tmp_path, Server(answers=[(502, "<html>Bad gateway</html>")]), lambda c: c.create(MAP))
        assert raised.value.status == 502

    def test_an_error_that_is_json_but_no_status_is_an_error_too(self, tmp_path: Path) -> None:
        with pytest.raises(ApiError) as raised:
            talk(tmp_path, Server(answers=[(500, "[]")]), lambda c: c.create(MAP))
        assert raised.value.status == 500

    def test_no_server_at_all_is_no_answer(self, tmp_path: Path) -> None:
        with pytest.raises(ApiError) as raised:
            talk(tmp_path, Server(), lambda c: c.create(MAP), stop_first=True)
        assert (raised.value.status, raised.value.reason) == (0, "NoAnswer")

    def test_a_connection_that_the_server_closes_is_no_answer(self, tmp_path: Path) -> None:
        """So does a restarting API server; unmapped it ended the leader."""
        with pytest.raises(ApiError) as raised:
            talk(tmp_path, Server(drop=True), lambda c: c.create(MAP))
        assert raised.value.reason == "NoAnswer"

    def test_a_server_that_never_answers_is_no_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_module, "_TIMEOUT_SECONDS", 0.05)

        class Silent(Server):
            async def handle(self, request: web.Request) -> web.StreamResponse:
                await asyncio.Event().wait()
                raise AssertionError

        async def conversation(client: Client) -> None:
            with pytest.raises(ApiError) as raised:
                await client.create(MAP)
            assert raised.value.reason == "NoAnswer"

        talk(tmp_path, Silent(), conversation)


class TestConnect:
    def test_the_environment_names_the_file_when_the_client_connects(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, "http://127.0.0.1:1")))

        async def host() -> str:
            client = await Client.connect()
            try:
                return str(client._api.configuration.host)
            finally:
                await client.close()

        assert asyncio.run(host()) == "http://127.0.0.1:1"

"""Servers that call themselves Prometheus and are none: every one ends in a sentence of ours, in time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable
from retrainer.prometheus import client
from retrainer.prometheus.client import PrometheusSource, Server
from retrainer.prometheus.counters import Span
from retrainer.prometheus.reading import CountsQuery, NotYet

TOKEN = "s3cret-Token-0451"
LIMIT = 0.5
QUERY = CountsQuery(
    "errors_total", None, "revision", (("candidate", ("4",)), ("baseline", ("3",))), Span(1000, 1060, 100), 100
)
NOW = 1061.0

Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk, family: socket.AddressFamily = socket.AF_INET) -> Iterator[tuple[int, list[bytes]]]:
    """A server that reads each request's head and then talks as it likes; yields its port and the heads."""
    heads: list[bytes] = []
    with socket.socket(family) as server:
        server.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        server.listen()
        closing = threading.Event()

        def serve() -> None:
            while not closing.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=attend, args=(connection,), daemon=True).start()

        def attend(connection: socket.socket) -> None:
            with connection:
                try:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        piece = connection.recv(4096)
                        if not piece:
                            return
                        head += piece
                    heads.append(head)
                    talk(connection)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], heads
        finally:
            closing.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def source(url: str, *, hosts: tuple[str, ...] | None = ("127.0.0.1", "localhost"), loopback: bool = False,
           addresses: list[str] | None = None) -> PrometheusSource:  # fmt: skip
    credentials = None if hosts is None else Credentials(TOKEN, hosts)
    known = (lambda host, port: list(addresses)) if addresses is not None else client.hosts.resolve
    return PrometheusSource(Server(url, credentials, LIMIT, loopback), clock=lambda: NOW, resolver=known)


def says(*pieces: bytes, pause: float = 0.0) -> Talk:
    def talk(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)

    return talk


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


NOTHING = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def drips(start: bytes) -> Talk:
    return lambda connection: says(start, *[b"x"] * 1000, pause=0.05)(connection)


HOSTILE: tuple[tuple[str, Talk, type[SourceError], str], ...] = (
    ("never answers", silent, TimedOut, "no answer within 0.5 s"),
    ("sends a header a byte at a time", drips(b"HTTP/1.1 200 OK\r\nX-Slow: "), TimedOut, "no answer within"),
    ("sends a body a byte at a time", drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"), TimedOut, "no answer"),
    ("sends chunks without end",
     drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e7\r\n"), TimedOut, "no answer"),
    ("hangs up", says(), Unreachable, "no connection to the server"),
    ("hangs up in the body", says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"), Unreachable, "no connection"),
    ("speaks no HTTP", says(b"220 mail.example ESMTP\r\n"), Unreachable, "no connection to the server"),
    ("redirects to the metadata service",
     says(answer(b"", "302 Found", "Location: http://169.254.169.254/latest")), Unreachable, "redirects .HTTP 302"),
    ("is a web page", says(answer(b"<html>")), Unreachable, "not the query API of Prometheus"),
    ("is too large", says(answer(b"x" * 2000)), SchemaMismatch, "narrow the selector"),
    ("repeats the token", says(answer(TOKEN.encode(), "500 " + TOKEN)), Unreachable, "HTTP 500"),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "talk", "error", "words"), HOSTILE, ids=[h[0] for h in HOSTILE])
def test_a_server_that_is_no_prometheus(
    sentence: str, talk: Talk, error: type[SourceError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LARGEST_ANSWER", 1999)
    with listening(talk) as (port, _):
        began = time.monotonic()
        with pytest.raises(error, match=words) as caught:
            source(f"http://127.0.0.1:{port}").counts(QUERY)
        assert time.monotonic() - began < LIMIT + 1
        assert TOKEN not in str(caught.value)


def test_one_connection_serves_several_questions_and_a_closed_one_is_opened_anew() -> None:
    for closing in (False, True):
        more = ("Connection: close",) if closing else ()
        def talk(connection: socket.socket, more: tuple[str, ...] = more) -> None:
            connection.sendall(answer(NOTHING, "200 OK", *more))
            while not more and connection.recv(4096):
                connection.sendall(answer(NOTHING))

        with listening(talk) as (port, heads):
            query = CountsQuery("a", "b", "revision", QUERY.arms, QUERY.span, QUERY.since)
            assert source(f"http://127.0.0.1:{port}").counts(query) == NotYet()
            assert len(heads) == (2 if closing else 1)
            assert b"Authorization: Bearer " + TOKEN.encode() in heads[0]


def test_the_path_of_the_url_comes_before_the_api() -> None:
    for path, begins in (("", b"GET /api/v1/query?"), ("/a b/ü/", b"GET /a%20b/%C3%BC/api/v1/query?")):
        with listening(says(answer(NOTHING))) as (port, heads):
            source(f"http://127.0.0.1:{port}{path}").counts(QUERY)
            assert heads[0].startswith(begins)


def test_the_address_that_was_checked_is_the_one_that_is_asked() -> None:
    with listening(says(answer(NOTHING))) as (port, heads):
        given = source(f"http://prometheus.invalid:{port}", hosts=("prometheus.invalid", "127.0.0.1"),
                       addresses=["127.0.0.1"])  # fmt: skip
        assert given.counts(QUERY) == NotYet()
        assert b"Host: prometheus.invalid" in heads[0]


@pytest.mark.parametrize(
    ("url", "addresses", "words"),
    [
        ("http://x:9090", ["169.254.169.254"], "link-local or metadata"),
        ("http://x:9090", ["10.0.0.1", "fe80::1"], "link-local or metadata"),
        ("http://metadata.google.internal", ["10.0.0.1"], "metadata service"),
        ("http://x:9090", ["127.0.0.1"], "this machine itself; set RETRAINER_ALLOW_LOOPBACK"),
        ("http://x:9090", ["::ffff:127.0.0.1"], "this machine itself"),
        ("http://x:9090", ["0.0.0.0"], "link-local or metadata"),
    ],
)
def test_addresses_that_nobody_may_ask_are_refused_without_a_token_too(
    url: str, addresses: list[str], words: str
) -> None:
    with pytest.raises(Unauthorized, match=words):
        source(url, hosts=None, addresses=addresses).counts(QUERY)


def test_this_machine_may_be_asked_where_that_is_meant() -> None:
    with listening(says(answer(NOTHING))) as (port, heads):
        assert source(f"http://127.0.0.1:{port}", hosts=None, loopback=True).counts(QUERY) == NotYet()
        assert b"Authorization" not in heads[0]


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("http://x:port", SchemaMismatch, r"url: must be http\(s\)://host"),
        ("http://x:99999", SchemaMismatch, r"url: must be http\(s\)://host"),
        ("http://[x", SchemaMismatch, r"url: must be http\(s\)://host"),
        ("http://no-such-host.invalid:9090", Unreachable, "the host of url has no address"),
    ],
)
def test_an_url_that_names_nothing(url: str, error: type[SourceError], words: str) -> None:
    with pytest.raises(error, match=words):
        source(url, hosts=None).counts(QUERY)


def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable, match="no connection to the server; check url and network policies"):
            source(f"http://127.0.0.1:{free.getsockname()[1]}").counts(QUERY)


def test_the_next_address_is_tried_where_the_first_does_not_answer() -> None:
    with listening(says(answer(NOTHING))) as (port, _):
        given = source(f"http://x:{port}", hosts=("x", "127.0.0.1"), addresses=["127.0.0.2", "127.0.0.1"])
        assert given.counts(QUERY) == NotYet()

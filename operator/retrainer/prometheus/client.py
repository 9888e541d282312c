"""Asks the query API of Prometheus: GET only, no redirects, no proxies, checked addresses, one time limit for all.

The address that was checked is the one that is connected to, so that a name cannot point elsewhere in between. A
token goes only to the hosts that its Secret names. Blocking; it runs in the threads of `Readings`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from retrainer.feedback import hosts
from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, TimedOut, Unauthorized, Unreachable
from retrainer.feedback.watchdog import Watchdog
from retrainer.prometheus.answers import read_answer
from retrainer.prometheus.counters import Series
from retrainer.prometheus.reading import Counts, CountsQuery, NotYet, read_counts

_LARGEST_ANSWER = 64 * 1024 * 1024
_PORTS = {"http": 80, "https": 443}
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Server:
    """Where to ask, and as whom. `loopback`: without a token, whether this machine itself may be asked."""

    url: str
    credentials: Credentials | None
    timeout_seconds: float
    loopback: bool = False


class PrometheusSource:
    """A source for `Readings`; every call connects anew, so that moved servers need no care."""

    def __init__(
        self, server: Server, clock: Callable[[], float] = time.time, resolver: hosts.Resolver = hosts.resolve
    ) -> None:
        self._server = server
        self._clock = clock
        self._resolver = resolver

    def counts(self, query: CountsQuery) -> Counts | NotYet:
        """See `read_counts`; all its questions together must be answered within the time limit."""
        with _Conversation(self._server, self._resolver) as conversation:
            return read_counts(query, conversation.ask, self._clock())

    def close(self) -> None:
        """Nothing is kept open between calls."""


class _Conversation:
    """One connection at a time, and the time left for all of them."""

    def __init__(self, server: Server, resolver: hosts.Resolver) -> None:
        self._server = server
        self._resolver = resolver
        self._deadline = time.monotonic() + server.timeout_seconds
        self._scheme, self._host, self._port, self._path = _parts(server.url)
        self._connection: http.client.HTTPConnection | None = None
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()

    def ask(self, query: str, at: float) -> Sequence[Series]:
        """The answer to an instant query. Raises errors of `retrainer.feedback.errors`."""
        try:
            status, body = self._get(f"{self._path}?{urlencode({'query': query, 'time': f'{at:.3f}'})}")
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from None
        if self._is_late():
            raise self._failure(TimeoutError())
        return read_answer(status, body)

    def _failure(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError) or self._is_late():
            return TimedOut(f"no answer within {self._server.timeout_seconds:g} s")
        if isinstance(error, ssl.SSLError):
            return Unreachable("no trustworthy TLS connection; check scheme and certificate of the server")
        return Unreachable("no connection to the server; check url and network policies")

    def _is_late(self) -> bool:
        return self._watchdog is not None and self._watchdog.fired

    def _get(self, target: str) -> tuple[int, bytes]:
        connection = self._connection or self._connect()
        headers = {"Accept": "application/json", "User-Agent": "retrainer"}
        if self._server.credentials is not None:
            headers["Authorization"] = f"Bearer {_token(self._server.credentials)}"
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        body = _body(response)
        if response.will_close:
            self._hang_up()
        return response.status, body

    def _connect(self) -> http.client.HTTPConnection:
        """A connection to the first of the checked addresses that accepts one."""
        sock = self._dial()
        self._watchdog = Watchdog(sock, self._left())
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.auto_open = 0  # it would connect by name, to an address that nobody has checked
        connection.sock = self._secured(sock)
        self._connection = connection
        return connection

    def _dial(self) -> socket.socket:
        failure: OSError = OSError("no address")
        for address in self._addresses():
            try:
                sock = socket.create_connection((address, self._port), timeout=min(_CONNECT_SECONDS, self._left()))
            except OSError as error:
                failure = error
            else:
                sock.settimeout(None)  # from here on the watchdog's limit is for everything together
                return sock
        raise failure

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _hang_up(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _addresses(self) -> list[str]:
        credentials = self._server.credentials
        if credentials is None:
            return hosts.open_addresses(self._host, self._port, self._server.loopback, self._resolver)
        return hosts.checked_addresses(
            self._host, self._port, credentials.allowed_hosts, self._resolver, place=hosts.SERVER
        )

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self._scheme != "https":
            return sock
        try:
            return ssl.create_default_context().wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and the path of the query API."""
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise SchemaMismatch("url: must be http(s)://host[:port][/path]") from None
    path = quote(parts.path.rstrip("/"), safe="/%~:@!$&'()*+,;=")
    return parts.scheme, parts.hostname or "", port, f"{path}/api/v1/query"


def _body(response: http.client.HTTPResponse) -> bytes:
    body = response.read(_LARGEST_ANSWER + 1)
    if len(body) > _LARGEST_ANSWER:
        raise SchemaMismatch(f"the answer is larger than {_LARGEST_ANSWER >> 20} MiB; narrow the selector")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return body


def _token(credentials: Credentials) -> str:
    """The token, if it can stand in a header at all."""
    if not credentials.value.isascii() or not credentials.value.isprintable() or " " in credentials.value:
        raise Unauthorized("tokenSecretRef: the key does not hold a bearer token (printable characters, no spaces)")
    return credentials.value

"""A connection to PostgreSQL that can only read, only there, only as a modest role, and only for so long.

What was broken in trials and is closed here: a query inside BEGIN READ ONLY escapes with `commit; begin read
write; …`: every statement with a text of the user goes through the extended protocol, which takes one statement
only, as a cursor, in a session that is read-only by default; superusers and readers of server files are refused;
a connection string may name other hosts, addresses, files or options than it seems: only known parameters are
taken over, and the address that was checked is the one that is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from retrainer.feedback import hosts
from retrainer.feedback.connectors.protocol import Timeouts
from retrainer.feedback.credentials import Credentials
from retrainer.feedback.errors import SchemaMismatch, SourceError, TimedOut, Unauthorized, Unreachable

if TYPE_CHECKING:
    import psycopg

FIELD = "spec.postgres"
_SECRET = f"{FIELD}.connectionSecretRef"
_OLDEST_VERSION = 130_000
_NOTICES_DISCONNECTION = 140_000
_PASSED_ON = frozenset({"user", "password", "dbname", "sslmode", "channel_binding", "target_session_attrs"})
_PLACES = frozenset({"host", "port"})
_IGNORED = frozenset({"application_name", "connect_timeout", "client_encoding", "fallback_application_name"})

_PRIVILEGED = """
SELECT EXISTS (
  SELECT 1 FROM pg_catalog.pg_roles r
  WHERE (r.rolsuper OR r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
    AND (pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') OR pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER'))
)
"""


def connection_parameters(
    credentials: Credentials, timeouts: Timeouts, resolver: hosts.Resolver = hosts.resolve
) -> dict[str, Any]:
    """libpq parameters out of a connection string, every host checked and pinned to its checked addresses.

    Raises Unauthorized where the string is malformed, names a host that is not allowed or sets a parameter that
    is not; Unreachable where a host has no address.
    """
    given = _parse(credentials.value)
    for key in given:
        if key not in _PASSED_ON | _PLACES | _IGNORED and (key, given[key]) != ("sslrootcert", "system"):
            raise Unauthorized(
                f'{_SECRET}: the connection string must not set "{key}"; leave host, port, user, password, dbname '
                f"and sslmode"
            )
    places = _places(given, credentials.allowed_hosts, resolver)
    return {
        **{k: v for k, v in given.items() if k not in _PLACES | _IGNORED},
        "host": ",".join(host for host, _, _ in places),
        "port": ",".join(port for _, port, _ in places),
        "hostaddr": ",".join(address for _, _, address in places),
        "application_name": "retrainer",
        "connect_timeout": max(2, round(timeouts.connect)),
        "options": _options(timeouts),
        # Files and protocols of the operator's own environment have no business here.
        "passfile": "/dev/null",
        "gssencmode": "disable",
        "client_encoding": "UTF8",
    }


def _parse(text: str) -> dict[str, str]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {k: str(v) for k, v in conninfo_to_dict(text).items() if v is not None}
    except (psycopg.Error, UnicodeError):
        # The driver's text quotes the string, password included.
        raise Unauthorized(
            f"{_SECRET}: the key does not hold a connection string; write "
            "postgresql://user:password@host:5432/database (special characters percent-encoded)"
        ) from None


def _places(given: dict[str, str], allowed: Sequence[str], resolver: hosts.Resolver) -> list[tuple[str, str, str]]:
    """(host, port, address) for every address of every host of the connection string."""
    names = given.get("host", "").split(",")
    ports = given.get("port", "5432").split(",")
    if len(ports) == 1:
        ports = ports * len(names)
    if len(ports) != len(names) or not all(p.isdecimal() or p == "" for p in ports):
        raise Unauthorized(f"{_SECRET}: the connection string needs one port, or one for each of its hosts")
    return [
        (name, port or "5432", address)
        for name, port in zip(names, ports, strict=True)
        for address in hosts.checked_addresses(name, int(port or "5432"), allowed, resolver)
    ]


def _options(timeouts: Timeouts) -> str:
    milliseconds = round(timeouts.read * 1000)
    settings = {
        "default_transaction_read_only": "on",
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds * 2,
        "standard_conforming_strings": "on",
        "jit": "off",
        # We fetch every row; planning for the first tenth prefers plans that are slow to the end.
        "cursor_tuple_fraction": "1.0",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def connect(parameters: dict[str, Any]) -> psycopg.Connection[tuple[Any, ...]]:
    """An open, checked connection inside a repeatable-read, read-only transaction."""
    import psycopg

    try:
        connection = psycopg.connect(**parameters, autocommit=True)
    except psycopg.Error as error:
        raise _refused(error) from None
    try:
        _check_server(connection)
        if connection.info.server_version >= _NOTICES_DISCONNECTION:
            # A statement that we gave up, time limit switched off or not, must not go on working there.
            connection.execute("SET client_connection_check_interval = '5s'")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_server(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    if connection.info.server_version < _OLDEST_VERSION:
        raise SchemaMismatch(f"{FIELD}: PostgreSQL 13 or newer is needed")
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        raise SchemaMismatch(f"{FIELD}: the database has no encoding (SQL_ASCII); its texts cannot be read safely")
    found = connection.execute(_PRIVILEGED).fetchone()
    if found is None or found[0]:
        raise Unauthorized(
            f"{_SECRET}: the role is a superuser or may read or write files of the server; use a role that may "
            "only SELECT the feedback"
        )


_REFUSALS = ("authentication failed", "pg_hba.conf", "no password supplied", "permission denied", "not permitted")
_BUSY = ("too many connections", "connection slots", "starting up", "shutting down", "recovery mode")


def _refused(error: psycopg.Error) -> SourceError:
    """Why no connection came about. libpq gives no code for it; its text is looked at, never shown."""
    text = str(error).lower()
    if 'database "' in text and "does not exist" in text:
        return SchemaMismatch(f"{_SECRET}: the server has no such database as the connection string names")
    if any(t in text for t in _BUSY):
        return Unreachable(f"{FIELD}: the server takes no more connections now; it is tried again")
    if "timeout" in text:
        return TimedOut(f"{FIELD}: the server accepts no connection in time; check host, port and network policies")
    if any(t in text for t in (*_REFUSALS, 'role "')) or _asked_for_password(getattr(error, "pgconn", None)):
        return Unauthorized(f"{_SECRET}: the server refuses user or password of the connection string")
    return Unreachable(f"{FIELD}: no connection to the server; check host, port, TLS mode and network policies")


def _asked_for_password(connection: Any) -> bool:
    """A server that speaks another language asked for the password before it refused."""
    return bool(getattr(connection, "needs_password", False) or getattr(connection, "used_password", False))


def catalogued(error: psycopg.Error, *, has_query: bool, late: bool) -> SourceError:
    """Our words for an error of a running statement; the server's own may quote records or the query."""
    state = error.sqlstate or ""
    what = f"{FIELD}.query" if has_query else f"{FIELD}.table"
    for prefix, build in _BY_STATE:
        if state.startswith(prefix):
            return build(what)
    if late:
        return TimedOut(f"{what}: not read within the time limit; index the time column, or ask for less")
    if not state or state.startswith("08"):
        return Unreachable(f"{FIELD}: the connection broke; it is tried again")
    return SchemaMismatch(f"{what}: PostgreSQL cannot run it (SQLSTATE {state}); try it with psql as the same role")


_BY_STATE: tuple[tuple[str, Callable[[str], SourceError]], ...] = (
    ("57014", lambda w: TimedOut(f"{w}: not read within the time limit; index the time column, or ask for less")),
    ("55P03", lambda w: TimedOut(f"{w}: the table is locked by another session")),
    ("25006", lambda w: Unauthorized(f"{w}: only reading is allowed; it must be one SELECT without side effects")),
    ("42501", lambda w: Unauthorized(f"{w}: the role may not read it; GRANT SELECT to it")),
    ("28", lambda w: Unauthorized(f"{_SECRET}: the server refuses user or password of the connection string")),
    ("42P01", lambda w: SchemaMismatch(f"{w}: names a table that does not exist")),
    ("42601", lambda w: SchemaMismatch(f"{w}: it must be one SELECT statement, without a semicolon")),
    ("42703", lambda w: SchemaMismatch(f"{w}: names a column that does not exist")),
    ("57P", lambda w: Unreachable(f"{FIELD}: the server is shutting down or starting; it is tried again")),
    ("53", lambda w: Unreachable(f"{FIELD}: the server lacks connections, memory or disk; it is tried again")),
)

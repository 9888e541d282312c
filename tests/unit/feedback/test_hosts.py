"""Credentials go where the Secret allows, and never to link-local or metadata addresses."""

import pytest

from retrainer.feedback.errors import Unauthorized, Unreachable
from retrainer.feedback.hosts import checked_addresses, open_addresses

PUBLIC = ["203.0.113.7"]


def to(*addresses):
    return lambda host, port: list(addresses)


@pytest.mark.parametrize("host", ["db.chat.svc", "DB.chat.svc", "db.chat.svc.", "203.0.113.7"])
def test_a_named_host_is_allowed_whatever_its_spelling(host):
    assert checked_addresses(host, 5432, ("db.chat.svc", "203.0.113.7"), to(*PUBLIC)) == PUBLIC


@pytest.mark.parametrize("host", ["evil.example", "chat.svc", "xdb.chat.svc", "db.chat.svc.evil.example", ""])
def test_any_other_host_is_refused_without_naming_it(host):
    with pytest.raises(Unauthorized) as caught:
        checked_addresses(host, 5432, ("db.chat.svc",), to(*PUBLIC))
    assert "evil" not in caught.value.message


@pytest.mark.parametrize("host", ["/var/run/postgresql", "@abstract", "/"])
def test_unix_sockets_are_refused_even_if_they_are_named(host):
    with pytest.raises(Unauthorized, match="Unix sockets"):
        checked_addresses(host, 5432, (host,), to(*PUBLIC))


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
def test_link_local_and_metadata_addresses_are_refused_however_they_are_written(address):
    with pytest.raises(Unauthorized):
        checked_addresses("db", 5432, ("db", address), to(address))
    with pytest.raises(Unauthorized):
        checked_addresses("db", 5432, ("db",), to("203.0.113.7", address))


@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata", "METADATA.google.internal."])
def test_metadata_names_are_refused_even_if_they_are_named(name):
    with pytest.raises(Unauthorized, match="metadata"):
        checked_addresses(name, 80, (name.lower().rstrip("."),), to(*PUBLIC))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_meant_only_if_it_is_named(address):
    with pytest.raises(Unauthorized, match="this machine"):
        checked_addresses("db.chat.svc", 5432, ("db.chat.svc",), to(address))
    assert checked_addresses("localhost", 5432, ("localhost",), to(address)) == [address]
    assert checked_addresses("db.chat.svc", 5432, ("db.chat.svc", "127.0.0.1"), to(address)) == [address]


def test_private_addresses_of_a_cluster_are_allowed():
    assert checked_addresses("db", 5432, ("db",), to("10.0.0.5", "fd12::5")) == ["10.0.0.5", "fd12::5"]


def _fails(host, port):
    raise OSError("no such host: secret-host")


@pytest.mark.parametrize("resolver", [_fails, to()])
def test_a_name_without_address_is_unreachable(resolver):
    with pytest.raises(Unreachable) as caught:
        checked_addresses("db", 5432, ("db",), resolver)
    assert "secret-host" not in caught.value.message


def test_the_systems_resolver_knows_the_decimal_form_of_an_address():
    """2852039166 is 169.254.169.254: the resolved address counts, not the text."""
    with pytest.raises((Unauthorized, Unreachable)):
        checked_addresses("2852039166", 80, ("2852039166",))


def test_without_a_secret_any_host_may_be_asked_but_not_this_machine_nor_metadata():
    assert open_addresses("prometheus.monitoring", 9090, False, to("10.0.0.5")) == ["10.0.0.5"]
    assert open_addresses("localhost", 9090, True, to("127.0.0.1")) == ["127.0.0.1"]
    for host, address in (("localhost", "127.0.0.1"), ("p", "169.254.169.254"), ("metadata", "10.0.0.5")):
        with pytest.raises(Unauthorized):
            open_addresses(host, 9090, False, to(address))

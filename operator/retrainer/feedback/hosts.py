"""Where credentials may be sent: hosts that the Secret names, and never a link-local or metadata address.

The resolved addresses are checked as well and handed to the driver, so that a name cannot change its address
between check and use.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrainer.api.v1alpha1.kind import ALLOWED_HOSTS_ANNOTATION
from retrainer.feedback.errors import Unauthorized, Unreachable

Resolver = Callable[[str, int], Sequence[str]]
"""Name and port to addresses; raises OSError."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
_METADATA_ADDRESSES = frozenset(
    ipaddress.ip_address(a)
    # AWS (IPv6), Alibaba, Azure's wire server, Oracle; the usual 169.254.169.254 is link-local.
    for a in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)


def resolve(host: str, port: int) -> list[str]:
    """The host's addresses by the system's resolver; raises OSError."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


@dataclass(frozen=True)
class Place:
    """Where an address comes from, for messages; `allowed` are the hosts a Secret may be sent to."""

    what: str
    """What names the host: the connection string."""
    host: str
    """What the host is: the database host of the connection string."""


DATABASE = Place("the connection string", "the database host of the connection string")
SERVER = Place("url", "the host of url")


def checked_addresses(
    host: str, port: int, allowed: Sequence[str], resolver: Resolver = resolve, place: Place = DATABASE
) -> list[str]:
    """Addresses of a host to which a Secret may be sent.

    Raises Unauthorized where the host is not among `allowed` or any address is refused; Unreachable where the
    name has no address. Messages name the annotation, never the host (it comes out of a Secret).
    """
    name = _checked_name(host, place)
    if name not in allowed:
        raise Unauthorized(
            f"{place.host} is not among the hosts in the Secret's annotation {ALLOWED_HOSTS_ANNOTATION}; add it "
            "there if the Secret may be sent to it"
        )
    remedy = f"name localhost or its address in the annotation {ALLOWED_HOSTS_ANNOTATION} if that is meant"
    return _addresses(host, port, resolver, place, None if _names_loopback(allowed) else remedy)


def open_addresses(host: str, port: int, loopback: bool, resolver: Resolver = resolve) -> list[str]:
    """Addresses of a host that may be asked without any Secret; this machine itself only where `loopback` is set.

    Raises as `checked_addresses`.
    """
    _checked_name(host, SERVER)
    remedy = "set RETRAINER_ALLOW_LOOPBACK if that is meant"
    return _addresses(host, port, resolver, SERVER, None if loopback else remedy)


def _checked_name(host: str, place: Place) -> str:
    name = host.lower().rstrip(".")
    if not name or name.startswith(("/", "@")):
        raise Unauthorized(f"{place.what} must name a host (Unix sockets are not allowed)")
    if name in _METADATA_NAMES:
        raise Unauthorized(f"{place.what} names a metadata service; that is never allowed")
    return name


def _addresses(host: str, port: int, resolver: Resolver, place: Place, loopback_remedy: str | None) -> list[str]:
    try:
        addresses = list(resolver(host, port))
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise Unreachable(f"{place.host} has no address; check its name")
    for text in addresses:
        _check_address(text, loopback_remedy)
    return addresses


def _check_address(text: str, loopback_remedy: str | None) -> None:
    address = _plain(ipaddress.ip_address(text.split("%", 1)[0]))
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA_ADDRESSES:
        raise Unauthorized("the host resolves to a link-local or metadata address; that is never allowed")
    if address.is_loopback and loopback_remedy is not None:
        raise Unauthorized(f"the host resolves to this machine itself; {loopback_remedy}")


def _plain(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address wraps (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _names_loopback(allowed: Sequence[str]) -> bool:
    return any(name == "localhost" or _is_loopback(name) for name in allowed)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False

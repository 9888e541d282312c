"""Hands out the addresses of the pod range, one per pod."""

import ipaddress
from collections.abc import Iterable


class AddressPool:
    """All host addresses of a network but the first, which is the node's own."""

    def __init__(self, network: ipaddress.IPv4Network) -> None:
        self._all = [str(address) for address in network.hosts()][1:]
        self._used: set[str] = set()
        self._next = 0

    def __contains__(self, address: str) -> bool:
        return address in self._all

    @property
    def size(self) -> int:
        return len(self._all)

    def reserve(self, addresses: Iterable[str]) -> None:
        """Addresses that pods of an earlier agent hold."""
        self._used.update(addresses)

    def take(self) -> str | None:
        """A free address, the one that has been free for longest; None when all are taken."""
        for _ in self._all:
            address = self._all[self._next]
            self._next = (self._next + 1) % len(self._all)
            if address not in self._used:
                self._used.add(address)
                return address
        return None

    def give_back(self, address: str) -> None:
        self._used.discard(address)

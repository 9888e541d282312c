"""Pod addresses: claims one /24 out of 10.244.0.0/16 for this cluster and makes it local.

EndpointSlices refuse loopback addresses, so every pod gets an address of its own out of a range
that the loopback interface owns. The claim is a name in the abstract socket namespace: the kernel
scopes it to the network namespace, just like the addresses, and frees it when the process ends.
"""

import ipaddress
import json
import os
import random
import socket
import subprocess
from collections.abc import Iterable

from devcluster.errors import DevclusterError

RANGES = 256
# Below the range from which the kernel takes ports for outgoing connections.
PORTS = range(20000, 32000)


def claim_pod_range(preferred: int | None = None) -> tuple[int, socket.socket]:
    """Claim a free `10.244.N.0/24`; keep the returned socket open for as long as it is used."""
    occupied = list(_networks_of_this_machine())
    candidates = list(range(RANGES))
    if preferred is not None:
        candidates.insert(0, preferred)
    for number in candidates:
        if _overlaps(number, occupied):
            continue
        claim = _claim(number)
        if claim is not None:
            return number, claim
    raise DevclusterError("no free pod range in 10.244.0.0/16: stop other clusters (`python -m devcluster down`)")


def network(number: int) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"10.244.{number}.0/24")


def add_address(number: int) -> None:
    """Make the whole range local. Needs root, also inside a user namespace."""
    _ip(["link", "set", "lo", "up"])
    _ip(["addr", "replace", f"10.244.{number}.1/24", "dev", "lo"])


def remove_address(number: int) -> None:
    subprocess.run(
        ["ip", "addr", "del", f"10.244.{number}.1/24", "dev", "lo"], capture_output=True, check=False
    )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, none twice."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise DevclusterError(f"fewer than {count} free ports between {PORTS.start} and {PORTS.stop}")


def are_free(ports: Iterable[int]) -> bool:
    return all(_is_free(port) for port in ports)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(number: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0retrainer-devcluster-pod-range-{number}")
    except OSError:
        claim.close()
        return None
    return claim


def _overlaps(number: int, occupied: Iterable[ipaddress.IPv4Network]) -> bool:
    return any(network(number).overlaps(other) for other in occupied)


def _networks_of_this_machine() -> Iterable[ipaddress.IPv4Network]:
    """Networks of real interfaces and routes, such as those of another Kubernetes on this machine."""
    command = ["ip", "-j", "route", "show", "table", "all"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0 or not completed.stdout.strip():
        return
    for route in json.loads(completed.stdout):
        destination = route.get("dst", "default")
        if route.get("dev") == "lo" or destination in {"default", "0.0.0.0/0"} or ":" in destination:
            continue
        yield ipaddress.IPv4Network(destination, strict=False)


def _ip(arguments: list[str]) -> None:
    try:
        completed = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DevclusterError("`ip` is missing: install iproute2") from None
    if completed.returncode != 0:
        raise DevclusterError(
            f"`ip {' '.join(arguments)}` was refused ({completed.stderr.strip()}, uid {os.getuid()}): "
            "run as root (`sudo`), or set KUBECONFIG to a cluster of your own"
        )

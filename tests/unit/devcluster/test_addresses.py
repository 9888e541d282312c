"""Pod addresses: one per pod, and never the same range for two clusters."""

import ipaddress

import pytest

from devcluster import network
from devcluster.agent.addresses import AddressPool


@pytest.fixture
def pool() -> AddressPool:
    return AddressPool(ipaddress.IPv4Network("10.244.7.0/29"))


def test_the_first_address_belongs_to_the_node(pool: AddressPool) -> None:
    taken = [pool.take() for _ in range(pool.size)]

    assert taken == [f"10.244.7.{n}" for n in range(2, 7)]
    assert pool.take() is None
    assert "10.244.7.1" not in pool


def test_a_returned_address_is_used_last(pool: AddressPool) -> None:
    first = pool.take()
    assert first
    pool.give_back(first)

    assert pool.take() != first


def test_reserved_addresses_are_not_handed_out(pool: AddressPool) -> None:
    pool.reserve(["10.244.7.2", "10.244.7.3"])

    assert pool.take() == "10.244.7.4"


def test_two_clusters_get_different_ranges() -> None:
    one, claim_one = network.claim_pod_range()
    two, claim_two = network.claim_pod_range()
    with claim_one, claim_two:
        assert not network.network(one).overlaps(network.network(two))


def test_a_range_is_free_again_when_its_owner_ends() -> None:
    one, claim = network.claim_pod_range()
    claim.close()

    again, claim = network.claim_pod_range(preferred=one)
    claim.close()

    assert again == one


def test_ports_are_free_and_different() -> None:
    ports = network.free_ports(10)

    assert len(set(ports)) == 10
    assert network.are_free(ports)

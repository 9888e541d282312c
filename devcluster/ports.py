"""Chooses the ports of a cluster, the same as last time where possible."""

import dataclasses
import json

from devcluster import network
from devcluster.layout import Facts, Layout


def choose_facts(layout: Layout, pod_range: int) -> Facts:
    """Addresses of the last run if they are still free, so that kubeconfigs stay valid; else new ones."""
    last = last_facts(layout)
    if last is not None and last.pod_range == pod_range and network.are_free(last.ports):
        return last
    names = [field.name for field in dataclasses.fields(Facts) if field.name.endswith("_port")]
    ports = dict(zip(names, network.free_ports(len(names)), strict=True))
    return Facts(**ports, pod_range=pod_range)


def last_facts(layout: Layout) -> Facts | None:
    try:
        return Facts.read(layout.facts)
    except (FileNotFoundError, TypeError, json.JSONDecodeError):
        return None

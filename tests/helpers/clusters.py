"""A Ray cluster as Ray describes it."""

from __future__ import annotations

from types import SimpleNamespace


def cluster(*nodes: dict[str, float]) -> SimpleNamespace:
    """What Ray says of a cluster of these nodes, and of one that has died."""
    total: dict[str, float] = {}
    for node in nodes:
        for kind, amount in node.items():
            total[kind] = total.get(kind, 0) + amount
    described = [{"Alive": True, "Resources": node} for node in nodes] + [{"Alive": False, "Resources": {}}]
    return SimpleNamespace(cluster_resources=lambda: total, nodes=lambda: described)

"""What each worker of a training on a Ray cluster gets."""

from __future__ import annotations

import pytest

from clusters import cluster
from ganscribe.execution.engines.training import share_cpus


@pytest.mark.parametrize(
    ("nodes", "workers", "expected"),
    [
        ([{"CPU": 16.0}], 1, 16),
        ([{"CPU": 16.0}], 3, 5),
        # An equal part of all CPUs may be more than a node has, or more than is left on it.
        ([{"CPU": 64.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}], 2, 8),
        ([{"CPU": 6.0}, {"CPU": 2.0}], 2, 3),
        ([{"CPU": 4.0}, {"CPU": 64.0, "GPU": 8.0}], 8, 8),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 6.0, "GPU": 2.0}], 10, 3),
        # Fewer CPUs than GPUs, or none that Ray knows of.
        ([{"CPU": 2.0, "GPU": 4.0}], 4, 0),
        ([{"GPU": 1.0}], 1, 0),
        # A node with GPUs whose CPUs alone work.
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], 4, 4),
    ],
)
def test_workers_get_no_more_cpus_than_their_nodes_have(
    nodes: list[dict[str, float]], workers: int, expected: int
) -> None:
    assert share_cpus(cluster(*nodes), workers, on_gpus="GPU" in nodes[-1]) == expected


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([{"CPU": 2.0}], "no CPU for each of 3 workers, only for 2: lower GANSCRIBE_WORKERS"),
        ([{"CPU": 64.0, "GPU": 1.0}], "no GPU for each of 3 workers, only for 1: lower GANSCRIBE_WORKERS"),
    ],
)
def test_workers_that_ray_would_wait_for_are_refused(nodes: list[dict[str, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        share_cpus(cluster(*nodes), 3, on_gpus="GPU" in nodes[-1])

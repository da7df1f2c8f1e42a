"""What each actor of an extraction on a Ray cluster gets."""

from __future__ import annotations

import pytest

from clusters import cluster
from ganscribe.execution.engines.extraction import Actors, share_cluster


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        # One actor per GPU, and the CPUs of its node but one decode.
        ([{"CPU": 16.0, "GPU": 1.0}], Actors(1, {"num_gpus": 1, "num_cpus": 0}, 15)),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0}], Actors(8, {"num_gpus": 1, "num_cpus": 0}, 7)),
        (
            [{"CPU": 64.0, "GPU": 8.0}, {"CPU": 6.0, "GPU": 2.0}],
            Actors(10, {"num_gpus": 1, "num_cpus": 0}, 2),
        ),
        # Fewer CPUs than GPUs, or none that Ray knows of: nothing is reserved that does not exist.
        ([{"CPU": 2.0, "GPU": 4.0}], Actors(4, {"num_gpus": 1, "num_cpus": 0}, 1)),
        ([{"GPU": 1.0}], Actors(1, {"num_gpus": 1, "num_cpus": 0}, 1)),
        # Without GPUs an actor has the CPUs of its threads, but no more than one node has.
        ([{"CPU": 16.0}], Actors(4, {"num_cpus": 4}, 3)),
        ([{"CPU": 16.0}, {"CPU": 2.0}], Actors(4, {"num_cpus": 2}, 1)),
        ([{"CPU": 1.0}], Actors(1, {"num_cpus": 1}, 1)),
    ],
)
def test_an_actor_has_its_share_of_a_node(
    nodes: list[dict[str, float]], expected: Actors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANSCRIBE_WORKERS", raising=False)
    assert share_cluster(cluster(*nodes), num_shards=100, threads=4, on_gpus="GPU" in nodes[0]) == expected


def test_there_are_no_more_actors_than_shards_or_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANSCRIBE_WORKERS", raising=False)
    many = cluster({"CPU": 64.0, "GPU": 8.0})
    assert share_cluster(many, num_shards=3, threads=4, on_gpus=True).number == 3
    monkeypatch.setenv("GANSCRIBE_WORKERS", "2")
    assert share_cluster(many, num_shards=3, threads=4, on_gpus=True).number == 2

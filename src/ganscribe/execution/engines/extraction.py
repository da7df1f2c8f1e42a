"""The extraction of features by actors of a Ray cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ganscribe.execution.checkpoint import Interrupted
from ganscribe.execution.engines.cluster import connected, engine, num_workers
from ganscribe.execution.progress import progress
from ganscribe.features.extraction import (
    Extraction,
    RejectedImage,
    check_rejected,
    extract_features,
    rejected_in,
)
from ganscribe.features.inception import Inception, read_inception, write_inception

BLOCKS = 1000  # tasks of an extraction at most, however many shards it has: what the driver keeps track of
NETWORK_FILE = "network.pt"


def extract(
    extraction: Extraction,
    *,
    inception: Inception,
    device: torch.device,
    max_bad_images: float,
    out: Path,
    is_stopping: Callable[[], bool],
) -> list[RejectedImage]:
    """`extract_features` by the engine chosen; on Ray an actor a GPU, or as many CPUs as torch has
    threads here."""
    if engine() == "ray" and (missing := extraction.missing()):
        with connected() as ray:
            _extract_on(ray, extraction, missing, inception, max_bad_images, is_stopping)
    return extract_features(
        extraction,
        inception=inception,
        device=device,
        max_bad_images=max_bad_images,
        out=out,
        is_stopping=is_stopping,
    )


def _extract_on(
    ray: Any,
    extraction: Extraction,
    missing: list[int],
    inception: Inception,
    max_bad_images: float,
    is_stopping: Callable[[], bool],
) -> None:
    # An actor's own folder is not this process's.
    extraction = replace(
        extraction, folder=extraction.folder.absolute(), working=extraction.working.absolute()
    )
    write_inception(extraction.working / NETWORK_FILE, inception)
    threads = torch.get_num_threads()
    actors, share = _actors(ray, len(missing), threads)
    numbers = [{"shard": number} for number in missing]
    made = ray.data.from_items(numbers, override_num_blocks=min(len(missing), BLOCKS)).map_batches(
        _Extractor,
        fn_constructor_args=(ray.put(extraction), threads),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        **share,
    )
    rejected: list[RejectedImage] = []
    ray.data.DataContext.get_current().enable_progress_bars = False
    with progress(len(missing), "features (ray)", "shard") as bar:
        for row in made.iter_rows():
            rejected += [RejectedImage(**image) for image in json.loads(row["rejected"])]
            check_rejected(rejected, num_images=len(extraction.files), max_bad_images=max_bad_images)
            bar.update()
            if is_stopping():
                raise Interrupted("feature extraction was stopped; the finished shards are kept")


def _actors(ray: Any, num_shards: int, threads: int) -> tuple[int, dict[str, int]]:
    """How many actors, and what each takes of a node: a GPU, or the CPUs of `threads`."""
    resources = ray.cluster_resources()
    if "GPU" in resources:
        return min(num_workers(int(resources["GPU"])), num_shards), {"num_gpus": 1}
    cpus = int(resources["CPU"])
    smallest = min(int(node["Resources"].get("CPU", cpus)) for node in ray.nodes() if node["Alive"])
    actors = min(num_workers(max(1, cpus // threads)), num_shards)
    return actors, {"num_cpus": max(1, min(threads, smallest, cpus // actors))}


class _Extractor:
    """An actor that makes shards, one after another, with the threads of a local extraction: in fp32 another
    number rounds otherwise."""

    def __init__(self, extraction: Any, threads: int) -> None:
        import ray

        self.extraction: Extraction = ray.get(extraction)
        self.device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        if self.device.type == "cpu":
            torch.set_num_threads(threads)
        self.inception = read_inception(self.extraction.working / NETWORK_FILE, device=self.device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Shard numbers -> their rejected images. One that is there is left: its task is repeated."""
        rejected = []
        for number in batch["shard"].tolist():
            path = self.extraction.path(number)
            if not path.exists():
                for _ in self.extraction.make(
                    [number], inception=self.inception, device=self.device, num_workers=1
                ):
                    pass
            rejected.append(json.dumps([asdict(image) for image in rejected_in(path)]))
        return {"shard": batch["shard"].tolist(), "rejected": rejected}

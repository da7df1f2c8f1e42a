"""The extraction of features by actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from ganscribe.execution.checkpoint import Interrupted
from ganscribe.execution.engines.cluster import connected, engine, num_workers, takes_gpus
from ganscribe.execution.progress import progress

Result = TypeVar("Result")

BLOCKS = 1000  # the most tasks of an extraction, however many shards it has: the driver keeps track of each


class Extraction(Protocol):
    """What the engine needs of an extraction; `features.extraction.Extraction` says more."""

    def missing(self) -> list[int]:
        """Return the shards that are still to be made."""

    def for_workers(self, inception: Any) -> Extraction:
        """Return the same extraction for processes in other folders, for which `inception` is saved."""

    def open_saved(self, device: torch.device) -> Any:
        """Return the pipeline of the network that was saved."""

    def make_alone(self, number: int, *, pipeline: Any, num_workers: int) -> str:
        """Make a shard unless it exists; return its rejected images as text."""

    def parse_rejected(self, text: str) -> list[Any]:
        """Return the rejected images of that text."""

    def check_rejected(self, rejected: list[Any], *, max_bad_images: float) -> None:
        """Raise ValueError if there are too many."""


def extract(
    function: Callable[..., Result],
    extraction: Extraction,
    *,
    inception: Any,
    device: torch.device,
    max_bad_images: float,
    is_stopping: Callable[[], bool],
    **settings: Any,
) -> Result:
    """Run the extraction on the chosen engine, and return `function(extraction, ...)`.

    On Ray an actor takes a GPU and its share of the node's CPUs, if `device` is a GPU, or as many CPUs as torch has
    threads here. Raises ValueError for a cluster of another kind.
    """
    if engine() == "ray" and (missing := extraction.missing()):
        with connected() as ray:
            _extract_on(ray, extraction, missing, inception, device, max_bad_images, is_stopping)
    return function(
        extraction,
        inception=inception,
        device=device,
        max_bad_images=max_bad_images,
        is_stopping=is_stopping,
        **settings,
    )


def _extract_on(
    ray: Any,
    extraction: Extraction,
    missing: list[int],
    inception: Any,
    device: torch.device,
    max_bad_images: float,
    is_stopping: Callable[[], bool],
) -> None:
    threads = torch.get_num_threads()
    on_gpus = takes_gpus(ray, device)
    actors = share_cluster(ray, num_shards=len(missing), threads=threads, on_gpus=on_gpus)
    numbers = [{"shard": number} for number in missing]
    made = ray.data.from_items(numbers, override_num_blocks=min(len(missing), BLOCKS)).map_batches(
        _Extractor,
        fn_constructor_args=(ray.put(extraction.for_workers(inception)), threads, actors.decoders),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors.number),
        **actors.reserved,
    )
    rejected: list[Any] = []
    ray.data.DataContext.get_current().enable_progress_bars = False
    with progress(len(missing), "features (ray)", "shard") as bar:
        for row in made.iter_rows():
            rejected += extraction.parse_rejected(row["rejected"])
            extraction.check_rejected(rejected, max_bad_images=max_bad_images)
            bar.update()
            if is_stopping():
                raise Interrupted("feature extraction was stopped; the finished shards are kept")


class Actors(NamedTuple):
    """How many there are, what Ray reserves for each, and how many threads decode in each."""

    number: int
    reserved: dict[str, int]
    decoders: int


def share_cluster(ray: Any, *, num_shards: int, threads: int, on_gpus: bool) -> Actors:
    """Give each actor a GPU, or as many CPUs as `threads` and the smallest node allow.

    All but one of an actor's CPUs decode. The CPUs of a node with GPUs are divided among these, but not reserved (Ray
    reserves one unless it is told 0): where there are fewer CPUs than GPUs, it would wait for ever.
    """
    resources = ray.cluster_resources()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if on_gpus:
        number = min(num_workers(int(resources["GPU"])), num_shards)
        cpus = min(int(node.get("CPU", 1) // node["GPU"]) for node in nodes if node.get("GPU"))
        return Actors(number, {"num_gpus": 1, "num_cpus": 0}, max(1, cpus - 1))
    total = int(resources["CPU"])
    smallest = min(int(node.get("CPU", total)) for node in nodes)
    number = min(num_workers(max(1, total // threads)), num_shards)
    cpus = max(1, min(threads, smallest, total // number))
    return Actors(number, {"num_cpus": cpus}, max(1, cpus - 1))


class _Extractor:
    """An actor that makes shards, one after another.

    It has as many threads as a local extraction, because in fp32 another number of threads rounds differently.
    Beside these, `decoders` threads decode.
    """

    def __init__(self, extraction: Any, threads: int, decoders: int) -> None:
        import ray

        self.extraction: Extraction = ray.get(extraction)
        device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")
        if device.type == "cpu":
            torch.set_num_threads(threads)
        self.pipeline, self.decoders = self.extraction.open_saved(device), decoders

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Make shards by number; return their rejected images. Ray may repeat a task: a shard that exists stays."""
        numbers = batch["shard"].tolist()
        rejected = [
            self.extraction.make_alone(number, pipeline=self.pipeline, num_workers=self.decoders)
            for number in numbers
        ]
        return {"shard": numbers, "rejected": rejected}

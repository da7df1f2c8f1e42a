"""A simulated extraction on Ray: does the driver's memory or time grow with the number of shards?

`python benchmarks/cluster.py` sends 100,000 entries through the engine's own code, once in few shards and once in ten
times as many. A pause takes the place of the network: each actor, which is a process, handles IMAGES_A_SECOND. Each of
the two runs has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch

from ganscribe.datasets.image_files import ImageFile
from ganscribe.execution.engines.extraction import _extract_on
from ganscribe.features.extraction import Extraction, plan_extraction
from ganscribe.features.inception import FEATURE_SHAPE, load_inception, prepare
from ganscribe.features.loading import RejectedImage

ENTRIES, ACTORS, IMAGES_A_SECOND = 100_000, 4, 1000.0
IMAGES_A_SHARD = (512, 51)


@dataclass(frozen=True, kw_only=True)
class Simulated(Extraction):
    """Shards without rows, each made in the time that its images would take."""

    def make(self, numbers: Any, **others: Any) -> Generator[tuple[int, list[RejectedImage]], None, None]:
        for number in numbers:
            count = len(self.images(number))
            time.sleep(count / IMAGES_A_SECOND)
            nothing = torch.empty(0, *FEATURE_SHAPE, dtype=torch.float16)
            self.writer().write(
                number, image_ids=[], file_names=[], features=nothing, notes={"rejected": "[]"}
            )
            yield count, []


def measure(images_a_shard: int) -> dict[str, float]:
    """Seconds of the job beyond the pauses, and the driver's largest resident memory, in MB."""
    noise = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8)
    inception = prepare(
        load_inception(None, calibration_images=noise), precision="fp32", device=torch.device("cpu")
    )
    with tempfile.TemporaryDirectory() as folder:
        planned = plan_extraction(
            [ImageFile(number, f"{number:012}.jpg", 1, "0" * 64) for number in range(ENTRIES)],
            folder=Path(folder),
            inception=inception,
            precision="fp32",
            crop="center",
            batch_size=32,
            images_per_shard=images_a_shard,
            working=Path(folder),
        )
        simulated = Simulated(**vars(planned))
        source = str(Path(__file__).resolve().parents[1] / "src")
        torch.set_num_threads(1)  # an actor takes as many CPUs
        ray.init(
            num_cpus=ACTORS, num_gpus=0, include_dashboard=False, log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": source}},
        )  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        _extract_on(ray, simulated, simulated.missing(), inception, torch.device("cpu"), 0.0, lambda: False)
        seconds = time.perf_counter() - start
        assert not simulated.missing()
        ray.shutdown()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pauses = ENTRIES / IMAGES_A_SECOND / ACTORS
    return {
        "shards": simulated.num_shards(),
        "seconds": seconds,
        "pauses": pauses,
        "driver_mb": after / 1024,
        "grown_mb": (after - before) / 1024,
    }


def main() -> None:
    """Both runs, as a table."""
    print("| shards | seconds | of which pauses | driver's memory, MB | growth, MB |\n|---|---|---|---|---|")
    for images_a_shard in IMAGES_A_SHARD:
        done = subprocess.run(
            [sys.executable, __file__, "--images-per-shard", str(images_a_shard)],
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(done.stdout.splitlines()[-1])
        print("| " + " | ".join(f"{value:,.0f}" for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images-per-shard",
        type=int,
        help="make only the run with shards of this many images, and print JSON",
    )
    chosen = parser.parse_args().images_per_shard
    if chosen:
        print(json.dumps(measure(chosen)))
    else:
        main()

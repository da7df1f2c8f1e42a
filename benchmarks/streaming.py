"""Captioner training from 20,000 images' features, 5.2 GB of shards, beside 512 images': speed and memory.

The shards go into a temporary folder (TMPDIR chooses the disk) and are removed at the end. Each training is
a process of its own, one epoch over 20,000 captions. (Memory rises over the first hundreds of steps whatever
the number of images: oneDNN keeps its kernels for the shapes of up to 1,024 products.)
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ganscribe.captioning.dataset import CaptionerData, CaptionSet
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.training import train_captioner
from ganscribe.core.devices import choose_device
from ganscribe.features.inception import FEATURE_SHAPE
from ganscribe.features.shards import open_shards
from ganscribe.training.budget import Budget
from samples import LONGEST, VOCABULARY, draw_captions, write_shards

FEW, MANY, CAPTIONS = 512, 20_000, 20_000
WARM_UP_STEPS = 4
SPARE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A row of the table: what is measured with few images, and with many."""

    work: str
    unit: str
    few: float
    many: float


def resident_megabytes(kind: str) -> float:
    """Return this process's own memory (`Anon`), or its mapped pages (`File`), which the kernel may take back."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"Rss{kind}:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def train(folder: Path) -> dict[str, float]:
    """Train for an epoch on the shards in `folder`; return captions per second, and the most memory seen."""
    shards = open_shards(folder)
    captions = draw_captions(CAPTIONS, shards.image_ids)
    seen: dict[str, float] = {"own": 0.0, "mapped": 0.0}
    clock: dict[int, float] = {}

    def watch(step: int, row: dict[str, float]) -> None:
        clock[step] = time.perf_counter()
        seen["own"] = max(seen["own"], resident_megabytes("Anon"))
        seen["mapped"] = max(seen["mapped"], resident_megabytes("File"))

    data = CaptionerData(
        train=captions,
        val=CaptionSet([], captions.tokens[:0]),
        features=shards.gather_images,
        vocabulary_size=VOCABULARY,
        feature_dim=FEATURE_SHAPE[-1],
        longest=LONGEST,
    )
    recipe = CaptionerRecipe(epochs=1)
    budget = Budget(seed=0, log_every=WARM_UP_STEPS)
    train_captioner(data, recipe, budget=budget, device=choose_device(), log=watch)
    first, last = min(clock), max(clock)
    return seen | {"speed": recipe.batch_size * (last - first) / (clock[last] - clock[first])}


def measure(num_images: int) -> dict[str, float]:
    """Run `train` in a process of its own, on shards that are removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), num_images)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, __file__, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def measure_growth() -> list[Growth]:
    """Return captions per second and resident memory; nothing where the disk has no room for the shards."""
    needed = 2 * (FEW + MANY) * FEATURE_SHAPE[0] * FEATURE_SHAPE[1] + SPARE_BYTES
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        what = f"captioner training from 5 GB: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} are needed"
        print(what, file=sys.stderr)
        return []
    few, many = measure(FEW), measure(MANY)
    return [
        Growth(work=work, unit=unit, few=few[key], many=many[key])
        for key, work, unit in (
            ("speed", "captioner training", "captions/s"),
            ("own", "its own memory", "MB"),
            ("mapped", "its mapped pages, which the kernel may take back", "MB"),
        )
    ]


if __name__ == "__main__":
    print(json.dumps(train(Path(sys.argv[1]))))

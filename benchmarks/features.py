"""Inception-v3 features, from JPEG files on: TensorFlow's tutorial beside `extract_features`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models import inception_v3

from ganscribe.core.files import file_sha256
from ganscribe.core.seeds import seed_everything
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.extraction import extract_features, plan_extraction
from ganscribe.features.inception import Inception, load_inception, prepare
from ganscribe.features.loading import calibration_images
from ganscribe.sources.drawn.scenes import draw_scene
from timing import Row, Setting, Spans, Work, alike
from tutorial import start_as_tutorial

NUM_FILES, BATCH_SIZE, IMAGES_A_SHARD = 64, 32, 512
CPU_SPANS = alike(32, 64)  # images
CARD_SPANS = Spans(tutorial=(32, 288), ours=(512, 4608))


def write_jpegs(folder: Path, *, count: int) -> list[ImageFile]:
    """Draw some scenes of the sample scale, and return `count` images, which share these files."""
    kinds = []
    for number in range(NUM_FILES):
        path = folder / f"{number}.jpg"
        draw_scene(number, seed=0)[0].save(path, quality=90)
        kinds.append((path.name, path.stat().st_size, file_sha256(path)))
    return [ImageFile(number, *kinds[number % NUM_FILES]) for number in range(count)]


def build_tutorial(device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return torchvision's whole network, which keeps its batch norms, with a hook that catches the maps."""
    network = inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=False)
    caught: list[Tensor] = []
    network.Mixed_7c.register_forward_hook(lambda layer, inputs, output: caught.append(output))
    network.eval().to(device)

    def compute(images: Tensor) -> Tensor:
        with torch.no_grad():
            network(images.to(device))
        return caught.pop().flatten(2).transpose(1, 2).contiguous().cpu()

    return compute


def extract_as_tutorial(
    count: int, *, files: Sequence[ImageFile], folder: Path, compute: Callable[[Tensor], Tensor]
) -> int:
    """Decode and resize with Pillow, compute in float32, and write one .npy file per image, one after the other."""
    start_as_tutorial()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    with tempfile.TemporaryDirectory() as out:
        for first in range(0, count, BATCH_SIZE):
            batch = []
            for file in files[first : min(first + BATCH_SIZE, count)]:
                image = Image.open(folder / file.file_name).convert("RGB")
                image = image.resize((299, 299), Image.Resampling.BILINEAR)
                batch.append(((np.asarray(image) / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1))
            for number, maps in enumerate(compute(torch.from_numpy(np.stack(batch))), first):
                np.save(Path(out) / f"{number}.npy", maps.numpy())
    return count


def extract_as_here(
    count: int,
    precision: str,
    *,
    files: Sequence[ImageFile],
    folder: Path,
    networks: Mapping[str, Inception],
    device: torch.device,
) -> int:
    """Extract to Parquet shards, as the stage extract_features does with the settings of params.yaml."""
    seed_everything(0)
    inception = networks[precision]
    with tempfile.TemporaryDirectory() as temporary:
        working = Path(temporary) / "working"
        working.mkdir()
        extraction = plan_extraction(
            files[:count],
            folder=folder,
            inception=inception,
            precision=precision,
            crop="none",
            batch_size=BATCH_SIZE,
            images_per_shard=IMAGES_A_SHARD,
            working=working,
        )
        out = Path(temporary) / "features"
        extract_features(extraction, inception=inception, device=device, max_bad_images=0.0, out=out)
    return count


def measure(setting: Setting) -> Row:
    """The row: milliseconds per image."""
    device = setting.device
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = write_jpegs(folder, count=max(CPU_SPANS.ours + CARD_SPANS.ours))
        calibration = calibration_images(files, folder, crop="none", count=4)
        networks = {
            precision: prepare(
                load_inception(None, calibration_images=calibration), precision=precision, device=device
            )
            for precision in setting.precisions
        }
        given: dict[str, Any] = {"files": files, "folder": folder}
        work = Work(
            name="Inception-v3 features, JPEG files to shards",
            tutorial=partial(extract_as_tutorial, **given, compute=build_tutorial(device)),
            ours=partial(extract_as_here, **given, networks=networks, device=device),
            cpu=CPU_SPANS,
            card=CARD_SPANS,
            unit="ms per image",
        )
        return setting.measure(work)


ROWS: dict[str, Callable[[Setting], Row]] = {"features": measure}

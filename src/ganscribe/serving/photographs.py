"""Captions of photographs, for the command line, the demo and served models: words, and where each looked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from ganscribe.captioning.inference import DecodingOptions, SavedCaptioner, decode, load_captioner
from ganscribe.core.weights import EARLIER_SUFFIX, SUFFIX, find_weights
from ganscribe.features.inception import Inception, compute_features, read_inception
from ganscribe.features.pictures import crop_of

MAX_LENGTH = 40
BEAM: DecodingOptions = {"width": 5, "length_penalty": 0.7}  # the defaults of a beam


@dataclass(frozen=True)
class PhotographCaptioner:
    """A captioner with the network that made its features; `crop` says how a picture is cropped for both."""

    saved: SavedCaptioner
    inception: Inception
    crop: str
    device: torch.device


@dataclass(frozen=True)
class PhotographCaption:
    """A caption: its words, the attention map of each (words, 64), and its log probability."""

    words: list[str]
    attention: np.ndarray
    log_prob: float
    is_finished: bool  # False: cut at max_length

    @property
    def text(self) -> str:
        """The words, joined by blanks."""
        return " ".join(self.words)


def _inception_of(model: Path) -> Path:
    """Return the network of a captioner's features: beside it (from MLflow), or in its project's data/features."""
    beside = find_weights(model.parent, "inception")
    if beside.is_file() or len(model.absolute().parents) < 4:
        return beside
    return find_weights(
        model.absolute().parents[3] / "data" / "features", "inception"
    )  # models/captioner/RUN/model


def open_captioner(
    model: str | Path, inception: str | Path | None = None, *, device: torch.device | str = "cpu"
) -> PhotographCaptioner:
    """Open the captioner `model` with the network in the file `inception`, which extract_features wrote.

    `model` is the model's file, or its folder: models/captioner/RUN, or a model that MLflow downloaded. Without
    `inception`, the network is looked for beside the model, then in data/features of its project. Raises
    FileNotFoundError if one of them is missing, and ValueError for other files, or if the captioner was trained on
    another network's features.
    """
    device, model = torch.device(device), Path(model)
    if not model.is_file() and model.suffix not in (SUFFIX, EARLIER_SUFFIX):  # a folder, which may be missing
        found = (find_weights(folder, "model") for folder in (model, *sorted(model.glob("data/*"))))
        model = next((path for path in found if path.is_file()), find_weights(model, "model"))
    saved = load_captioner(model, device=device)
    inception = _inception_of(model) if inception is None else inception
    if not Path(inception).is_file():
        raise FileNotFoundError(
            f"{inception}, the network that makes the captioner's features, is missing: run"
            " `dvc repro extract_features`, or `dvc pull data/features`"
        )
    network = read_inception(inception, device=device)
    if network.sha256 != saved.features["weights_sha256"]:
        raise ValueError(
            f"{model} was trained on features of {saved.features['weights']}"
            f" ({saved.features['weights_sha256'][:12]}), but {inception} is {network.label}"
            f" ({network.sha256[:12]}): use the network that belongs to the model, or train again"
        )
    return PhotographCaptioner(saved, network, crop_of(saved.features["preprocessing"]), device)


def caption_photographs(
    captioner: PhotographCaptioner,
    images: Tensor,
    *,
    method: str = "beam",
    max_length: int = MAX_LENGTH,
    **options: Unpack[DecodingOptions],
) -> list[PhotographCaption]:
    """Return one caption for each of the pictures (N, 3, 299, 299) uint8; the options are those of `inference.decode`.

    `sample` draws from a stream that depends on `seed` and on the picture's own pixels. So a picture gets the same
    caption whatever its name, and whatever other pictures come with it.
    """
    digests = [hashlib.sha256(image.contiguous().numpy()).hexdigest() for image in images.cpu()]
    features = compute_features(captioner.inception, images.to(captioner.device))  # as stored: float16
    found = decode(
        captioner.saved.model,
        features.to(captioner.device).float(),
        vocabulary=captioner.saved.vocabulary,
        image_ids=digests,
        method=method,
        max_length=max_length,
        **(BEAM | options),
    )
    words = captioner.saved.vocabulary.words
    return [
        PhotographCaption(
            [words[token] for token in one.tokens],
            one.attention.float().cpu().numpy(),
            one.log_prob,
            one.is_finished,
        )
        for one in found
    ]

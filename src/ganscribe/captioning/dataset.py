"""Tokenised captions for training and scoring, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganscribe.captioning.model import Captioner
from ganscribe.datasets.captions import read_captions

# Features of images by id: (B,) -> (B, 64, 2048), any floating type (`Shards.gather_images`).
FeatureReader = Callable[[Sequence[int]], Tensor]


@dataclass(frozen=True)
class CaptionSet:
    """The captions of one split: tokens (N, T) of `<start> ... <end>` then zeros, and the image of each."""

    image_ids: list[int]
    tokens: Tensor  # int64

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def longest(self) -> int:
        """The tokens of the longest caption, `<start>` and `<end>` counted."""
        return self.tokens.shape[1]

    def batch(self, rows: Tensor) -> tuple[list[int], Tensor]:
        """Return image ids and tokens (B, T') of `rows`, the longest caption first, trimmed to it.

        The order within a batch changes no sum over it, and no other caption comes into it.
        """
        tokens = self.tokens[rows]
        lengths = (tokens != 0).sum(1)
        order = lengths.argsort(descending=True, stable=True)
        return [self.image_ids[row] for row in rows[order].tolist()], tokens[order, : int(lengths.max())]


@dataclass(frozen=True, kw_only=True)
class CaptionerData:
    """What a captioner is trained on, and what its training is watched by.

    `longest` is the number of tokens of the longest caption of the whole data set. `val_cider(model,
    precision)` scores captions of the validation images; only early stopping asks for it.
    """

    train: CaptionSet
    val: CaptionSet
    features: FeatureReader
    vocabulary_size: int
    feature_dim: int
    longest: int
    val_cider: Callable[[Captioner, str], float] | None = None


def read_tokenised(
    path: str | Path, *, split: str, only_kept: bool, image_ids: Collection[int] | None = None
) -> CaptionSet:
    """Read the captions of `split` from tokens.parquet, only those of `image_ids` where these are given.

    `only_kept` leaves out the further references of images. Raises ValueError for a malformed table.
    """
    import pyarrow.parquet as pq

    names = ["image_id", "split", "kept", "tokens"]
    columns = pq.read_table(path, columns=names).to_pydict()
    rows = [
        (image_id, tokens)
        for image_id, part, kept, tokens in zip(*(columns[name] for name in names), strict=True)
        if part == split and (kept or not only_kept) and (image_ids is None or image_id in image_ids)
    ]
    if any(len(tokens) < 2 or 0 in tokens for _, tokens in rows):
        raise ValueError(
            f"{path}: a caption lacks <start> or <end>, or holds <pad>: run `dvc repro -f tokenize_captions`"
        )
    return CaptionSet([image_id for image_id, _ in rows], pad([tokens for _, tokens in rows]))


def read_references(path: str | Path, *, split: str, image_ids: Collection[int]) -> dict[int, list[str]]:
    """Read all captions of each image of `split` that is in `image_ids` from captions.parquet."""
    references: dict[int, list[str]] = {}
    for caption in sorted(read_captions(path)):
        if caption.split == split and caption.image_id in image_ids:
            references.setdefault(caption.image_id, []).append(caption.caption)
    return references


def longest_caption(path: str | Path) -> int:
    """Return the tokens of the longest selected caption of all splits: the tutorial pads every one to it."""
    import pyarrow.parquet as pq

    columns = pq.read_table(path, columns=["kept", "tokens"]).to_pydict()
    return max(
        (len(tokens) for kept, tokens in zip(columns["kept"], columns["tokens"], strict=True) if kept),
        default=0,
    )


def pad(captions: Sequence[Sequence[int]]) -> Tensor:
    """Return captions of different lengths as rows (N, T) int64, filled up with zeros."""
    padded = torch.zeros(len(captions), max(map(len, captions), default=0), dtype=torch.long)
    for row, tokens in zip(padded, captions, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return padded

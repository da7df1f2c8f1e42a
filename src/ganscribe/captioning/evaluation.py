"""Captions of a split: decoded, laid out as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import torch

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.inference import DecodingOptions, SavedCaptioner, decode
from ganscribe.core.files import atomic_write
from ganscribe.datasets.tokens import Vocabulary
from ganscribe.execution.progress import progress
from ganscribe.metrics.intervals import PerImage


def caption_images(
    saved: SavedCaptioner,
    features: FeatureReader,
    image_ids: Sequence[int],
    *,
    method: str,
    max_length: int,
    batch_size: int,
    precision: str,
    **options: Unpack[DecodingOptions],
) -> list[Decoded]:
    """Return one caption per image by `inference.decode`, in the order of `image_ids`."""
    found: list[Decoded] = []
    device = next(saved.model.parameters()).device
    with progress(len(image_ids), f"captions, {method}", "image") as bar:
        for start in range(0, len(image_ids), batch_size):
            batch = list(image_ids[start : start + batch_size])
            found += decode(
                saved.model,
                features(batch).to(device).float(),
                vocabulary=saved.vocabulary,
                image_ids=batch,
                method=method,
                max_length=max_length,
                precision=precision,
                **options,
            )
            bar.update(len(batch))
    return found


def words_of(captions: CaptionSet, vocabulary: Vocabulary) -> list[list[str]]:
    """Return the words of tokenised captions, without `<start>`, `<end>` and `<pad>`."""
    return [vocabulary.decode(row).split() for row in captions.tokens.tolist()]


def write_decoded(
    path: str | Path,
    found: Sequence[Decoded],
    *,
    image_ids: Sequence[int],
    file_names: Sequence[str],
    vocabulary: Vocabulary,
    per_image: PerImage | None = None,
) -> None:
    """Write one row per image: image_id, file_name, caption, log_prob, is_finished, attention (words, 64).

    And, once scored, what it adds to the scores (`score_images`): METEOR, ROUGE-L, CIDEr, BLEU (counts).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    positions = found[0].attention.shape[1]
    flat = torch.cat([one.attention for one in found]).float().flatten()
    maps = pa.FixedSizeListArray.from_arrays(pa.array(flat.cpu().numpy()), positions)
    ends = torch.tensor([0, *(len(one.tokens) for one in found)]).cumsum(0)
    columns = {
        "image_id": pa.array(image_ids, pa.int64()),
        "file_name": pa.array(file_names, pa.string()),
        "caption": pa.array([vocabulary.decode(one.tokens) for one in found], pa.string()),
        "log_prob": pa.array([one.log_prob for one in found], pa.float64()),
        "is_finished": pa.array([one.is_finished for one in found], pa.bool_()),
        "attention": pa.ListArray.from_arrays(pa.array(ends.numpy(), pa.int32()), maps),
    } | {name: pa.array(values.tolist()) for name, values in (per_image or {}).items()}
    with atomic_write(path) as handle:
        pq.write_table(pa.table(columns), handle)

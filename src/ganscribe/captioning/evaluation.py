"""Captions of a split: decoded, laid out as a table, scored, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.figures import attention_figure, save_figure
from ganscribe.captioning.inference import SavedCaptioner, decode
from ganscribe.data.tokens import Vocabulary
from ganscribe.metrics.intervals import PerImage
from ganscribe.runtime import atomic_write, progress

if TYPE_CHECKING:
    from PIL.Image import Image


def caption_images(
    saved: SavedCaptioner,
    features: FeatureReader,
    image_ids: Sequence[int],
    *,
    method: str,
    width: int,
    length_penalty: float,
    temperature: float,
    top_k: int,
    seed: int,
    max_length: int,
    batch_size: int,
    precision: str,
    device: torch.device,
) -> list[Decoded]:
    """One caption an image by `inference.decode`, in the order of `image_ids`."""
    found: list[Decoded] = []
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
                width=width,
                length_penalty=length_penalty,
                temperature=temperature,
                top_k=top_k,
                seed=seed,
                precision=precision,
            )
            bar.update(len(batch))
    return found


def words_of(captions: CaptionSet, vocabulary: Vocabulary) -> list[list[str]]:
    """The words of tokenised captions, without `<start>`, `<end>` and `<pad>`."""
    return [vocabulary.decode(row).split() for row in captions.tokens.tolist()]


def write_decoded(
    path: str | Path,
    found: Sequence[Decoded],
    *,
    image_ids: Sequence[int],
    file_names: Sequence[str],
    vocabulary: Vocabulary,
    per_image: PerImage,
) -> None:
    """One row an image: image_id, file_name, caption, log_prob, is_finished, attention (words, 64).

    And what it adds to the scores, as `score_images` has it: METEOR, ROUGE-L, CIDEr, BLEU (its counts).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    positions = found[0].traces.shape[1]
    flat = torch.cat([one.traces for one in found]).float().flatten()
    maps = pa.FixedSizeListArray.from_arrays(pa.array(flat.cpu().numpy()), positions)
    ends = torch.tensor([0, *(len(one.tokens) for one in found)]).cumsum(0)
    columns = {
        "image_id": pa.array(image_ids, pa.int64()),
        "file_name": pa.array(file_names, pa.string()),
        "caption": pa.array([vocabulary.decode(one.tokens) for one in found], pa.string()),
        "log_prob": pa.array([one.log_prob for one in found], pa.float64()),
        "is_finished": pa.array([one.is_finished for one in found], pa.bool_()),
        "attention": pa.ListArray.from_arrays(pa.array(ends.numpy(), pa.int32()), maps),
    } | {name: pa.array(values.tolist()) for name, values in per_image.items()}
    with atomic_write(path) as handle:
        pq.write_table(pa.table(columns), handle)


def as_seen(path: Path, *, crop: str) -> Image:
    """The part of an image that the network saw, in the proportions that a person expects."""
    from PIL import Image as pillow
    from PIL import ImageOps

    from ganscribe.metrics.inception import load_image

    seen = pillow.fromarray(load_image(path, crop=crop).permute(1, 2, 0).numpy())
    if crop != "none":
        return seen
    with pillow.open(path) as image:
        width, height = ImageOps.exif_transpose(image).size
    scale = max(seen.size) / max(width, height)
    return seen.resize((max(1, round(width * scale)), max(1, round(height * scale))))


def draw_attention(
    folder: Path, image: Image, one: Decoded, *, name: str, vocabulary: Vocabulary, note: str
) -> None:
    """Write `folder`/`name`.png: the image, the caption, and a panel a word."""
    words = [vocabulary.words[token] for token in one.tokens]
    title = f"{' '.join(words) or '(no words)'}  [{note}]"
    figure = attention_figure(image, words, one.traces.float().cpu().numpy(), title=title)
    save_figure(figure, folder / f"{name}.png")

"""All generators scored by one judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.gan.sampling import load_generator
from ganscribe.metrics.images import Extractor, judge_images, score_judged

if TYPE_CHECKING:
    import torch


def judge_generators(
    files: Mapping[str, Path],
    real: Tensor,
    extractor: Extractor,
    *,
    num_samples: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float | str]]:
    """Rows of run, fid, kid, is, precision, recall, one for each generator in `files` (run: its file).

    Of `num_samples` images each, against `real` (N, C, H, W) uint8, by the judge's features. Generators of
    images of another shape are left out. Raises ValueError where none is left.
    """
    state = checkpoint.load() if checkpoint else None
    rows: list[dict[str, float | str]] = state["rows"] if state else []
    done = {row["run"] for row in rows}
    judged = judge_images(real, extractor, "real images")
    for run, path in files.items():
        saved = load_generator(path)
        if run in done or saved.image_shape != tuple(real.shape[1:]):
            continue
        samples = saved.sample(num_samples, seed=seed, device=device)
        generated = judge_images(samples, extractor, f"images of {run}")
        rows.append({"run": run, **score_judged(judged, generated, seed=seed)})
        if checkpoint and checkpoint.due():
            checkpoint.save({"rows": rows})
    if not rows:
        raise ValueError(f"no generator makes images of shape {tuple(real.shape[1:])}: train one first")
    return rows

"""The quality of the generators that a run kept along the way."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganscribe.gan.common.sampling import load_generator
from ganscribe.metrics.gan.images import Extractor, frechet_distance, judge_images


def snapshot_steps(folder: Path) -> dict[int, Path]:
    """Return the generators in `folder` (models/gan/<run>/snapshots) by step."""
    return {int(path.stem.removeprefix("step-")): path for path in sorted(folder.glob("step-*.safetensors"))}


def score_snapshots(
    folder: Path,
    real_features: Tensor,
    extractor: Extractor,
    *,
    num_samples: int,
    seed: int,
    device: torch.device,
) -> list[dict[str, float]]:
    """Return a row of step and fid for each generator in `folder`.

    `fid` is by the judge's features of `num_samples` images, from the same noise for all of them, against
    `real_features` (N, D).
    """
    rows = []
    for step, path in snapshot_steps(folder).items():
        samples = load_generator(path).sample(num_samples, seed=seed, device=device)
        generated = judge_images(samples, extractor, f"generator of step {step}").features
        rows.append({"step": step, "fid": frechet_distance(real_features, generated)})
    return rows

"""The quality of a run's generators along the way, beside what its critic said at the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.gan.sampling import load_generator
from ganscribe.metrics.images import Extractor, frechet_distance, judge_images

if TYPE_CHECKING:
    import pandas as pd

# What a critic says of the distance, the same for both kinds: on held-out images, median-filtered.
ESTIMATES = ("wasserstein_estimate_held_out_median", "jsd_estimate_held_out_median")


def estimate_at(curve: pd.DataFrame, step: int) -> tuple[float, float]:
    """The critic's estimate and its raw loss in the row of `curve` (curves/gan/RUN.csv) nearest to `step`.

    Of two rows as near, the earlier. Raises ValueError for a table without an estimate.
    """
    names = [name for name in ESTIMATES if name in curve]
    if not names:
        raise ValueError(
            f"the table of losses has none of {', '.join(ESTIMATES)}, only {', '.join(curve.columns)}: "
            "choose a run whose objective estimates a distance"
        )
    row = curve.iloc[int((curve["step"] - step).abs().argmin())]
    return float(row[names[0]]), float(row["critic_loss"])


def snapshot_steps(folder: Path) -> dict[int, Path]:
    """The generators in `folder` (models/gan/RUN/snapshots) by step. ValueError where there are none."""
    found = {int(path.stem.removeprefix("step-")): path for path in sorted(folder.glob("step-*.pt"))}
    if not found:
        raise ValueError(f"{folder} has no snapshots (step-*.pt): train the run with snapshots")
    return found


def score_snapshots(
    runs: Sequence[str],
    real: Tensor,
    extractor: Extractor,
    *,
    models: Path,
    curves: Path,
    num_samples: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float | str]]:
    """Rows of run, step, estimate, critic_loss and fid, one a snapshot of each of `runs`.

    `fid` is by the judge's features of `num_samples` images, the same noise for all snapshots of a run,
    against `real` (N, C, H, W) uint8. `models` is models/gan, `curves` is curves/gan.
    """
    import pandas as pd

    state = checkpoint.load() if checkpoint else None
    rows: list[dict[str, float | str]] = state["rows"] if state else []
    done = {(row["run"], row["step"]) for row in rows}
    features = judge_images(real, extractor, "real images").features
    for run in runs:
        curve = pd.read_csv(curves / f"{run}.csv")
        for step, path in snapshot_steps(models / run / "snapshots").items():
            if (run, step) in done:
                continue
            saved = load_generator(path)
            samples = saved.sample(num_samples, seed=seed, device=device)
            generated = judge_images(samples, extractor, f"{run} at step {step}").features
            estimate, critic_loss = estimate_at(curve, step)
            fid = frechet_distance(features, generated)
            row: dict[str, float | str] = {"run": run, "step": step, "estimate": estimate}
            row |= {"critic_loss": critic_loss, "fid": fid}
            rows.append(row)
            if checkpoint and checkpoint.due():
                checkpoint.save({"rows": rows})
    return rows

"""What a run's critic said at the time, beside the quality of its generators along the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# What a critic says of the distance, the same for both kinds: on held-out images, median-filtered.
ESTIMATES = ("wasserstein_estimate_held_out_median", "jsd_estimate_held_out_median")


def estimate_at(curve: pd.DataFrame, step: int) -> tuple[float, float]:
    """Return the critic's estimate and its raw loss in the row of `curve` (curves/gan/RUN.csv) nearest to `step`.

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


def quality_along(runs: Sequence[str], *, scores: Path, curves: Path) -> pd.DataFrame:
    """Return rows of run, step, estimate, critic_loss and fid, one for each generator that a run kept.

    `scores` is data/gan_scores, `curves` is curves/gan. Raises ValueError for a run that kept none.
    """
    import pandas as pd

    rows = []
    for run in runs:
        curve = pd.read_csv(curves / f"{run}.csv")
        try:
            kept = pd.read_csv(scores / run / "snapshots.csv")
        except pd.errors.EmptyDataError:  # a table that is written without rows has no columns either
            kept = pd.DataFrame()
        if kept.empty:
            raise ValueError(f"the run {run} has kept no generators along the way: train it with snapshots")
        for step, fid in zip(kept["step"].astype(int), kept["fid"], strict=True):
            estimate, critic_loss = estimate_at(curve, step)
            rows.append(
                {"run": run, "step": step, "estimate": estimate, "critic_loss": critic_loss, "fid": fid}
            )
    return pd.DataFrame(rows)

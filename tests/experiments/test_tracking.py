"""A critic's estimates beside the quality of its generators: each snapshot gets the nearest row of the curve."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ganscribe.core.files import write_csv
from ganscribe.experiments.tracking import estimate_at, quality_along

STEPS, LOSSES = [4, 8, 12], [-3.0, -2.0, -1.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of each kind of critic, with the scores of the generators that it kept."""
    estimates = {"wgan": "wasserstein_estimate", "gan": "jsd_estimate"}
    kept = {"wgan": {5: 90.0, 10: 40.0}, "gan": {10: 70.0}}
    for run, name in estimates.items():
        rows = [
            {
                "step": step,
                "critic_loss": loss,
                name: 9.0,
                f"{name}_median": 8.0,
                f"{name}_held_out": 7.0,
                f"{name}_held_out_median": -loss / 10,
            }
            for step, loss in zip(STEPS, LOSSES, strict=True)
        ]
        write_csv(tmp_path / "curves" / f"{run}.csv", rows)
        scores = [{"step": step, "fid": fid} for step, fid in kept[run].items()]
        write_csv(tmp_path / "scores" / run / "snapshots.csv", scores)
    return tmp_path


def along(folder: Path, *runs: str) -> pd.DataFrame:
    return quality_along(runs, scores=folder / "scores", curves=folder / "curves")


def test_rows_pair_a_generator_with_what_the_critic_said_at_the_time(folder: Path) -> None:
    assert along(folder, "wgan", "gan").to_dict("records") == [
        {"run": "wgan", "step": 5, "estimate": 0.3, "critic_loss": -3.0, "fid": 90.0},
        # Step 10: of two rows as near the earlier.
        {"run": "wgan", "step": 10, "estimate": 0.2, "critic_loss": -2.0, "fid": 40.0},
        {"run": "gan", "step": 10, "estimate": 0.2, "critic_loss": -2.0, "fid": 70.0},
    ]


def test_the_estimate_is_that_on_held_out_images_of_the_nearest_row(folder: Path) -> None:
    curve = pd.read_csv(folder / "curves" / "gan.csv")
    found = [estimate_at(curve, step)[1] for step in (0, 4, 5, 6, 7, 8, 99)]
    assert found == [-3.0, -3.0, -3.0, -3.0, -2.0, -2.0, -1.0]
    assert estimate_at(curve, 12) == (0.1, -1.0)


def test_a_run_without_an_estimate_is_named() -> None:
    curve = pd.DataFrame({"step": [1], "critic_loss": [0.0], "wasserstein_estimate": [0.0]})
    with pytest.raises(
        ValueError, match=r"has none of wasserstein_estimate_held_out_median, jsd_.*: choose a"
    ):
        estimate_at(curve, 1)


def test_a_run_that_kept_no_generators_is_named(folder: Path) -> None:
    write_csv(folder / "scores" / "gan" / "snapshots.csv", [])
    with pytest.raises(ValueError, match="the run gan has kept no generators along the way"):
        along(folder, "wgan", "gan")
    (folder / "scores" / "gan" / "snapshots.csv").write_text("step,fid\n")
    with pytest.raises(ValueError, match="the run gan has kept no generators along the way"):
        along(folder, "gan")

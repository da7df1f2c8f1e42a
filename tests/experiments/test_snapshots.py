"""Snapshots are scored in order of their steps and paired with the row that is nearest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ganscribe.experiments.snapshots import estimate_at, score_snapshots, snapshot_steps
from torch import Tensor

from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.gan.common.sampling import load_generator, sample_images, save_network
from ganscribe.gan.networks import build_generator

CPU = torch.device("cpu")


def extractor(batch: Tensor) -> tuple[Tensor, Tensor]:
    features = batch.float().div(255).unfold(2, 14, 14).unfold(3, 14, 14).mean(dim=(1, 4, 5)).flatten(1)
    return features, features  # (N, 4): the means of four quarters


@pytest.fixture
def project_folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    for run, steps in {"wgan": (5, 10), "gan": (10,)}.items():
        for step in steps:
            network = build_generator("mlp", noise_dim=4, image_shape=(1, 28, 28))
            save_network(
                tmp_path / f"models/{run}/snapshots/step-{step:06d}.pt",
                network.state_dict(),
                networks="mlp",
                noise_dim=4,
                noise="uniform",
                image_shape=(1, 28, 28),
            )
    (tmp_path / "curves").mkdir()
    curve = pd.DataFrame({"step": [4, 8, 12], "critic_loss": [-3.0, -2.0, -1.0]})
    curve.assign(wasserstein_estimate_held_out_median=[0.3, 0.2, 0.1]).to_csv(tmp_path / "curves/wgan.csv")
    curve.assign(jsd_estimate_held_out_median=[0.6, 0.5, 0.4]).to_csv(tmp_path / "curves/gan.csv")
    return tmp_path


def score(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    rng = torch.Generator().manual_seed(1)
    real = torch.randint(0, 256, (30, 1, 28, 28), generator=rng, dtype=torch.uint8)
    settings: dict[str, Any] = {"models": folder / "models", "curves": folder / "curves", "num_samples": 20}
    return score_snapshots(["wgan", "gan"], real, extractor, **settings, seed=2, device=CPU, **changes)


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.linalg import sqrtm

    covariances = [np.cov(part, rowvar=False) for part in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    shift = first.mean(0) - second.mean(0)
    return float(shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root))


def test_rows_pair_a_snapshot_with_the_nearest_row_and_its_fid(project_folder: Path) -> None:
    rows = score(project_folder)
    assert [(row["run"], row["step"]) for row in rows] == [("wgan", 5), ("wgan", 10), ("gan", 10)]
    assert [row["estimate"] for row in rows] == [0.3, 0.2, 0.5]  # step 10: of two as near the earlier
    assert [row["critic_loss"] for row in rows] == [-3.0, -2.0, -2.0]
    saved = load_generator(project_folder / "models/wgan/snapshots/step-000005.pt")
    samples = sample_images(saved.network, 20, noise_dim=4, noise="uniform", seed=2, device=CPU)
    rng = torch.Generator().manual_seed(1)
    real = torch.randint(0, 256, (30, 1, 28, 28), generator=rng, dtype=torch.uint8)
    features = [extractor(part)[0].double().numpy() for part in (real, samples)]
    assert rows[0]["fid"] == pytest.approx(frechet(*features), rel=1e-4)


class StopAfterTwo(Checkpoint):
    calls = 0

    def due(self, *, last: bool = False) -> bool:
        self.calls += 1
        return self.calls == 2

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        raise KeyboardInterrupt


def test_a_resumed_scoring_ends_as_an_unbroken_one(project_folder: Path, tmp_path: Path) -> None:
    whole = score(project_folder)
    with pytest.raises(KeyboardInterrupt):
        score(project_folder, checkpoint=StopAfterTwo(tmp_path / "kept", every_seconds=0))
    again = Checkpoint(tmp_path / "kept", every_seconds=math.inf)
    assert score(project_folder, checkpoint=again) == whole


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no snapshots"):
        snapshot_steps(tmp_path)
    with pytest.raises(ValueError, match="has none of wasserstein_estimate_held_out_median"):
        estimate_at(pd.DataFrame({"step": [1], "critic_loss": [0.0]}), 1)

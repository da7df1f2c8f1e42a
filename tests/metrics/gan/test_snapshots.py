"""The generators that a run kept are scored in the order of their steps, all from the same noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import gans
from ganscribe.gan.common.sampling import load_generator, sample_images
from ganscribe.metrics.gan.snapshots import score_snapshots, snapshot_steps


def extractor(batch: Tensor) -> tuple[Tensor, Tensor]:
    features = batch.float().div(255).unfold(2, 14, 14).unfold(3, 14, 14).mean(dim=(1, 4, 5)).flatten(1)
    return features, features  # (N, 4): the means of four quarters


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.linalg import sqrtm

    covariances = [np.cov(part, rowvar=False) for part in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    shift = first.mean(0) - second.mean(0)
    return float(shift @ shift + np.trace(covariances[0] + covariances[1] - 2 * root))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three untrained generators, kept at steps whose names do not sort by their digits alone."""
    for seed, step in enumerate((1_000_000, 5, 40)):
        gans.save_generator(tmp_path / f"step-{step:06d}.safetensors", seed=seed)
    gans.save_generator(tmp_path / "generator.safetensors", seed=9)
    return tmp_path


def score(folder: Path) -> list[dict[str, float]]:
    features = extractor(gans.pictures(30, seed=1))[0].double()
    return score_snapshots(folder, features, extractor, num_samples=20, seed=2, device=gans.CPU)


def test_snapshots_are_found_in_the_order_of_their_steps(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = sorted(folder.glob("step-*"), reverse=True)  # a folder has no order of its own
    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", lambda self, pattern: iter(listed))
        steps = snapshot_steps(folder)
    assert list(steps) == [5, 40, 1_000_000]
    assert steps[40] == folder / "step-000040.safetensors"
    assert snapshot_steps(folder / "absent") == {}


def test_rows_are_the_distances_of_the_generators_by_step(folder: Path) -> None:
    rows = score(folder)
    assert [row["step"] for row in rows] == [5, 40, 1_000_000]
    real = extractor(gans.pictures(30, seed=1))[0].double().numpy()
    for row in rows:
        saved = load_generator(folder / f"step-{int(row['step']):06d}.safetensors")
        samples = sample_images(
            saved.network, 20, noise_dim=gans.NOISE, noise="uniform", seed=2, device=gans.CPU
        )
        features = extractor(samples)[0].double().numpy()
        assert row["fid"] == pytest.approx(frechet(real, features), rel=1e-4)
    assert len({row["fid"] for row in rows}) == 3
    assert score(folder) == rows


def test_a_run_that_kept_none_has_no_rows(tmp_path: Path) -> None:
    assert score(tmp_path) == []

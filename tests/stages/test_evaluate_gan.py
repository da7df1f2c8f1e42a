"""evaluate_gan: scores by the FID Inception network, where its weights are, and why there are none."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganscribe.config.stages import GanEvaluation
from ganscribe.core.files import file_sha256


def make_run(weights: str | None) -> GanEvaluation:
    shared: dict[str, Any] = {"dataset": "mnist", "classes": None, "splits": ["train"], "judge": "lenet5"}
    return GanEvaluation(**shared, fid_inception=weights, num_samples=8, seed=0)


@pytest.fixture
def stage(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.syspath_prepend(project / "stages")
    return runpy.run_path(str(project / "stages/evaluate_gan.py"))


def test_inception_scores(stage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 1, 28, 28), generator=rng, dtype=torch.uint8)
    reference, score = SimpleNamespace(images=images), stage["inception_scores"]

    assert list(score(make_run(None), reference, images)) == ["inception"]
    assert "not available (no weights" in score(make_run(None), reference, images)["inception"]
    with pytest.raises(FileNotFoundError, match=r"gan\.fid_inception: .*none\.pth is missing"):
        score(make_run(str(tmp_path / "none.pth")), reference, images)

    # A stand-in for the network; metrics/test_images.py has the real one.
    def extract(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = batch.flatten(1).float() / 255
        return pixels[:, 300:304], pixels[:, :10]

    monkeypatch.setitem(score.__globals__, "inception_extractor", lambda path: extract)
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    found = score(make_run(str(weights)), reference, images)
    kinds = ("fid", "kid", "isc", "precision", "recall")
    assert {f"{kind}_inception" for kind in kinds} | {"inception", "inception_resize"} == set(found)
    assert found["inception"] == file_sha256(weights) and abs(found["fid_inception"]) < 1e-6

    cached = tmp_path / "home/hub" / stage["FID_INCEPTION"]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cached")
    assert score(make_run(None), reference, images)["inception"] == file_sha256(cached)
    assert score(make_run(str(weights)), reference, images)["inception"] == file_sha256(weights)

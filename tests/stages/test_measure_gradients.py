"""measure_gradients: the generators after some epochs are those of trainings of that many."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import gans
from ganscribe.config.stages import Gradients
from ganscribe.execution.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("small_samples")


def test_generators_are_kept_after_the_epochs_that_are_asked_for(load_stage: Any, tmp_path: Path) -> None:
    """In any order; 70 pictures are four batches of 16."""
    stage, (recipe, _) = load_stage("measure_gradients"), gans.recipe_and_budget()
    settings = Gradients(
        recipe=recipe, epochs=(2, 1), critic_steps=1, measure_every=1, num_batches=2, seed=3, precision="fp32",
        max_gan_updates=None, max_critic_updates=None, max_num_batches=None,
    )  # fmt: skip
    kept = stage["train_generators"](gans.pictures(), settings, Checkpoint(tmp_path, every_seconds=math.inf))
    assert [step for step, _ in kept] == [4, 8]
    found: dict[int, nn.Module] = stage["rebuild"](kept, settings, gans.MNIST)
    assert sorted(found) == [1, 2]
    for epochs, generator in found.items():
        expected = gans.train(steps=4 * epochs, log_every=4).generator.state_dict()
        assert gans.same(list(generator.state_dict().values()), list(expected.values()))

    (tmp_path / "capped").mkdir()
    capped, checkpoint = (
        replace(settings, max_gan_updates=1),
        Checkpoint(tmp_path / "capped", every_seconds=math.inf),
    )
    with pytest.raises(
        ValueError, match=r"\(2, 1\) epochs leave 1 different generators within 1 updates: raise"
    ):
        stage["train_generators"](gans.pictures(), capped, checkpoint)

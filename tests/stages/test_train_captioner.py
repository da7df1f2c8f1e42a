"""train_captioner: how far a training went is compared with the recipe, unless the recipe itself has stopped it."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

import captioners
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.config.stages import CaptionerRun
from ganscribe.core.length import Length
from ganscribe.training.budget import Budget


@pytest.mark.parametrize(
    ("steps", "cap", "length"),
    [
        (7, 7, Length(7, 15)),  # 22 captions are 5 batches of at most 5, in each of 3 epochs
        (15, None, Length(15, 15)),
        (15, 500, Length(15, 15)),
        (10, None, Length(10, 10)),  # early stopping
        (5, 7, Length(5, 5)),
    ],
)
def test_a_training_is_measured_against_what_its_recipe_would_have_done(
    load_stage: Any, steps: int, cap: int | None, length: Length
) -> None:
    measure = load_stage("train_captioner")["measure"]
    run = CaptionerRun(recipe=CaptionerRecipe(epochs=3, batch_size=5), budget=Budget(seed=0, max_updates=cap))
    trained: Any = type("Trained", (), {"step": steps})
    assert measure(trained, captioners.tiny_data(), run) == length


def test_a_real_training_that_a_cap_ends(load_stage: Any) -> None:
    measure = load_stage("train_captioner")["measure"]
    recipe = CaptionerRecipe(epochs=3, batch_size=5)
    for cap, length in ((7, Length(7, 15)), (None, Length(15, 15))):
        run = CaptionerRun(recipe=recipe, budget=Budget(seed=0, max_updates=cap))
        trained = captioners.train(max_updates=cap)
        assert measure(trained, captioners.tiny_data(), run) == length


def test_the_precision_of_the_features_is_not_recorded_as_that_of_the_training(
    load_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorded(Exception):
        """The parameters that the stage records."""

    def record(*, params: dict[str, Any], **_: Any) -> None:
        raise Recorded(params)

    main = load_stage("train_captioner")["main"].callback.__wrapped__
    run = CaptionerRun(
        recipe=CaptionerRecipe(epochs=1), budget=Budget(seed=0, max_updates=1, precision="fp32")
    )
    shards = SimpleNamespace(metadata={"precision": "bf16"})
    for name, value in {
        "config": SimpleNamespace(load=lambda *_: run),
        "records": SimpleNamespace(training_run=record),
        "run_key": lambda *_: "key",
        "read_vocabulary": lambda _: None,
        "open_shards": lambda _: shards,
        "read_data": lambda *_: None,
        "open_checkpoint": contextlib.nullcontext,
    }.items():
        monkeypatch.setitem(main.__globals__, name, value)
    with pytest.raises(Recorded) as recorded:
        main(name="tiny")
    (params,) = recorded.value.args
    assert params["precision"] == "fp32"
    assert params["features"] == {"precision": "bf16"}

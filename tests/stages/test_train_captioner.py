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
from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary, write_tokens
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


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("patience", [None, 2])
def test_data_are_the_chosen_captions_of_images_with_features(
    load_stage: Any, monkeypatch: pytest.MonkeyPatch, patience: int | None
) -> None:
    """Image 3 has none. The longest of the chosen captions is in the test split."""
    rows = [(1, "train", 4, True), (2, "train", 3, True), (3, "train", 9, True), (4, "val", 5, True)]
    rows += [(4, "val", 8, False), (5, "test", 6, True)]
    ids, splits, lengths, kept = ([*column] for column in zip(*rows, strict=True))
    numbers, tokens = [*range(6)], [[2, *[4] * (length - 2), 3] for length in lengths]
    write_tokens(
        "data/tokens/tokens.parquet",
        image_ids=ids,
        caption_ids=numbers,
        splits=splits,
        kept=kept,
        tokens=tokens,
    )
    texts = zip(ids, numbers, splits, kept, strict=True)
    captions = [
        SelectedCaption(i, n, f"{i}.jpg", "", f"caption {n}", split, is_kept)
        for i, n, split, is_kept in texts
    ]
    write_captions("data/captions/captions.parquet", captions)
    asked: list[Any] = []
    read_data = load_stage("train_captioner")["read_data"]
    score = lambda references, features, **options: asked.append((references, options))  # noqa: E731
    monkeypatch.setitem(read_data.__globals__, "greedy_cider", score)
    shards: Any = SimpleNamespace(row_of={1: 0, 2: 1, 4: 2, 5: 3}, gather_images=None, shape=(64, 12))
    vocabulary = Vocabulary((PAD, UNK, START, END, "a"))
    recipe = CaptionerRecipe(epochs=1, batch_size=7, early_stopping=patience)
    data = read_data(recipe, vocabulary, shards)
    assert (data.train.image_ids, data.val.image_ids, data.longest) == ([1, 2], [4], 9)
    assert (data.vocabulary_size, data.feature_dim) == (5, 12)
    options = {"vocabulary": vocabulary, "max_length": 9, "batch_size": 7}
    assert asked == ([] if patience is None else [({4: ["caption 3", "caption 4"]}, options)])


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

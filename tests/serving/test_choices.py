"""Which models the demo offers first, and what is said of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.serving.choices import EXAMPLES, example_pictures, rank_models


def add(root: Path, run: str, steps: int | None, scores: dict[str, Any] | None, family: str = "gan") -> None:
    names = {"gan": ("generator.safetensors", "data/gan_scores", "scores.json")}
    file_name, folder, scores_name = names.get(family, ("model.safetensors", "data/captioned", "beam.json"))
    model = root / "models" / family / run / file_name
    model.parent.mkdir(parents=True)
    model.touch()
    if steps is not None:
        training = {"trained_steps": steps, "recipe_steps": 1000, "recipe": {"dataset": "mnist"}}
        model.with_name("training.json").write_text(json.dumps(training))
    if scores is not None:
        path = root / folder / run / scores_name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(scores))


def test_the_best_comes_first_and_what_means_nothing_last(tmp_path: Path) -> None:
    judge = {"judge": "lenet5"}
    add(tmp_path, "good", 400, judge | {"fid": 18.04, "recall": 0.8})
    add(tmp_path, "fair", 1000, judge | {"fid": 90.0, "recall": 0.3})
    add(tmp_path, "scribble", 15, judge | {"fid": 2.0, "recall": 0.5})
    add(tmp_path, "collapsed", 1000, judge | {"fid": 3.0, "recall": 0.0})
    add(tmp_path, "by another judge", 1000, {"judge": "resnet20", "fid": 1.0, "recall": 0.5})
    add(tmp_path, "not scored", 1000, None)
    add(tmp_path, "old", None, judge | {"fid": 50.0})
    add(tmp_path, ".old.tmp", None, judge | {"fid": 50.0})  # half-written by a process that was killed
    assert [choice.label for choice in rank_models(tmp_path, "gan").values()] == [
        "good: on mnist, FID 18.04, 400 of 1,000 steps",
        "old: FID 50",
        "fair: on mnist, FID 90, 1,000 steps",
        "by another judge: on mnist, FID 1, 1,000 steps",
        "not scored: on mnist, no score, 1,000 steps",
        "collapsed: on mnist, FID 3, collapsed, 1,000 steps",
        "scribble: on mnist, FID 2, only exercised, 15 of 1,000 steps",
    ]


def test_of_captioners_the_highest_is_the_best(tmp_path: Path) -> None:
    for run, cider in (("a", 1.25), ("b", 3.5)):
        add(tmp_path, run, None, {"CIDEr": cider, "trained_steps": 100, "recipe_steps": 500}, "captioner")
    found = rank_models(tmp_path, "captioner")
    assert [choice.label for choice in found.values()] == [
        "b: CIDEr 3.5, 100 of 500 steps",
        "a: CIDEr 1.25, 100 of 500 steps",
    ]
    assert found["b"].path == tmp_path / "models/captioner/b/model.safetensors"
    assert rank_models(tmp_path, "gan") == {}


def test_examples_are_pictures_of_the_test_set_that_are_there(tmp_path: Path) -> None:
    assert example_pictures(tmp_path) == []
    (tmp_path / "data/captions").mkdir(parents=True)
    images, drawn = tmp_path / "data/coco/images", tmp_path / "data/raw/coco/train2014"
    for folder in (images, drawn):
        folder.mkdir(parents=True)
    captions = []
    for number in range(40):
        captions += [
            SelectedCaption(
                number,
                2 * number + copy,
                f"{number}.jpg",
                "",
                "a",
                ("train", "test", "val", "test")[number % 4],
                True,
            )
            for copy in range(2)
        ]
        if number != 1:
            (drawn if number == 5 else images).joinpath(f"{number}.jpg").touch()
    write_captions(tmp_path / "data/captions/captions.parquet", captions)
    found = [images / "3.jpg", drawn / "5.jpg", *(images / f"{number}.jpg" for number in (7, 9, 11, 13))]
    assert example_pictures(tmp_path) == found
    assert EXAMPLES == 6

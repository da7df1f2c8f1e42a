"""The choice of captions and its splits, by brute force."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ganscribe.datasets.selection import select_captions
from ganscribe.sources.annotations import ANNOTATIONS, Caption, read_annotations


def captions(num_images: int = 50) -> list[Caption]:
    return [
        Caption(image, 5 * image + index, f"{image}.jpg", f"u{image}", f"caption {index} of {image}")
        for image in range(num_images)
        for index in range(5)
    ]


def test_split_by_image() -> None:
    every = captions()
    selected = select_captions(every, seed=3, count=100, split=(0.8, 0.1, 0.1), split_by="image")
    kept = [caption for caption in selected if caption.kept]
    assert len(kept) == 100 == len({caption.caption_id for caption in kept})
    assert [caption.kept for caption in selected] == sorted((c.kept for c in selected), reverse=True)
    images = {name: {c.image_id for c in selected if c.split == name} for name in ("train", "val", "test")}
    assert not images["train"] & images["val"] and not (images["train"] | images["val"]) & images["test"]
    total = len({caption.image_id for caption in kept})
    assert [len(images[name]) for name in images] == pytest.approx(
        [0.8 * total, 0.1 * total, 0.1 * total], abs=1
    )
    for name in ("val", "test"):  # every caption of an evaluated image is a reference
        expected = {caption.caption_id for caption in every if caption.image_id in images[name]}
        assert {caption.caption_id for caption in selected if caption.split == name} == expected
    assert all(caption.kept for caption in selected if caption.split == "train")


def test_split_by_caption_leaks_as_the_tutorial_does() -> None:
    every = captions()
    selected = select_captions(every, seed=3, count=200, split=(0.8, 0.2, 0.0), split_by="caption")
    kept = [caption for caption in selected if caption.kept]
    assert [c.split for c in kept] == ["train"] * 160 + ["val"] * 40
    train = {caption.image_id for caption in kept if caption.split == "train"}
    val = {caption.image_id for caption in kept if caption.split == "val"}
    assert len(train & val) > len(val) / 2
    references = [caption for caption in selected if caption.split == "val"]
    assert len(references) == len({c.caption_id for c in references}) == 5 * len(val)


def test_the_choice_depends_on_the_seed_alone() -> None:
    def choose(every: list[Caption], seed: int) -> list[Any]:
        return select_captions(every, seed=seed, count=60, split=(0.5, 0.25, 0.25), split_by="image")

    assert choose(captions(), 1) == choose(captions()[::-1], 1) != choose(captions(), 2)
    longer = select_captions(captions(), seed=1, count=90, split=(0.5, 0.25, 0.25), split_by="image")
    assert [c.caption_id for c in longer if c.kept][:60] == [
        c.caption_id for c in choose(captions(), 1) if c.kept
    ]


def test_images_are_shuffled_before_they_are_split() -> None:
    """All captions are kept, so that nothing but the split depends on the seed."""

    def evaluated(seed: int) -> list[int]:
        chosen = select_captions(captions(), seed=seed, count=250, split=(0.8, 0.1, 0.1), split_by="image")
        return sorted({caption.image_id for caption in chosen if caption.split == "test"})

    assert evaluated(0) != list(range(45, 50)) and evaluated(0) != evaluated(1)


def test_references_lie_by_split_image_and_caption() -> None:
    every = [caption._replace(caption_id=999 - caption.caption_id) for caption in captions()]
    selected = select_captions(every, seed=3, count=100, split=(0.4, 0.3, 0.3), split_by="image")
    further = [(c.split, c.image_id, c.caption_id) for c in selected if not c.kept]
    assert len(further) > 50 and {split for split, _, _ in further} == {"val", "test"}
    assert further == sorted(further, key=lambda one: (one[0] == "test", *one[1:]))


def test_cuts_are_rounded() -> None:
    """0.7 + 0.1 is 0.7999...: of ten images, eight are before the second cut, not seven."""
    selected = select_captions(captions(10), seed=0, count=50, split=(0.7, 0.1, 0.2), split_by="image")
    images = {c.image_id: c.split for c in selected}
    assert Counter(images.values()) == {"train": 7, "val": 1, "test": 2}


def test_bad_choices_are_named() -> None:
    with pytest.raises(ValueError, match="leaves val empty"):
        select_captions(captions(3), seed=0, count=99, split=(0.9, 0.05, 0.05), split_by="image")
    with pytest.raises(ValueError, match="split_by 'file' is unknown"):
        select_captions(captions(3), seed=0, count=99, split=(0.4, 0.3, 0.3), split_by="file")


def test_the_real_captions_are_split(test_data: Path) -> None:
    every = read_annotations(test_data / "coco" / ANNOTATIONS)
    selected = select_captions(every, seed=0, count=30000, split=(0.9, 0.05, 0.05), split_by="image")
    counts = Counter(caption.split for caption in selected)
    assert counts == {"train": 5120, "val": 285, "test": 285}

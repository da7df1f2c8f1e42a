"""Which captions are taken, and in which split each of them is."""

from __future__ import annotations

from collections.abc import Sequence

from ganscribe.core.seeds import random_stream
from ganscribe.datasets.captions import SelectedCaption
from ganscribe.sources.annotations import Caption


def _select(caption: Caption, split: str, kept: bool) -> SelectedCaption:
    image_id, caption_id, file_name, url, text = caption
    return SelectedCaption(image_id, caption_id, file_name, url, text, split, kept)


def _split_of(items: Sequence[int], split: Sequence[float]) -> dict[int, str]:
    """The split of each of `items`, cut in their order at the cumulated shares."""
    first, second = round(split[0] * len(items)), round((split[0] + split[1]) * len(items))
    cuts = {"train": items[:first], "val": items[first:second], "test": items[second:]}
    for (name, part), share in zip(cuts.items(), split, strict=True):
        if share > 0 and not part:
            raise ValueError(
                f"captions.split {tuple(split)} leaves {name} empty: there are only {len(items)} to split."
                " Select more captions or enlarge its share"
            )
    return {item: name for name, part in cuts.items() for item in part}


def select_captions(
    captions: Sequence[Caption], *, seed: int, count: int, split: Sequence[float], split_by: str
) -> list[SelectedCaption]:
    """The first `count` captions (all, if there are fewer) of a seeded shuffle, in three splits.

    By image, no image is in two splits; by caption (the tutorial's way) most validation images are in
    training too. Val and test images also get all their other captions (`kept` False) as references; by
    caption, a training caption is then listed once more as a reference. Order: the shuffle's for the kept
    ones, then by split, image and caption. Raises ValueError where a split would be empty.
    """
    import torch

    ordered = sorted(captions, key=lambda caption: caption.caption_id)
    stream = random_stream(seed, "captions", "select")
    chosen = [ordered[index] for index in torch.randperm(len(ordered), generator=stream).tolist()[:count]]
    if split_by == "caption":
        split_of = _split_of([caption.caption_id for caption in chosen], split)
        kept = [_select(caption, split_of[caption.caption_id], True) for caption in chosen]
    elif split_by == "image":
        images = sorted({caption.image_id for caption in chosen})
        stream = random_stream(seed, "captions", "split")
        shuffled = [images[index] for index in torch.randperm(len(images), generator=stream).tolist()]
        split_of = _split_of(shuffled, split)
        kept = [_select(caption, split_of[caption.image_id], True) for caption in chosen]
    else:
        raise ValueError(f"captions.split_by {split_by!r} is unknown: use image or caption")
    return kept + _further_references(ordered, kept)


def _further_references(
    captions: Sequence[Caption], kept: Sequence[SelectedCaption]
) -> list[SelectedCaption]:
    """The captions of val and test images that are not in the image's split yet."""
    present = {(caption.split, caption.caption_id) for caption in kept}
    evaluated = {(caption.split, caption.image_id) for caption in kept}
    by_image = sorted(captions, key=lambda caption: (caption.image_id, caption.caption_id))
    return [
        _select(caption, split, False)
        for split in ("val", "test")
        for caption in by_image
        if (split, caption.image_id) in evaluated and (split, caption.caption_id) not in present
    ]

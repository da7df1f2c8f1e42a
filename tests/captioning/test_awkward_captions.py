"""Awkward captions from COCO's own file to a training: none is lost, cut or moved to another image."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from captioners import train
from ganscribe.captioning.dataset import CaptionerData, read_references, read_tokenised
from ganscribe.datasets.captions import read_captions, write_captions
from ganscribe.datasets.selection import select_captions
from ganscribe.datasets.tokens import build_vocabulary, write_tokens
from ganscribe.sources.annotations import read_annotations

# The captions of each image, and the words that each must come down to.
CAPTIONS = {
    11: [
        ("A dog's ball, isn\u2019t it?", "a dog's ball isn\u2019t it"),
        ("The 'old' dogs'", "the 'old' dogs'"),
    ],
    12: [("A t-shirt -- size 42, 3.5\u20ac", "a t shirt size 42 3 5\u20ac"), ("two-\nline", "two line")],
    13: [
        ("one\rtwo\u2028three\tfour\u2029five\x85six", "one two three four five six"),
        ("\ufeffx", "\ufeffx"),
    ],
    14: [
        (
            "Stra\u00dfe CAF\u00c9 cafe\u0301 \u72ac \u0130stanbul",
            "stra\u00dfe caf\u00e9 cafe\u0301 \u72ac i\u0307stanbul",
        )
    ],
    15: [
        (
            "\U0001f415\u200d\U0001f9ba \U0001f44d\U0001f3fd!",
            "\U0001f415\u200d\U0001f9ba \U0001f44d\U0001f3fd",
        ),
        ("...", ""),
    ],
    16: [("the same words", "the same words")] * 5,
    17: [("<start> of the <end>", "<unk> of the <unk>"), ("a" * 300, "a" * 300)],
}


def annotations(folder: Path) -> Path:
    entries = [(image_id, text) for image_id, texts in CAPTIONS.items() for text, _ in texts]
    document = {
        "images": [{"id": image_id, "file_name": f"{image_id}.jpg"} for image_id in CAPTIONS],
        "annotations": [
            {"id": 100 + number, "image_id": image_id, "caption": text}
            for number, (image_id, text) in enumerate(entries)
        ],
    }
    path = folder / "captions.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("split_by", ["image", "caption"])
def test_awkward_captions_reach_the_training_whole(tmp_path: Path, split_by: str) -> None:
    every = read_annotations(annotations(tmp_path))
    selected = select_captions(every, seed=0, count=99, split=(0.6, 0.4, 0.0), split_by=split_by)
    write_captions(tmp_path / "captions.parquet", selected)
    selected = read_captions(tmp_path / "captions.parquet")
    texts = [caption.caption for caption in selected]
    vocabulary = build_vocabulary(texts, size=30)  # a few words are left out
    write_tokens(
        tmp_path / "tokens.parquet",
        image_ids=[caption.image_id for caption in selected],
        caption_ids=[caption.caption_id for caption in selected],
        splits=[caption.split for caption in selected],
        kept=[caption.kept for caption in selected],
        tokens=[vocabulary.encode(text) for text in texts],
    )
    sets = {
        split: read_tokenised(tmp_path / "tokens.parquet", split=split, only_kept=False)
        for split in ("train", "val")
    }
    for split, captions in sets.items():
        found = Counter(
            (image_id, vocabulary.decode(tokens))
            for image_id, tokens in zip(captions.image_ids, captions.tokens.tolist(), strict=True)
        )
        expected: Counter[tuple[int, str]] = Counter()
        for caption in selected:
            if caption.split == split:
                known = dict(CAPTIONS[caption.image_id])[caption.caption].split()
                kept = [word if word in vocabulary.ids else "<unk>" for word in known]
                expected[caption.image_id, " ".join(kept)] += 1
        assert found == expected
    references = read_references(tmp_path / "captions.parquet", split="val", image_ids=set(CAPTIONS))
    for image_id, found_texts in references.items():  # all of the image's, also those that are equal
        assert sorted(found_texts) == sorted(text for text, _ in CAPTIONS[image_id])

    data = CaptionerData(
        train=sets["train"],
        val=sets["val"],
        features=lambda ids: torch.rand(len(ids), 9, 5).half(),
        vocabulary_size=len(vocabulary),
        feature_dim=5,
        longest=20,
    )
    trained = train(data, embedding_dim=4, units=6, encoder_dim=4, batch_size=4, epochs=1, log_every=9)
    assert 0 < trained.epochs()[-1]["val_loss"] < 5

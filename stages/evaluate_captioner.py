"""Caption the test images with every decoding, score the captions, draw the attention."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from _common import stage
from ganscribe import config, tracking
from ganscribe.captioning.dataset import read_captions
from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.evaluation import as_seen, caption_images, draw_attention, words_of, write_decoded
from ganscribe.captioning.inference import SavedCaptioner, load_captioner
from ganscribe.captioning.loss import mean_loss
from ganscribe.data import coco
from ganscribe.data.shards import Shards, open_shards
from ganscribe.metrics.captions import caption_statistics, score_captions
from ganscribe.metrics.inception import PREPROCESSING
from ganscribe.runtime import (
    atomic_folder,
    choose_device,
    progress,
    random_stream,
    resolve_precision,
    write_json,
)

MODEL, FEATURES, TOKENS = Path("models/captioner"), Path("data/features"), Path("data/tokens/tokens.parquet")
BATCH_SIZE = 64
# The numbers of `dvc metrics show`; data/captioned/<decoding>.json has all, with what they were made of.
HEADLINE = (
    "BLEU-1",
    "BLEU-2",
    "BLEU-3",
    "BLEU-4",
    "METEOR",
    "ROUGE-L",
    "CIDEr",
    "loss",
    "perplexity",
    "copied",
)


def read_references(shards: Shards) -> dict[int, list[str]]:
    """All captions of each test image that has features, by image id."""
    references: dict[int, list[str]] = {}
    for caption in sorted(coco.read_captions("data/captions/captions.parquet")):
        if caption.split == "test" and caption.image_id in shards.row_of:
            references.setdefault(caption.image_id, []).append(caption.caption)
    if not references:
        raise ValueError("there are no test images with features: raise the last share of captions.split")
    return references


def shared_facts(
    saved: SavedCaptioner, shards: Shards, *, precision: str, device: torch.device
) -> tuple[dict[str, Any], list[list[str]]]:
    """What holds for every decoding, the references' own statistics among it, and training's captions."""
    test = read_captions(TOKENS, split="test", only_kept=False, image_ids=shards.row_of)
    train = read_captions(TOKENS, split="train", only_kept=True, image_ids=shards.row_of)
    training = words_of(train, saved.vocabulary)
    loss = mean_loss(
        saved.model,
        test,
        shards.gather_images,
        batch_size=BATCH_SIZE,
        precision=precision,
        device=device,
    )
    facts = {
        "loss": loss,
        "perplexity": math.exp(loss),
        "references": caption_statistics(words_of(test, saved.vocabulary), training),
        "num_images": len(set(test.image_ids)),
        "num_references": len(test),
        "precision": precision,
    }
    names = ("network", "weights", "weights_sha256", "preprocessing")
    return facts | {name: shards.metadata[name] for name in names}, training


def draw(
    folder: Path,
    found: list[Decoded],
    image_ids: list[int],
    saved: SavedCaptioner,
    shards: Shards,
    count: int,
) -> None:
    """Attention figures of `count` test images, the same ones whatever the captions are."""
    source = config.load("place", "coco")
    images = coco.image_folder(source.source, source.folder, archive=source.archive)
    crop = next(name for name, text in PREPROCESSING.items() if text == shards.metadata["preprocessing"])
    chosen = torch.randperm(len(image_ids), generator=random_stream(0, "captioner", "figures"))[:count]
    with progress(len(chosen), "attention figures", "figure") as bar:
        for index in sorted(chosen.tolist()):
            image_id = image_ids[index]
            image = as_seen(images / shards.file_names[shards.row_of[image_id]], crop=crop)
            draw_attention(
                folder,
                image,
                found[index],
                name=f"{image_id:012d}",
                vocabulary=saved.vocabulary,
                note=f"features: {shards.metadata['weights']}",
            )
            bar.update()


@stage
def main() -> None:
    """Score the captioner on the test split."""
    run, device = config.load("captioner_evaluation"), choose_device()
    precision = resolve_precision(run.precision, device)
    saved, shards = load_captioner(MODEL / "model.pt", device=device), open_shards(FEATURES)
    if saved.features != dict(sorted(shards.metadata.items())):
        raise ValueError(
            "the captioner was trained on other features than those in data/features: run `dvc repro`"
        )
    references = read_references(shards)
    image_ids = list(references)
    facts, training = shared_facts(saved, shards, precision=precision, device=device)

    scores: dict[str, dict[str, Any]] = {}
    with (
        atomic_folder("data/captioned") as captioned,
        atomic_folder("plots/captioner") as plots,
        atomic_folder("metrics/captioner") as metrics,
    ):
        for name, decoding in run.decodings.items():
            found = caption_images(
                saved,
                shards.gather_images,
                image_ids,
                max_length=run.max_length,
                batch_size=BATCH_SIZE,
                precision=precision,
                device=device,
                **asdict(decoding),
            )
            write_decoded(
                captioned / f"{name}.parquet",
                found,
                image_ids=image_ids,
                file_names=[shards.file_names[shards.row_of[image_id]] for image_id in image_ids],
                vocabulary=saved.vocabulary,
            )
            texts = [saved.vocabulary.decode(one.tokens) for one in found]
            scores[name] = {
                **score_captions(references, dict(zip(image_ids, texts, strict=True))),
                **caption_statistics([text.split() for text in texts], training),
                **facts,
            }
            write_json(captioned / f"{name}.json", scores[name])
            write_json(metrics / f"{name}.json", {key: scores[name][key] for key in HEADLINE})
            if name == next(iter(run.decodings)):
                draw(plots, found, image_ids, saved, shards, run.figures)

    key = json.loads((MODEL / "run_key.json").read_text())["run_key"]
    with tracking.reopened_run(key, family="captioner", name="captioner") as tracked:
        tracked.score(scores)
        tracked.log_files("data/captioned", folder="evaluation/captions")
        tracked.log_files("plots/captioner", folder="evaluation/attention")


if __name__ == "__main__":
    main()

"""Caption the test images with every decoding, score the captions, draw the attention."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from _common import stage
from ganscribe import config, records
from ganscribe.captioning.dataset import read_captions, read_references
from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.evaluation import caption_images, words_of, write_decoded
from ganscribe.captioning.figures import as_seen, draw_attention
from ganscribe.captioning.inference import SavedCaptioner, load_captioner
from ganscribe.captioning.loss import mean_loss
from ganscribe.config.stages import Decoding
from ganscribe.core.devices import choose_device, resolve_precision
from ganscribe.core.files import atomic_folder, write_json
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.captions import image_folder
from ganscribe.execution.progress import progress
from ganscribe.features.pictures import crop_of, open_image
from ganscribe.features.shards import Shards, open_shards
from ganscribe.metrics.captions import caption_statistics, score_images
from ganscribe.metrics.intervals import score_intervals

FEATURES, TOKENS = Path("data/features"), Path("data/tokens/tokens.parquet")
CAPTIONS = Path("data/captions/captions.parquet")
BATCH_SIZE = 64
# The numbers of `dvc metrics show`; data/captioned/<run>/<decoding>.json has all and what they are of.
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
    images = image_folder(source.source, source.folder, archive=source.archive)
    crop = crop_of(shards.metadata["preprocessing"])
    chosen = torch.randperm(len(image_ids), generator=random_stream(0, "captioner", "figures"))[:count]
    with progress(len(chosen), "attention figures", "figure") as bar:
        for index in sorted(chosen.tolist()):
            image_id, caption = image_ids[index], found[index]
            draw_attention(
                folder / f"{image_id:012d}.png",
                as_seen(open_image(images / shards.file_names[shards.row_of[image_id]]), crop=crop),
                [saved.vocabulary.words[token] for token in caption.tokens],
                caption.traces.float().cpu().numpy(),
                note=f"features: {shards.metadata['weights']}",
            )
            bar.update()


def decode_all(
    decodings: Mapping[str, Decoding],
    saved: SavedCaptioner,
    shards: Shards,
    image_ids: list[int],
    *,
    max_length: int,
    precision: str,
    device: torch.device,
) -> dict[str, list[Decoded]]:
    """The captions of the images by every decoding."""
    return {
        way: caption_images(
            saved,
            shards.gather_images,
            image_ids,
            max_length=max_length,
            batch_size=BATCH_SIZE,
            precision=precision,
            device=device,
            **asdict(decoding),
        )
        for way, decoding in decodings.items()
    }


@stage
@click.argument("name")
def main(name: str) -> None:
    """Score the captioner NAME on the test split."""
    model = Path("models/captioner", name)
    captioned, plots = Path("data/captioned", name), Path("plots/captioner", name)
    run, device = config.load("captioner_evaluation"), choose_device()
    precision = resolve_precision(run.precision, device)
    saved, shards = load_captioner(model / "model.pt", device=device), open_shards(FEATURES)
    if saved.features != dict(sorted(shards.metadata.items())):
        raise ValueError(
            "the captioner was trained on other features than those in data/features: run `dvc repro`"
        )
    references = read_references(CAPTIONS, split="test", image_ids=shards.row_of)
    if not references:
        raise ValueError("there are no test images with features: raise the last share of captions.split")
    image_ids = list(references)
    facts, training = shared_facts(saved, shards, precision=precision, device=device)

    found = decode_all(
        run.decodings,
        saved,
        shards,
        image_ids,
        max_length=run.max_length,
        precision=precision,
        device=device,
    )
    table = {
        "image_ids": image_ids,
        "file_names": [shards.file_names[shards.row_of[image_id]] for image_id in image_ids],
        "vocabulary": saved.vocabulary,
    }
    # Java may fail or hang: what took long to make is on disk first, without scores.
    with atomic_folder(captioned) as folder:
        for way, decoded in found.items():
            write_decoded(folder / f"{way}.parquet", decoded, **table)
    with atomic_folder(plots) as folder:
        draw(folder, next(iter(found.values())), image_ids, saved, shards, run.figures)

    scores: dict[str, dict[str, Any]] = {}
    for way, decoded in found.items():
        texts = [saved.vocabulary.decode(one.tokens) for one in decoded]
        corpus, per_image = score_images(references, dict(zip(image_ids, texts, strict=True)))
        scores[way] = {
            **corpus,
            "intervals": score_intervals(per_image, seed=run.seed),
            **caption_statistics([text.split() for text in texts], training),
            **facts,
        }
        write_decoded(captioned / f"{way}.parquet", decoded, **table, per_image=per_image)
        write_json(captioned / f"{way}.json", scores[way])

    headline = {way: {key: each[key] for key in HEADLINE} for way, each in scores.items()}
    write_json(Path("metrics/captioner", f"{name}.json"), headline)
    key = json.loads((model / "run_key.json").read_text())["run_key"]
    with records.reopened_run(key, family="captioner", name=name) as tracked:
        tracked.score(scores)
        tracked.log_files(captioned, folder="evaluation/captions")
        tracked.log_files(plots, folder="evaluation/attention")


if __name__ == "__main__":
    main()

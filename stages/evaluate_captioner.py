"""Caption the test images with every decoding, score the captions, draw the attention."""

from __future__ import annotations

from _common import stage

import hashlib
import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch

from ganscribe import config, records
from ganscribe.captioning.dataset import read_references, read_tokenised
from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.evaluation import caption_images, words_of, write_decoded
from ganscribe.captioning.inference import SavedCaptioner, load_captioner
from ganscribe.captioning.loss import mean_loss
from ganscribe.config.stages import Decoding
from ganscribe.core.devices import choose_device, resolve_precision
from ganscribe.core.files import atomic_folder, write_json
from ganscribe.core.length import Length
from ganscribe.core.scores import headline
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.captions import image_folder
from ganscribe.datasets.image_files import read_image_files
from ganscribe.datasets.objects import OBJECTS_FILE, read_main_objects
from ganscribe.drawing.attention import as_seen, draw_attention
from ganscribe.execution.progress import progress
from ganscribe.features.pictures import crop_of, open_image, peak, seen_box
from ganscribe.features.shards import Shards, open_shards
from ganscribe.metrics.caption_scores import CAPTION_SCORES
from ganscribe.metrics.captions import Scored, caption_statistics, score_images
from ganscribe.metrics.intervals import PerImage, score_intervals
from ganscribe.metrics.objects import Target, score_objects

FEATURES, TOKENS = Path("data/features"), Path("data/tokens/tokens.parquet")
CAPTIONS = Path("data/captions/captions.parquet")
OBJECTS = CAPTIONS.with_name(OBJECTS_FILE)
IMAGES = Path("data/coco/images.parquet")
BATCH_SIZE = 64


@dataclass(frozen=True)
class Exam:
    """The captioner that is scored, and the test images that it is scored on."""

    saved: SavedCaptioner
    shards: Shards
    references: dict[int, list[str]]  # all captions of each test image
    length: Length  # of its training
    precision: str
    device: torch.device

    @property
    def image_ids(self) -> list[int]:
        """The test images, in the order of every table."""
        return list(self.references)

    @property
    def file_names(self) -> list[str]:
        """The names of the test images' files."""
        return [self.shards.file_names[self.shards.row_of[image_id]] for image_id in self.references]


def open_exam(model: Path, *, precision: str) -> Exam:
    """Open a trained captioner and the features of the test images.

    Raises ValueError where the captioner was trained on other features, or where there are no test images.
    """
    device = choose_device()
    saved, shards = load_captioner(model, device=device), open_shards(FEATURES)
    if saved.features != dict(sorted(shards.metadata.items())):
        raise ValueError(
            "the captioner was trained on other features than those in data/features: run `dvc repro`"
        )
    references = read_references(CAPTIONS, split="test", image_ids=shards.row_of)
    if not references:
        raise ValueError("there are no test images with features: raise the last share of captions.split")
    length = Length.read(json.loads(model.with_name("training.json").read_text()))
    return Exam(saved, shards, references, length, resolve_precision(precision, device), device)


def data_sha256(references: Mapping[int, list[str]]) -> str:
    """Return a digest of the pictures that a captioner is scored on, and of their references.

    Raises ValueError where the list of pictures lacks one of them.
    """
    pictures = {file.image_id: file.sha256 for file in read_image_files(IMAGES)}
    missing = references.keys() - pictures.keys()
    if missing:
        raise ValueError(f"{IMAGES} does not list image {min(missing)}: run `dvc repro -f fetch_images`")
    scored = [(image_id, pictures[image_id], texts) for image_id, texts in sorted(references.items())]
    return hashlib.sha256(json.dumps(scored).encode()).hexdigest()


def shared_facts(exam: Exam) -> tuple[dict[str, Any], list[list[str]]]:
    """Return what holds for every decoding, the references' own statistics included, and training's captions."""
    saved, shards = exam.saved, exam.shards
    test = read_tokenised(TOKENS, split="test", only_kept=False, image_ids=shards.row_of)
    train = read_tokenised(TOKENS, split="train", only_kept=True, image_ids=shards.row_of)
    training = words_of(train, saved.vocabulary)
    loss = mean_loss(
        saved.model,
        test,
        shards.gather_images,
        batch_size=BATCH_SIZE,
        precision=exam.precision,
        device=exam.device,
    )
    facts = {
        "loss": loss,
        "perplexity": math.exp(loss),
        "references": caption_statistics(words_of(test, saved.vocabulary), training),
        "num_images": len(set(test.image_ids)),
        "num_references": len(test),
        "tokeniser": saved.vocabulary.tokeniser,
        "data_sha256": data_sha256(exam.references),
        "precision": exam.precision,
        **exam.length.scores,
    }
    names = ("network", "weights", "weights_sha256", "preprocessing")
    return facts | {name: shards.metadata[name] for name in names}, training


def draw(folder: Path, exam: Exam, found: list[Decoded], *, count: int) -> None:
    """Draw the attention on `count` test images, the same ones whatever the captions are."""
    source, shards, image_ids = config.load("place", "coco"), exam.shards, exam.image_ids
    images = image_folder(source.source, source.folder, archive=source.archive)
    crop = crop_of(shards.metadata["preprocessing"])
    chosen = torch.randperm(len(image_ids), generator=random_stream(0, "captioner", "figures"))[:count]
    with progress(len(chosen), "attention figures", "figure") as bar:
        for index in sorted(chosen.tolist()):
            image_id, caption = image_ids[index], found[index]
            draw_attention(
                folder / f"{image_id:012d}.png",
                as_seen(open_image(images / shards.file_names[shards.row_of[image_id]]), crop=crop),
                [exam.saved.vocabulary.words[token] for token in caption.tokens],
                caption.attention.float().cpu().numpy(),
                reference=exam.references[image_id][0],
                note="; ".join(filter(None, [f"features: {shards.metadata['weights']}", exam.length.note])),
            )
            bar.update()


def decode_all(exam: Exam, decodings: Mapping[str, Decoding], *, max_length: int) -> dict[str, list[Decoded]]:
    """Return the captions of the test images by every decoding."""
    return {
        way: caption_images(
            exam.saved,
            exam.shards.gather_images,
            exam.image_ids,
            max_length=max_length,
            batch_size=BATCH_SIZE,
            precision=exam.precision,
            **asdict(decoding),
        )
        for way, decoding in decodings.items()
    }


def write_table(path: Path, exam: Exam, decoded: list[Decoded], per_image: PerImage | None = None) -> None:
    """Write the captions of the test images by one decoding."""
    write_decoded(
        path,
        decoded,
        image_ids=exam.image_ids,
        file_names=exam.file_names,
        vocabulary=exam.saved.vocabulary,
        per_image=per_image,
    )


def score_naming(exam: Exam, decoded: list[Decoded]) -> tuple[dict[str, float], PerImage]:
    """Return the scores that go by what is on the images, and what each adds; nothing where that is not known."""
    if not OBJECTS.exists():
        return {}, {}
    known, crop = read_main_objects(OBJECTS), crop_of(exam.shards.metadata["preprocessing"])
    targets, captions, peaks = [], [], []
    for image_id, one in zip(exam.image_ids, decoded, strict=True):
        if image_id not in known:
            raise ValueError(
                f"{OBJECTS} has no object on image {image_id}: run `dvc repro -f select_captions`"
            )
        main = known[image_id]
        box = main.left, main.top, main.left + main.width, main.top + main.height
        targets.append(Target(main.colour, main.shape, box))
        captions.append([exam.saved.vocabulary.words[token] for token in one.tokens])
        seen = seen_box(main.image_width, main.image_height, crop=crop)
        peaks.append([peak(cells, seen) for cells in one.attention.tolist()])
    scores, named = score_objects(targets, captions, peaks)
    return scores, {"object_accuracy": named}


def judge(exam: Exam, found: Mapping[str, list[Decoded]]) -> dict[str, Scored]:
    """Return the scores of the captions of every decoding by the COCO evaluation, most of whose work is Java's."""
    vocabulary = exam.saved.vocabulary
    captions = {
        way: {
            image_id: vocabulary.decode(one.tokens)
            for image_id, one in zip(exam.image_ids, decoded, strict=True)
        }
        for way, decoded in found.items()
    }
    return score_images(exam.references, captions, split=vocabulary.scoring_split)


def score_all(
    folder: Path,
    exam: Exam,
    found: dict[str, list[Decoded]],
    judged: dict[str, Scored],
    shared: tuple[dict[str, Any], list[list[str]]],
    *,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Put every score of every decoding together, and write the captions to `folder` again, with the scores."""
    facts, training = shared
    scores: dict[str, dict[str, Any]] = {}
    for way, decoded in found.items():
        corpus, per_image = judged[way]
        naming, named = score_naming(exam, decoded)
        per_image |= named
        words = [exam.saved.vocabulary.decode(one.tokens).split() for one in decoded]
        scores[way] = {
            **corpus,
            **naming,
            "intervals": score_intervals(per_image, seed=seed),
            **caption_statistics(words, training),
            **facts,
        }
        write_table(folder / f"{way}.parquet", exam, decoded, per_image)
        write_json(folder / f"{way}.json", scores[way])
    return scores


@stage
@click.argument("name")
def main(name: str) -> None:
    """Score the captioner NAME on the test split."""
    model = Path("models/captioner", name)
    captioned, plots = Path("data/captioned", name), Path("plots/captioner", name)
    run = config.load("captioner_evaluation")
    exam = open_exam(model / "model.safetensors", precision=run.precision)
    found = decode_all(exam, run.decodings, max_length=run.max_length)
    # Java may fail or hang: what took long to make is on disk first, without scores.
    with atomic_folder(captioned) as folder:
        for way, decoded in found.items():
            write_table(folder / f"{way}.parquet", exam, decoded)
    with ThreadPoolExecutor(1) as pool:
        judged = pool.submit(judge, exam, found)
        with atomic_folder(plots) as folder:
            draw(folder, exam, next(iter(found.values())), count=run.figures)
        shared = shared_facts(exam)
    scores = score_all(captioned, exam, found, judged.result(), shared, seed=run.seed)

    first = next(iter(scores.values()))
    write_json(Path("metrics/captioner", f"{name}.json"), headline(CAPTION_SCORES, first))
    key = json.loads((model / "run_key.json").read_text())["run_key"]
    with records.reopened_run(key, family="captioner", name=name) as tracked:
        tracked.score(scores)
        tracked.log_files(captioned, folder="evaluation/captions")
        tracked.log_files(plots, folder="evaluation/attention")


if __name__ == "__main__":
    main()

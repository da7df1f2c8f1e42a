"""Score one GAN by every judge of its data set; one that was only exercised by the first alone."""

from __future__ import annotations

from _common import stage

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from ganscribe import config, records
from ganscribe.config.stages import GanEvaluation
from ganscribe.convnets import load_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, file_sha256, write_csv, write_json
from ganscribe.core.length import Length
from ganscribe.core.scores import headline
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.images import Images, read_images
from ganscribe.drawing.plots import save_grid, save_image_rows
from ganscribe.gan.common.sampling import load_generator
from ganscribe.metrics.gan.images import (
    Extractor,
    classifier_extractor,
    inception_extractor,
    judge_images,
    nearest_neighbours,
)
from ganscribe.metrics.gan.scores import GAN_SCORES, Scored, score_gan
from ganscribe.metrics.gan.snapshots import score_snapshots
from ganscribe.sources.acquire import open_raw

JUDGES = Path("data/judges")
SHOWN, COLUMNS = 100, 10
WITH_NEIGHBOURS, NEIGHBOURS = 8, 5


@dataclass(frozen=True)
class ImageSets:
    """What is compared: the generated images, the real ones, and other real ones for the floor.

    `length`: how far the GAN that generated was trained.
    """

    generated: Tensor
    reference: Images
    other_real: Tensor
    training: Tensor
    has_every_class: bool
    length: Length


def read_training(model: Path) -> dict[str, Any]:
    """Return how the model in a folder was trained."""
    return dict(json.loads((model / "training.json").read_text()))


def collect_images(model: Path, run: GanEvaluation) -> ImageSets:
    """Draw the samples, and read the images that they are held against.

    A run on chosen classes is scored against the images that it was trained on: the test file has too few.
    """
    recipe = read_training(model)["recipe"]
    classes, folder = recipe["classes"], Path("data", recipe["dataset"])
    parts = [read_images(folder / f"{split}.parquet", classes) for split in recipe["splits"]]
    training, test = torch.cat([part.images for part in parts]), read_images(folder / "test.parquet", classes)
    reference, other_real = test, training
    if classes is not None:
        labels, rows = (torch.cat([getattr(part, key) for part in parts]) for key in ("labels", "rows"))
        reference = Images(training, labels, rows, test.class_names, test.dataset, test.source)
        other_real = test.images
    chosen = torch.randperm(len(other_real), generator=random_stream(run.seed, "gan", "floor"))
    samples = load_generator(model / "generator.safetensors").sample(
        run.num_samples, seed=run.seed, device=choose_device()
    )
    compared = other_real[chosen[: run.num_samples]]
    length = Length.read(read_training(model))
    absent = sorted(set(range(len(test.class_names))) - set(reference.labels.tolist()))
    if absent and classes is None:
        named = ", ".join(test.class_names[label] for label in absent)
        click.echo(
            f"Warning: there are no modes and no kl, since no test image of {recipe['dataset']} is of class {named}:"
            " add such images, or train the run on the other classes (`classes` in its block)",
            err=True,
        )
    return ImageSets(samples, reference, compared, training, not absent, length)


def judges_of(dataset: str, names: tuple[str, ...]) -> list[str]:
    """Return those judges that are trained on `dataset`, in the order of `names`.

    The folder of a classifier that judges no longer lists is deleted: DVC would take it for an input.
    """
    for folder in JUDGES.glob("*/"):
        if folder.name not in names:
            shutil.rmtree(folder)
    return [name for name in names if read_training(JUDGES / name)["recipe"]["dataset"] == dataset]


def find_weights() -> Path | None:
    """Return the file of the FID Inception network's weights, where the source has one."""
    source = config.load("place", "fid_inception")
    raw = open_raw("fid_inception", "data/raw/fid_inception", folder=source.folder)
    return raw.path(next(iter(raw.files))) if raw.files else None


def by_inception(images: ImageSets, weights: Path | None, seed: int) -> Scored | None:
    """Return what the FID Inception network says of the images, where its weights are."""
    if weights is None:
        return None
    extractor = inception_extractor(weights, choose_device())
    real, generated = (judge_images(part, extractor) for part in (images.reference.images, images.generated))
    return Scored(real, generated, seed=seed)


@dataclass(frozen=True)
class Verdict:
    """What one judge says of the images."""

    judge: str
    model: Path
    extractor: Extractor
    scored: Scored

    def scores(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the scores, with what they were made of."""
        named = {"judge": self.judge, "judge_sha256": file_sha256(self.model)}
        return score_gan(self.scored) | facts | named


def ask(judge: str, images: ImageSets, *, seed: int, is_first: bool, weights: Path | None) -> Verdict:
    """Have a judge look at the images. The scores that depend on no judge are the first one's."""
    model = JUDGES / judge / "model.safetensors"
    extractor = classifier_extractor(load_classifier(model).to(choose_device()))
    scored = Scored(
        judge_images(images.reference.images, extractor, f"real images, {judge}"),
        judge_images(images.generated, extractor, f"generated images, {judge}"),
        seed=seed,
        pixels=(images.reference.images, images.generated) if is_first else None,
        real_labels=images.reference.labels if images.has_every_class else None,
        floor=judge_images(images.other_real, extractor, f"other real images, {judge}"),
        inception=by_inception(images, weights, seed) if is_first else None,
        length=images.length,
    )
    return Verdict(judge, model, extractor, scored)


def facts_of(images: ImageSets, weights: Path | None) -> dict[str, Any]:
    """Return what the scores were made of, whoever judges."""
    reference = images.reference
    real = hashlib.sha256(reference.images.numpy().tobytes() + reference.labels.numpy().tobytes())
    facts: dict[str, Any] = {"num_real": len(reference.images), "num_floor": len(images.other_real)}
    facts |= {"resize": "none", "dataset": reference.dataset, "source": reference.source}
    facts |= {"data_sha256": real.hexdigest()}
    facts |= images.length.facts
    if weights is None:
        return facts | {"inception": "not available (no weights: sources.fid_inception is none)"}
    resize = "bilinear as in TensorFlow 1, to 299"
    return facts | {"inception": file_sha256(weights), "inception_resize": resize}


def class_shares(scored: Scored, class_names: list[str]) -> list[dict[str, Any]]:
    """Return the share of each class; of a run on chosen classes none is known."""
    unknown = [None] * len(class_names)
    made = scored.coverage.generated_shares.tolist() if scored.coverage else unknown
    real = scored.coverage.real_shares.tolist() if scored.coverage else unknown
    shares = zip(class_names, made, real, strict=True)
    return [{"class": name, "generated": one, "real": other} for name, one, other in shares]


def nearest(rows: Tensor, distances: Tensor) -> list[dict[str, Any]]:
    """Return the training image that is nearest to each sample shown, and how far it is, in grey levels."""
    pairs = zip(rows[:, 0].tolist(), distances[:, 0].tolist(), strict=True)
    return [
        {"sample": number, "training_image": row, "distance": distance}
        for number, (row, distance) in enumerate(pairs)
    ]


def draw(folder: Path, name: str, images: ImageSets, neighbours: Tensor) -> None:
    """Draw samples, and some of them beside the nearest training images."""
    title = images.length.title(name)
    first = images.training[neighbours[:WITH_NEIGHBOURS]]
    with atomic_folder(folder) as temporary:
        save_grid(images.generated[:SHOWN], temporary / "samples.png", columns=COLUMNS, title=title)
        save_image_rows(images.generated[: len(first)], first, temporary / "neighbours.png", title=title)


@stage
@click.argument("name")
def main(name: str) -> None:
    """Score the GAN run NAME of params.yaml."""
    run, model = config.load("gan_evaluation"), Path("models/gan", name)
    images, weights = collect_images(model, run), find_weights()
    judges = judges_of(images.reference.dataset, run.judges)
    verdicts = [
        ask(judge, images, seed=run.seed, is_first=number == 0, weights=weights)
        for number, judge in enumerate(judges[:1] if images.length.is_exercised else judges)
    ]
    scores = [verdict.scores(facts_of(images, weights)) for verdict in verdicts]
    first = verdicts[0]
    snapshots = score_snapshots(
        model / "snapshots",
        first.scored.real.features,
        first.extractor,
        num_samples=run.snapshot_samples,
        seed=run.seed,
        device=choose_device(),
    )
    neighbours, distances = nearest_neighbours(images.generated[:SHOWN], images.training, count=NEIGHBOURS)

    with atomic_folder(Path("data/gan_scores", name)) as folder:
        write_json(folder / "scores.json", scores[0])
        columns = ["judge", "judge_sha256", *(score.name for score in GAN_SCORES)]
        shared = [column for column in columns if all(column in each for each in scores)]
        write_csv(folder / "judges.csv", [{column: each[column] for column in shared} for each in scores])
        write_csv(folder / "snapshots.csv", snapshots)
        write_csv(folder / "classes.csv", class_shares(first.scored, images.reference.class_names))
        write_csv(folder / "neighbours.csv", nearest(neighbours, distances))
    draw(Path("plots/gan_scores", name), name, images, neighbours)
    write_json(f"metrics/gan/{name}.json", headline(GAN_SCORES, scores[0]))
    key = json.loads((model / "run_key.json").read_text())["run_key"]
    with records.reopened_run(key, family="gan", name=name) as tracked:
        for number, each in enumerate(scores):
            tracked.score(each, is_further=number > 0)
        tracked.log_files(Path("data/gan_scores", name), folder="evaluation")
        tracked.log_files(Path("plots/gan_scores", name), folder="evaluation")


if __name__ == "__main__":
    main()

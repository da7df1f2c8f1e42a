"""Score one GAN with the judge of its data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from _common import stage
from ganscribe import config, records
from ganscribe.config.stages import GanEvaluation
from ganscribe.convnets import load_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, file_sha256, write_csv, write_json
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.images import Images, read_images
from ganscribe.drawing.plots import save_grid, save_image_rows
from ganscribe.gan.sampling import load_generator
from ganscribe.metrics.images import (
    Coverage,
    class_coverage,
    classifier_extractor,
    frechet_distance,
    inception_extractor,
    judge_images,
    nearest_neighbours,
    score_images,
    score_judged,
    sliced_wasserstein,
)

# The numbers of `dvc metrics show`; scores.json beside the pictures has all, with judge, checksum and counts.
HEADLINE = ("fid", "kid", "is", "precision", "recall", "modes", "kl", "swd", "floor_fid", "num_samples")
HEADLINE += ("fid_inception", "kid_inception", "isc_inception")  # where the network's weights are
SHOWN, COLUMNS = 100, 10
WITH_NEIGHBOURS, NEIGHBOURS = 8, 5
# torch-fidelity's own weights, where an earlier download (or a person) has put them.
FID_INCEPTION = "checkpoints/weights-inception-2015-12-05-6726825d.pth"


def judge_scores(
    run: GanEvaluation, reference: Images, other_real: Tensor, samples: Tensor
) -> tuple[dict[str, Any], Coverage | None]:
    """The scores by the judge's features and labels, and the floor: other real images against the same."""
    path = Path("models/classifiers", run.dataset, run.judge, "model.pt")
    extractor = classifier_extractor(load_classifier(path).to(choose_device()))
    real = judge_images(reference.images, extractor, "real images")
    generated = judge_images(samples, extractor, "generated images")
    floor = judge_images(other_real, extractor, "other real images")
    scores: dict[str, Any] = score_judged(real, generated, seed=run.seed)
    coverage = None
    if run.classes is None:  # a run on chosen classes has no modes to miss
        labels = generated.logits.argmax(1)
        coverage = class_coverage(labels, reference.labels, len(reference.class_names))
        scores |= {"modes": coverage.modes, "kl": coverage.kl}
    scores["swd"] = sliced_wasserstein(reference.images, samples, seed=run.seed)
    scores["floor_fid"] = frechet_distance(real.features, floor.features)
    scores |= {"num_samples": len(samples), "num_real": len(reference.images), "num_floor": len(other_real)}
    scores |= {"judge": run.judge, "judge_sha256": file_sha256(path), "resize": "none"}
    return scores | {"dataset": reference.dataset, "source": reference.source}, coverage


def inception_scores(run: GanEvaluation, reference: Images, samples: Tensor) -> dict[str, Any]:
    """The same by the FID Inception network, where its weights are: the file that the parameters name, else
    what torch's hub cache has. Without: why not."""
    path = Path(run.fid_inception or Path(torch.hub.get_dir(), FID_INCEPTION))
    if run.fid_inception and not path.exists():
        raise FileNotFoundError(
            f"gan.fid_inception: {path} is missing: put torch-fidelity's file there, or null"
        )
    if not path.exists():
        return {"inception": "not available (no weights: gan.fid_inception in params.yaml names none)"}
    scores = score_images(reference.images, samples, inception_extractor(path), seed=run.seed)
    scores["isc"] = scores.pop("is")
    facts = {"inception": file_sha256(path), "inception_resize": "bilinear as in TensorFlow 1, to 299"}
    return {f"{key}_inception": value for key, value in scores.items()} | facts


def draw(
    folder: Path,
    samples: Tensor,
    training: Tensor,
    coverage: Coverage | None,
    class_names: list[str],
    scores: dict[str, Any],
) -> None:
    shown = samples[:WITH_NEIGHBOURS]
    rows, _ = nearest_neighbours(shown, training, count=NEIGHBOURS)
    with atomic_folder(folder) as temporary:
        write_json(temporary / "scores.json", scores)
        save_grid(samples[:SHOWN], temporary / "samples.png", columns=COLUMNS)
        save_image_rows(shown, training[rows], temporary / "neighbours.png")
        unknown = [None] * len(class_names)  # a run on chosen classes has no shares; DVC wants the file
        made = coverage.generated_shares.tolist() if coverage else unknown
        real = coverage.real_shares.tolist() if coverage else unknown
        shares = zip(class_names, made, real, strict=True)
        table = [{"class": name, "generated": one, "real": other} for name, one, other in shares]
        write_csv(temporary / "classes.csv", table)


@stage
@click.argument("name")
def main(name: str) -> None:
    """Score the GAN run NAME of params.yaml."""
    run = config.load("gan_evaluation", name)
    folder, plots = Path("models/gan", name), Path("plots/gan_scores", name)
    saved = load_generator(folder / "generator.pt")
    samples = saved.sample(run.num_samples, seed=run.seed, device=choose_device())
    parts = [read_images(f"data/{run.dataset}/{split}.parquet", run.classes) for split in run.splits]
    training = torch.cat([part.images for part in parts])
    test = read_images(f"data/{run.dataset}/test.parquet", run.classes)

    # A run on chosen classes is scored against the images it was trained on: the test file has too few.
    reference, other_real = test, training
    if run.classes is not None:
        labels, rows = (torch.cat([getattr(part, key) for part in parts]) for key in ("labels", "rows"))
        reference = Images(training, labels, rows, test.class_names, test.dataset, test.source)
        other_real = test.images
    chosen = torch.randperm(len(other_real), generator=random_stream(run.seed, "gan", "floor"))
    scores, coverage = judge_scores(run, reference, other_real[chosen[: run.num_samples]], samples)
    scores |= inception_scores(run, reference, samples)

    write_json(f"metrics/gan/{name}.json", {key: scores[key] for key in HEADLINE if key in scores})
    draw(plots, samples, training, coverage, test.class_names, scores)
    key = json.loads((folder / "run_key.json").read_text())["run_key"]
    with records.reopened_run(key, family="gan", name=name) as tracked:
        tracked.score(scores)
        tracked.log_files(plots, folder="evaluation")


if __name__ == "__main__":
    main()

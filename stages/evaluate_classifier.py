"""Score one classifier on its test images."""

from __future__ import annotations

from _common import stage

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from ganscribe import config, records
from ganscribe.convnets import load_classifier
from ganscribe.convnets.common.evaluation import Evaluation, evaluate_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, write_csv, write_json
from ganscribe.core.length import Length
from ganscribe.core.scores import headline
from ganscribe.datasets.images import Images, read_images
from ganscribe.drawing.plots import save_confusion, save_labelled
from ganscribe.metrics.classifier_scores import CLASSIFIER_SCORES

COLUMNS = 5  # of the square of worst mistakes, which has as many rows at most


def data_sha256(test: Images) -> str:
    """Return a digest of the images that a classifier is scored on, and of their labels."""
    return hashlib.sha256(test.images.numpy().tobytes() + test.labels.numpy().tobytes()).hexdigest()


def draw(folder: Path, test: Images, evaluation: Evaluation, scores: dict[str, Any], *, label: str) -> None:
    """Write the scores, the confusion matrix (table, picture), and of the images that were taken for another class
    those that got the least probability for their own."""
    names, labels = test.class_names, test.labels.tolist()
    predicted = evaluation.probabilities.argmax(1).tolist()
    own = evaluation.probabilities.gather(1, test.labels[:, None])[:, 0]
    order = own.argsort(stable=True).tolist()
    worst = [index for index in order if predicted[index] != labels[index]][: COLUMNS**2]
    pairs = [
        {"actual": names[label], "predicted": names[guess]}
        for label, guess in zip(labels, predicted, strict=True)
    ]
    mistakes = [
        {"row": int(test.rows[index]), **pairs[index], "probability_of_actual": float(own[index])}
        for index in worst
    ]
    with atomic_folder(folder) as temporary:
        write_json(temporary / "scores.json", scores)
        write_csv(temporary / "confusion.csv", pairs)
        if worst:
            write_csv(temporary / "mistakes.csv", mistakes)
            named = [f"{pairs[index]['actual']}, taken for {pairs[index]['predicted']}" for index in worst]
            save_labelled(test.images[worst], named, temporary / "mistakes.png", COLUMNS)
        save_confusion(evaluation.confusion, temporary / "confusion.png", names, title=label)


@stage
@click.argument("name")
@click.option("--home", type=Path, default=".", help="Where metrics/ and plots/ are.")
def main(name: str, home: Path) -> None:
    """Score the classifier NAME of params.yaml on its test images."""
    run = config.load("classifier_evaluation", name)
    folder = Path("models/classifiers", name)
    plots = home / "plots/classifiers" / name
    test = read_images(f"data/{run.dataset}/test.parquet")
    model = load_classifier(folder / "model.safetensors")
    evaluation = evaluate_classifier(model, test.images, test.labels, device=choose_device())
    training = json.loads((folder / "training.json").read_text())
    length = Length.read(training)
    scores = {
        "accuracy": evaluation.accuracy,
        "error": evaluation.error,
        "nll": evaluation.nll,
        "calibration_error": evaluation.calibration_error,
        **length.scores,
        "parameters": training["num_parameters"],
        "flops": training["flops"],
        "num_images": len(test.images),
        "dataset": test.dataset,
        "source": test.source,
        "data_sha256": data_sha256(test),
    }
    write_json(home / f"metrics/classifiers/{name}.json", headline(CLASSIFIER_SCORES, scores))
    draw(plots, test, evaluation, scores, label=length.label(name))
    key = json.loads((folder / "run_key.json").read_text())["run_key"]
    with records.reopened_run(key, family="classifier", name=name) as tracked:
        tracked.score(scores)
        tracked.log_files(plots, folder="evaluation")


if __name__ == "__main__":
    main()

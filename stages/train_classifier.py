"""Train one classifier."""

from __future__ import annotations

from _common import stage

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ganscribe import config, records
from ganscribe.convnets.common.building import CONVNETS
from ganscribe.convnets.common.training import TrainedClassifier, train_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, write_csv, write_json
from ganscribe.core.length import Length
from ganscribe.core.weights import save_weights
from ganscribe.datasets.images import Images, read_images
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.execution.engines.training import train
from ganscribe.records.lineage.run_key import run_key
from ganscribe.training.cost import count_flops, count_parameters


def save(
    folder: Path, name: str, key: str, params: dict[str, Any], images: Images, trained: TrainedClassifier
) -> None:
    """Write the network, and beside it how it was trained and the key of its run."""
    shape = tuple(images.images.shape[1:])
    model = {
        "network": params["network"],
        "options": params["options"],
        "num_classes": len(images.class_names),
        "classes": images.class_names,
        "image_shape": list(shape),
    }
    last = trained.history[-1]
    facts = {
        "source": images.source,
        "num_images": len(images.images),
        "precision": trained.precision,
        **Length(trained.updates, trained.recipe_updates).facts,
        "updates": trained.updates,
        "num_parameters": count_parameters(trained.model),
        "flops": count_flops(trained.model, shape),
        "val_accuracy": last["val_accuracy"],
        "recipe": params,
    }
    with atomic_folder(folder) as temporary:
        save_weights(temporary / "model.safetensors", trained.model.state_dict(), model)
        write_json(temporary / "training.json", facts)
        write_json(temporary / "run_key.json", {"family": "classifier", "name": name, "run_key": key})


@stage
@click.argument("name")
@click.option("--home", type=Path, default=".", help="Where curves/ is.")
def main(name: str, home: Path) -> None:
    """Train the classifier NAME of params.yaml."""
    run = config.load("classifier", name)
    recipe, params = run.recipe, asdict(run.recipe) | asdict(run.budget)
    inputs = [f"data/{recipe.dataset}/{split}.parquet" for split in ("train", "val")]
    folder = Path("models/classifiers", name)
    curve = home / f"curves/classifiers/{name}.csv"
    network = CONVNETS.file(recipe.network)
    key = run_key(Path(__file__), params, [Path(path) for path in inputs], chosen=[network])
    training, validation = (read_images(path) for path in inputs)
    with (
        open_checkpoint(key) as checkpoint,
        records.training_run(
            family="classifier", name=name, run_key=key, params=params, inputs=inputs
        ) as tracked,
    ):
        trained = train(
            train_classifier,
            training,
            validation,
            recipe,
            budget=run.budget,
            device=choose_device(),
            checkpoint=checkpoint,
            log=tracked.log,
        )
        save(folder, name, key, params, training, trained)
        write_csv(curve, trained.history)
        tracked.log_files(curve, folder="curves")
        tracked.log_model("classifier", folder / "model.safetensors")


if __name__ == "__main__":
    main()

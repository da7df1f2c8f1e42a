"""Train the attention captioner."""

from __future__ import annotations

from _common import stage

from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import Any

import click

from ganscribe import config, records
from ganscribe.captioning.dataset import CaptionerData, longest_caption, read_references, read_tokenised
from ganscribe.captioning.inference import save_captioner
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.state import TrainedCaptioner
from ganscribe.captioning.training import train_captioner
from ganscribe.captioning.validation import greedy_cider
from ganscribe.config.stages import CaptionerRun
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, write_csv, write_json
from ganscribe.core.length import Length
from ganscribe.datasets.tokens import Vocabulary, read_vocabulary
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.execution.engines.training import train
from ganscribe.features.shards import Shards, open_shards
from ganscribe.records.lineage.run_key import run_key
from ganscribe.training.cost import count_parameters

TOKENS, FEATURES = Path("data/tokens"), Path("data/features")
CAPTIONS = Path("data/captions/captions.parquet")


def read_data(recipe: CaptionerRecipe, vocabulary: Vocabulary, shards: Shards) -> CaptionerData:
    """Read what the captioner is trained on; captions of rejected images are dropped by their image's id."""
    table = TOKENS / "tokens.parquet"
    train_set, val_set = (
        read_tokenised(table, split=split, only_kept=True, image_ids=shards.row_of)
        for split in ("train", "val")
    )
    longest, val_cider = longest_caption(table), None
    references = read_references(CAPTIONS, split="val", image_ids=shards.row_of)
    if recipe.early_stopping is not None and references:
        val_cider = greedy_cider(
            references,
            shards.gather_images,
            vocabulary=vocabulary,
            max_length=longest,
            batch_size=recipe.batch_size,
        )
    return CaptionerData(
        train=train_set,
        val=val_set,
        features=shards.gather_images,
        vocabulary_size=len(vocabulary),
        feature_dim=shards.shape[-1],
        longest=longest,
        val_cider=val_cider,
    )


def measure(trained: TrainedCaptioner, data: CaptionerData, run: CaptionerRun) -> Length:
    """Return how far the training went. One that the recipe itself has stopped early is whole."""
    whole = run.recipe.epochs * ceil(len(data.train) / run.recipe.batch_size)
    is_capped = trained.step == run.budget.max_updates
    return Length(trained.step, whole if is_capped else trained.step)


def save(
    folder: Path,
    trained: TrainedCaptioner,
    data: CaptionerData,
    *,
    vocabulary: Vocabulary,
    features: dict[str, str],
    recipe: dict[str, Any],
    length: Length,
    run: dict[str, str],
) -> None:
    """Write the captioner, what its training was, and the `run` that it belongs to."""
    facts = {
        "precision": trained.precision,
        **length.facts,
        "updates": trained.step,
        "kept_step": trained.kept_step,
        "train_captions": len(data.train),
        "train_images": len(set(data.train.image_ids)),
        "val_captions": len(data.val),
        "vocabulary_size": len(vocabulary),
        "longest_caption": data.longest,
        "num_parameters": count_parameters(trained.model),
        "features": features["weights"],
        "recipe": recipe,
    }
    with atomic_folder(folder) as temporary:
        save_captioner(
            temporary / "model.safetensors",
            options=trained.options,
            vocabulary=vocabulary,
            features=features,
            state_dict=trained.model.state_dict(),
        )
        write_json(temporary / "training.json", facts)
        write_json(temporary / "run_key.json", run)


@stage
@click.argument("name")
def main(name: str) -> None:
    """Train the captioner NAME of params.yaml."""
    run, device = config.load("captioner", name), choose_device()
    folder, curve = Path("models/captioner", name), Path("curves/captioner", f"{name}.csv")
    params = asdict(run.recipe) | asdict(run.budget)
    key = run_key(Path(__file__), params, [TOKENS, FEATURES, CAPTIONS])
    vocabulary, shards = read_vocabulary(TOKENS / "vocabulary.json"), open_shards(FEATURES)
    data = read_data(run.recipe, vocabulary, shards)
    with (
        open_checkpoint(key) as checkpoint,
        records.training_run(
            family="captioner",
            name=name,
            run_key=key,
            params=params | {"features": shards.metadata},
            inputs=[str(TOKENS / "tokens.parquet"), str(FEATURES)],
        ) as tracked,
    ):
        trained = train(
            train_captioner,
            data,
            run.recipe,
            budget=run.budget,
            device=device,
            checkpoint=checkpoint,
            log=tracked.log,
        )
        save(
            folder,
            trained,
            data,
            vocabulary=vocabulary,
            features=shards.metadata,
            recipe=params,
            length=measure(trained, data, run),
            run={"family": "captioner", "name": name, "run_key": key},
        )
        write_csv(curve, trained.epochs())
        tracked.log_files(curve, folder="curves")
        tracked.log_model(
            "captioner", folder / "model.safetensors", inception=FEATURES / "inception.safetensors"
        )


if __name__ == "__main__":
    main()

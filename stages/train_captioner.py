"""Train the attention captioner."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from _common import stage
from ganscribe import config, records
from ganscribe.captioning.dataset import CaptionSet, longest_caption, read_captions, read_references
from ganscribe.captioning.inference import save_captioner
from ganscribe.captioning.state import TrainedCaptioner
from ganscribe.captioning.training import train_captioner
from ganscribe.captioning.validation import greedy_cider
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, write_csv, write_json
from ganscribe.datasets.tokens import Vocabulary, read_vocabulary
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.execution.engines.training import train
from ganscribe.features.shards import Shards, open_shards
from ganscribe.records.lineage.run_key import run_key
from ganscribe.training.cost import count_parameters

TOKENS, FEATURES = Path("data/tokens"), Path("data/features")
CAPTIONS = Path("data/captions/captions.parquet")


def save(
    folder: Path,
    name: str,
    key: str,
    trained: TrainedCaptioner,
    *,
    vocabulary: Vocabulary,
    shards: Shards,
    splits: dict[str, CaptionSet],
    longest: int,
    recipe: dict[str, Any],
) -> None:
    facts = {
        "precision": trained.precision,
        "updates": trained.step,
        "kept_step": trained.kept_step,
        "train_captions": len(splits["train"]),
        "train_images": len(set(splits["train"].image_ids)),
        "val_captions": len(splits["val"]),
        "vocabulary_size": len(vocabulary),
        "longest_caption": longest,
        "num_parameters": count_parameters(trained.model),
        "features": shards.metadata["weights"],
        "recipe": recipe,
    }
    with atomic_folder(folder) as temporary:
        save_captioner(
            temporary / "model.pt",
            options=trained.options,
            vocabulary=vocabulary,
            features=shards.metadata,
            state_dict=trained.model.state_dict(),
        )
        write_json(temporary / "training.json", facts)
        write_json(temporary / "run_key.json", {"family": "captioner", "name": name, "run_key": key})


@stage
@click.argument("name")
def main(name: str) -> None:
    """Train the captioner NAME of params.yaml."""
    run, device = config.load("captioner", name), choose_device()
    folder, curve = Path("models/captioner", name), Path("curves/captioner", f"{name}.csv")
    key = run_key(Path(__file__), asdict(run), [TOKENS, FEATURES, CAPTIONS])
    table = TOKENS / "tokens.parquet"
    vocabulary, shards = read_vocabulary(TOKENS / "vocabulary.json"), open_shards(FEATURES)
    # Captions of rejected images are dropped by their image's id.
    splits = {
        split: read_captions(table, split=split, only_kept=True, image_ids=shards.row_of)
        for split in ("train", "val")
    }
    longest, val_cider = longest_caption(table), None
    references = read_references(CAPTIONS, split="val", image_ids=shards.row_of)
    if run.early_stopping is not None and references:
        val_cider = greedy_cider(
            references,
            shards.gather_images,
            vocabulary=vocabulary,
            max_length=longest,
            batch_size=run.batch_size,
        )
    with (
        open_checkpoint(key) as checkpoint,
        records.training_run(
            family="captioner",
            name=name,
            run_key=key,
            params=asdict(run) | shards.metadata,
            inputs=[str(table), str(FEATURES)],
        ) as tracked,
    ):
        trained = train(
            train_captioner,
            splits["train"],
            splits["val"],
            shards.gather_images,
            vocabulary_size=len(vocabulary),
            feature_dim=shards.shape[-1],
            longest=longest,
            device=device,
            val_cider=val_cider,
            checkpoint=checkpoint,
            log=tracked.log,
            **asdict(run),
        )
        save(
            folder,
            name,
            key,
            trained,
            vocabulary=vocabulary,
            shards=shards,
            splits=splits,
            longest=longest,
            recipe=asdict(run),
        )
        write_csv(curve, trained.epochs())
        tracked.log_files(curve, folder="curves")
        tracked.log_model("captioner", folder / "model.pt", inception=FEATURES / "inception.pt")


if __name__ == "__main__":
    main()

"""Measure the generator's gradients while fresh critics are trained against frozen generators."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from _common import stage
from ganscribe import config, records
from ganscribe.config.stages import Gradients
from ganscribe.core.devices import choose_device
from ganscribe.core.files import load_torch, save_torch, write_csv
from ganscribe.datasets.images import read_images
from ganscribe.execution.checkpoint import Checkpoint, open_checkpoint
from ganscribe.experiments.gradients import measure_gradients
from ganscribe.gan.networks import build_generator
from ganscribe.gan.training import train_gan
from ganscribe.records.lineage.run_key import run_key

TABLE = Path("data/diagnostics/gradients.csv")
NOT_OF_THE_LOOP = ("dataset", "splits", "classes", "steps", "snapshots", "sample_every")
Snapshots = list[tuple[int, dict[str, torch.Tensor]]]


def train_generators(images: torch.Tensor, settings: Gradients, checkpoint: Checkpoint) -> Snapshots:
    """The generator after each number of epochs, from one training; kept beside its checkpoint when done."""
    kept = checkpoint.directory / "generators.pt"
    if not kept.exists():
        recipe = {key: value for key, value in asdict(settings.recipe).items() if key not in NOT_OF_THE_LOOP}
        per_epoch = len(images) // settings.recipe.batch_size
        steps = [epochs * per_epoch for epochs in settings.epochs]
        gan = train_gan(
            images,
            **recipe,
            steps=max(steps),
            snapshots=len(steps),
            snapshot_steps=steps,
            sample_every=max(steps),
            log_every=per_epoch,
            seed=settings.seed,
            precision=settings.precision,
            device=choose_device(),
            max_updates=settings.max_gan_updates,
            checkpoint=checkpoint,
        )
        save_torch(kept, [[step, weights] for step, weights in gan.snapshots])
    snapshots = [(step, weights) for step, weights in load_torch(kept)]
    if len(snapshots) != len(settings.epochs):
        raise ValueError(
            f"{settings.epochs} epochs leave {len(snapshots)} different generators within "
            f"{settings.max_gan_updates} updates: raise max_updates.diagnostics.gan"
        )
    return snapshots


@stage
def main() -> None:
    """Train generators for some numbers of epochs, then a fresh critic against each."""
    settings = config.load("gradients")
    recipe = settings.recipe
    inputs = [f"data/{recipe.dataset}/{split}.parquet" for split in recipe.splits]
    key = run_key(Path(__file__), asdict(settings), [Path(path) for path in inputs])
    images = torch.cat([read_images(path, recipe.classes).images for path in inputs])
    channels, height, width = images.shape[1:]
    with (
        open_checkpoint(key) as checkpoint,
        records.stage_run(
            "measure_gradients", params=asdict(settings), inputs=inputs, run_key=key
        ) as tracked,
    ):
        snapshots = train_generators(images, settings, checkpoint)
        generators, updates = {}, {}
        for epochs, (step, weights) in zip(sorted(settings.epochs), snapshots, strict=True):
            generator = build_generator(
                recipe.networks, noise_dim=recipe.noise_dim, image_shape=(channels, height, width)
            )
            generator.load_state_dict(weights)
            generators[epochs], updates[epochs] = generator, step
        with open_checkpoint(f"{key}-critics") as critics_checkpoint:
            rows = measure_gradients(
                generators,
                images,
                networks=recipe.networks,
                optimiser=recipe.optimiser,
                learning_rate=recipe.learning_rate,
                betas=recipe.betas,
                batch_size=recipe.batch_size,
                noise_dim=recipe.noise_dim,
                noise=recipe.noise,
                critic_steps=min(settings.critic_steps, settings.max_critic_updates or settings.critic_steps),
                measure_every=settings.measure_every,
                num_batches=settings.num_batches,
                seed=settings.seed,
                device=choose_device(),
                checkpoint=critics_checkpoint,
            )
            write_csv(TABLE, [{**row, "generator_updates": updates[int(row["epochs"])]} for row in rows])
        tracked.score({f"generator_updates_{epochs}_epochs": step for epochs, step in updates.items()})
        tracked.log_files(TABLE)


if __name__ == "__main__":
    main()

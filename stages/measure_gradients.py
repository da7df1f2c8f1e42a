"""Measure a generator's gradients while fresh critics are trained against it, frozen after some epochs."""

from __future__ import annotations

from _common import stage

from dataclasses import asdict, replace
from pathlib import Path

import click
import torch

from ganscribe import config, records
from ganscribe.config.stages import Gradients
from ganscribe.core.devices import choose_device
from ganscribe.core.files import load_torch, save_torch, write_csv
from ganscribe.datasets.images import read_images
from ganscribe.execution.checkpoint import Checkpoint, open_checkpoint
from ganscribe.experiments.gradients import Measurement, measure_gradients
from ganscribe.gan.common.networks import NETWORKS, build_generator
from ganscribe.gan.common.objective import OBJECTIVES
from ganscribe.gan.common.training import train_gan
from ganscribe.records.lineage.run_key import run_key
from ganscribe.training.budget import Budget

TABLES = Path("data/diagnostics/gradients")
Snapshots = list[tuple[int, dict[str, torch.Tensor]]]


def train_generators(images: torch.Tensor, settings: Gradients, checkpoint: Checkpoint) -> Snapshots:
    """Return the generator after each number of epochs, from one training; kept beside its checkpoint."""
    kept = checkpoint.directory / "generators.pt"
    if not kept.exists():
        per_epoch = len(images) // settings.recipe.batch_size
        steps = tuple(epochs * per_epoch for epochs in settings.epochs)
        recipe = replace(settings.recipe, steps=max(steps), snapshot_steps=steps, sample_every=max(steps))
        budget = Budget(
            seed=settings.seed,
            precision=settings.precision,
            log_every=per_epoch,
            max_updates=settings.max_gan_updates,
        )
        gan = train_gan(images, recipe, budget=budget, device=choose_device(), checkpoint=checkpoint)
        save_torch(kept, [[step, weights] for step, weights in gan.snapshots])
    snapshots = [(step, weights) for step, weights in load_torch(kept)]
    if len(snapshots) != len(settings.epochs):
        raise ValueError(
            f"{settings.epochs} epochs leave {len(snapshots)} different generators within "
            f"{settings.max_gan_updates} updates: raise diagnostics.gan in the scale's file"
        )
    return snapshots


def rebuild(snapshots: Snapshots, settings: Gradients, shape: torch.Size) -> dict[int, torch.nn.Module]:
    """Return the generators by the epochs that they were trained for."""
    (channels, height, width), recipe, generators = shape, settings.recipe, {}
    for epochs, (_, weights) in zip(sorted(settings.epochs), snapshots, strict=True):
        generator = build_generator(
            recipe.networks,
            noise_dim=recipe.noise_dim,
            image_shape=(channels, height, width),
            **recipe.network_options,
        )
        generator.load_state_dict(weights)
        generators[epochs] = generator
    return generators


@stage
@click.argument("run")
def main(run: str) -> None:
    """Train the generator of RUN for some numbers of epochs, then a fresh critic against each."""
    settings, table = config.load("gradients", run), TABLES / f"{run}.csv"
    recipe = settings.recipe
    inputs = [f"data/{recipe.dataset}/{split}.parquet" for split in recipe.splits]
    chosen = [OBJECTIVES.file(recipe.objective), NETWORKS.file(recipe.networks)]
    key = run_key(Path(__file__), asdict(settings), [Path(path) for path in inputs], chosen=chosen)
    images = torch.cat([read_images(path, recipe.classes).images for path in inputs])
    with (
        open_checkpoint(key) as checkpoint,
        records.stage_run(
            f"measure_gradients_{run}", params=asdict(settings), inputs=inputs, run_key=key
        ) as tracked,
    ):
        snapshots = train_generators(images, settings, checkpoint)
        updates = {epochs: step for epochs, (step, _) in zip(sorted(settings.epochs), snapshots, strict=True)}
        measurement = Measurement(
            critic_steps=min(settings.critic_steps, settings.max_critic_updates or settings.critic_steps),
            measure_every=settings.measure_every,
            num_batches=min(settings.num_batches, settings.max_num_batches or settings.num_batches),
            seed=settings.seed,
        )
        with open_checkpoint(f"{key}-critics") as critics_checkpoint:
            rows = measure_gradients(
                rebuild(snapshots, settings, images.shape[1:]),
                images,
                recipe,
                measurement,
                device=choose_device(),
                checkpoint=critics_checkpoint,
            )
            facts = [{"run": run, **row, "generator_updates": updates[int(row["epochs"])]} for row in rows]
            write_csv(table, facts)
        tracked.score({f"generator_updates_{epochs}_epochs": step for epochs, step in updates.items()})
        tracked.log_files(table)


if __name__ == "__main__":
    main()

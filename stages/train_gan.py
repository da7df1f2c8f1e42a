"""Train one GAN of the family."""

from __future__ import annotations

from _common import stage

from dataclasses import asdict
from pathlib import Path

import click
import torch

from ganscribe import config, records
from ganscribe.config.stages import GanRun
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, write_csv, write_json
from ganscribe.core.length import Length
from ganscribe.datasets.images import read_images
from ganscribe.drawing.plots import save_animation, save_grid
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.execution.engines.training import train
from ganscribe.gan.common.networks import NETWORKS
from ganscribe.gan.common.objective import OBJECTIVES
from ganscribe.gan.common.sampling import interpolate_images
from ganscribe.gan.common.state import TrainedGan
from ganscribe.gan.common.training import train_gan
from ganscribe.records.lineage.run_key import run_key
from ganscribe.training.cost import count_parameters

INTERPOLATION_ROWS, INTERPOLATION_COLUMNS = 4, 11


def save_models(
    folder: Path, identity: dict[str, str], run: GanRun, num_images: int, gan: TrainedGan
) -> None:
    """Write the networks, the snapshots, what the training was, and the run's identity."""
    facts = {
        "num_images": num_images,
        "precision": gan.precision,
        **Length(gan.step, run.recipe.steps).facts,
        "generator_updates": gan.step,
        "critic_updates": gan.critic_updates,
        "generator_parameters": count_parameters(gan.kept_generator),
        "critic_parameters": count_parameters(gan.discriminator),
        "recipe": asdict(run.recipe) | asdict(run.budget),
    }
    with atomic_folder(folder) as temporary:
        gan.save(temporary)
        write_json(temporary / "training.json", facts)
        write_json(temporary / "run_key.json", identity)


def save_plots(folder: Path, name: str, run: GanRun, gan: TrainedGan) -> None:
    """Draw the grids, their animation and an interpolation."""
    strips = interpolate_images(
        gan.kept_generator,
        rows=INTERPOLATION_ROWS,
        columns=INTERPOLATION_COLUMNS,
        noise_dim=run.recipe.noise_dim,
        noise=run.recipe.noise,
        seed=run.budget.seed,
    )
    columns = 4 if run.recipe.grid_images % 5 else 5
    with atomic_folder(folder) as temporary:
        for step, grid in gan.grids:
            save_grid(grid, temporary / f"grid-{step:06d}.png", columns=columns)
        save_animation([grid for _, grid in gan.grids], temporary / "animation.webp", columns=columns)
        save_grid(
            strips,
            temporary / "interpolation.png",
            columns=INTERPOLATION_COLUMNS,
            title=Length(gan.step, run.recipe.steps).title(name),
        )


@stage
@click.argument("name")
def main(name: str) -> None:
    """Train the GAN run NAME of params.yaml."""
    run = config.load("gan", name)
    recipe, params = run.recipe, asdict(run.recipe) | asdict(run.budget)
    inputs = [f"data/{recipe.dataset}/{split}.parquet" for split in recipe.splits]
    models, plots, curve = Path("models/gan", name), Path("plots/gan", name), Path(f"curves/gan/{name}.csv")
    unseen = "test" if "val" in recipe.splits else "val"
    chosen = [OBJECTIVES.file(recipe.objective), NETWORKS.file(recipe.networks)]
    key = run_key(
        Path(__file__),
        params,
        [Path(path) for path in (*inputs, f"data/{recipe.dataset}/{unseen}.parquet")],
        chosen=chosen,
    )
    images = torch.cat([read_images(path, recipe.classes).images for path in inputs])
    # Both, since evaluate_gan needs the test images: a class that they lack is better refused before the training.
    held_out = {
        split: read_images(f"data/{recipe.dataset}/{split}.parquet", recipe.classes).images
        for split in ("val", "test")
    }
    with (
        open_checkpoint(key) as checkpoint,
        records.training_run(family="gan", name=name, run_key=key, params=params, inputs=inputs) as tracked,
    ):
        gan = train(
            train_gan,
            images,
            recipe,
            budget=run.budget,
            device=choose_device(),
            held_out=held_out[unseen],
            checkpoint=checkpoint,
            log=tracked.log,
        )
        save_models(models, {"family": "gan", "name": name, "run_key": key}, run, len(images), gan)
        save_plots(plots, name, run, gan)
        write_csv(curve, gan.history)
        tracked.log_files(curve, folder="curves")
        tracked.log_files(plots, folder="plots")
        tracked.log_model("generator", models / "generator.safetensors")


if __name__ == "__main__":
    main()

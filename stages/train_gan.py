"""Train one GAN of the family."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
import torch

from _common import stage
from ganscribe import config, records
from ganscribe.config.stages import GanRun
from ganscribe.core.devices import choose_device
from ganscribe.core.files import atomic_folder, write_csv, write_json
from ganscribe.datasets.images import read_images
from ganscribe.drawing.plots import save_animation, save_curves, save_grid
from ganscribe.execution.checkpoint import open_checkpoint
from ganscribe.execution.engines.training import train
from ganscribe.gan.sampling import interpolate_images, save_network
from ganscribe.gan.state import TrainedGan
from ganscribe.gan.training import train_gan
from ganscribe.records.lineage.run_key import run_key
from ganscribe.training.cost import count_parameters

INTERPOLATION_ROWS, INTERPOLATION_COLUMNS = 4, 11


def save_models(
    folder: Path, name: str, key: str, run: GanRun, images: torch.Tensor, gan: TrainedGan
) -> None:
    channels, height, width = images.shape[1:]
    facts = {
        "num_images": len(images),
        "precision": gan.precision,
        "generator_updates": gan.step,
        "critic_updates": gan.critic_updates,
        "generator_parameters": count_parameters(gan.kept_generator),
        "critic_parameters": count_parameters(gan.discriminator),
        "recipe": asdict(run),
    }
    weights = {
        "generator.pt": gan.kept_generator.state_dict(),
        "discriminator.pt": gan.discriminator.state_dict(),
        **{f"snapshots/step-{step:06d}.pt": state_dict for step, state_dict in gan.snapshots},
    }
    with atomic_folder(folder) as temporary:
        for file, state_dict in weights.items():
            save_network(
                temporary / file,
                state_dict,
                networks=run.networks,
                noise_dim=run.noise_dim,
                noise=run.noise,
                image_shape=(channels, height, width),
            )
        write_json(temporary / "training.json", facts)
        write_json(temporary / "run_key.json", {"family": "gan", "name": name, "run_key": key})


def save_plots(folder: Path, name: str, run: GanRun, gan: TrainedGan) -> None:
    strips = interpolate_images(
        gan.kept_generator,
        rows=INTERPOLATION_ROWS,
        columns=INTERPOLATION_COLUMNS,
        noise_dim=run.noise_dim,
        noise=run.noise,
        seed=run.seed,
    )
    columns = 4 if run.grid_images % 5 else 5
    with atomic_folder(folder) as temporary:
        for step, grid in gan.grids:
            save_grid(grid, temporary / f"grid-{step:06d}.png", columns=columns)
        save_animation([grid for _, grid in gan.grids], temporary / "animation.webp", columns=columns)
        save_grid(strips, temporary / "interpolation.png", columns=INTERPOLATION_COLUMNS)
        losses = ["critic_loss", "generator_loss"]
        save_curves(gan.history, temporary / "losses.png", x="step", columns=losses, title=name)


@stage
@click.argument("name")
def main(name: str) -> None:
    """Train the GAN run NAME of params.yaml."""
    run = config.load("gan", name)
    inputs = [f"data/{run.dataset}/{split}.parquet" for split in run.splits]
    models, plots, curve = Path("models/gan", name), Path("plots/gan", name), Path(f"curves/gan/{name}.csv")
    recipe = {key: value for key, value in asdict(run).items() if key not in ("dataset", "splits", "classes")}
    unseen = f"data/{run.dataset}/{'test' if 'val' in run.splits else 'val'}.parquet"
    key = run_key(Path(__file__), asdict(run), [Path(path) for path in (*inputs, unseen)])
    images = torch.cat([read_images(path, run.classes).images for path in inputs])
    held_out = read_images(unseen, run.classes).images
    with (
        open_checkpoint(key) as checkpoint,
        records.training_run(
            family="gan", name=name, run_key=key, params=asdict(run), inputs=inputs
        ) as tracked,
    ):
        gan = train(
            train_gan,
            images,
            held_out=held_out,
            device=choose_device(),
            checkpoint=checkpoint,
            log=tracked.log,
            **recipe,
        )
        save_models(models, name, key, run, images, gan)
        save_plots(plots, name, run, gan)
        write_csv(curve, gan.history)
        tracked.log_files(curve, folder="curves")
        tracked.log_files(plots, folder="plots")
        tracked.log_model("generator", models / "generator.pt")


if __name__ == "__main__":
    main()

"""Train a GAN on a folder of pictures: `python examples/train_on_folder.py PICTURES OUT`.

It writes OUT/samples.png and OUT/generator.safetensors. `ganscribe sample OUT/generator.safetensors --out more` draws
more images from that file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ganscribe.core.devices import choose_device
from ganscribe.drawing.plots import save_grid
from ganscribe.features.folders import read_folder
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.training import train_gan
from ganscribe.training.budget import Budget


def positive(word: str) -> int:
    """Return the whole number from 1 up that `word` is."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a whole number from 1 up")
    return int(word)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="the folder of pictures to train on")
    parser.add_argument("out", type=Path, help="the folder for the generator and its samples")
    parser.add_argument(
        "--side",
        type=positive,
        default=32,
        help="width and height of the images in pixels, a multiple of 4 from 16 up (default: 32)",
    )
    parser.add_argument(
        "--steps", type=positive, default=2000, help="updates of the generator (default: 2000)"
    )
    parser.add_argument("--batch-size", type=positive, default=64, help="images per update (default: 64)")
    given = parser.parse_args()

    images = read_folder(given.pictures, shape=(3, given.side, given.side))
    recipe = GanRecipe(
        objective="nonsaturating", networks="dcgan", steps=given.steps, batch_size=given.batch_size
    )
    gan = train_gan(images, recipe, budget=Budget(seed=0), device=choose_device())
    gan.save(given.out)
    save_grid(gan.grids[-1][1], given.out / "samples.png", columns=4)
    print(f"trained on {len(images)} pictures; see {given.out / 'samples.png'}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")

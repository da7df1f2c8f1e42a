"""Caption photographs with a trained model: `python examples/caption_photographs.py MODEL PHOTOGRAPH...`.

MODEL is a folder that the pipeline made (models/captioner/best), or one that MLflow downloaded
(`mlflow artifacts download -u models:/ganscribe-captioner-best@candidate -d MODEL`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ganscribe.core.devices import choose_device
from ganscribe.features.pictures import load_image
from ganscribe.serving.photographs import caption_photographs, open_captioner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="the folder of a captioner")
    parser.add_argument("photographs", type=Path, nargs="+", help="the picture files to caption")
    given = parser.parse_args()

    captioner = open_captioner(given.model, device=choose_device())
    for path in given.photographs:
        pixels = load_image(path, crop=captioner.crop)
        (found,) = caption_photographs(captioner, pixels[None])  # several at once also work: (N, 3, 299, 299)
        print(f"{path}: {found.text}")  # found.attention: where each word looked, (words, 64)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")

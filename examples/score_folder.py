"""Score samples against real pictures: `python examples/score_folder.py SAMPLES REAL --classifier MODEL`.

SAMPLES and REAL are folders. The scores are computed from the features of a network that you choose: a classifier that
the pipeline has trained (pictures are then scaled and cropped to its size), or FID's own Inception network. Scores by
different networks, or on different numbers of pictures, cannot be compared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ganscribe.convnets import load_classifier
from ganscribe.core.devices import choose_device
from ganscribe.core.weights import find_weights, load_facts
from ganscribe.features.folders import read_folder
from ganscribe.metrics.gan.images import classifier_extractor, inception_extractor, judge_images
from ganscribe.metrics.gan.scores import GAN_SCORES, Scored, score_gan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path, help="the folder of pictures to score")
    parser.add_argument("real", type=Path, help="the folder of real pictures to compare them with")
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument(
        "--classifier",
        type=Path,
        help="a trained classifier: its folder, such as models/classifiers/lenet5, or its model.safetensors",
    )
    network.add_argument(
        "--inception",
        type=Path,
        help="FID's own network: torch-fidelity's file weights-inception-2015-12-05-6726825d.pth",
    )
    given = parser.parse_args()

    if given.classifier:
        path = given.classifier
        path = find_weights(path, "model") if path.is_dir() else path
        extractor = classifier_extractor(load_classifier(path).to(choose_device()))
        shape = tuple(load_facts(path)["image_shape"])
    else:
        extractor, shape = inception_extractor(given.inception, choose_device()), None
    real, samples = (
        judge_images(read_folder(folder, shape), extractor) for folder in (given.real, given.samples)
    )
    print(f"{'num_real':12} {len(real.features):10}  real images that they were compared with")
    scores = score_gan(Scored(real, samples, seed=0))
    for score in GAN_SCORES:
        if score.name in scores:
            print(f"{score.name:12} {scores[score.name]:10.6g}  {score.meaning}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")

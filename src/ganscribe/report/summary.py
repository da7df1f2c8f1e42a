"""What the first screen of the page shows: the best pictures, and the numbers that matter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganscribe.report.pictures import GAN_SAMPLES, attention_figures, pictures
from ganscribe.report.tables import format_number

Row = Mapping[str, Any]


def first(rows: Sequence[Row]) -> Row | None:
    """Return the best row of a table: one that was not only exercised, and has not collapsed, if there is one."""
    sound = [row for row in rows if not row["is_exercised"] and not row["is_collapsed"]]
    return next(iter([*sound, *rows]), None)


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def _number(value: str, label: str, note: str) -> dict[str, str]:
    return {"value": value, "label": label, "note": note}


def gan_summary(root: Path, run: str) -> dict[str, Any]:
    """Return the best GAN's FID, and what it draws."""
    scores = _read(root / "data/gan_scores" / run / "scores.json")
    floor = f"; {scores['floor_fid']:.1f} between real images" if "floor_fid" in scores else ""
    number = _number(f"{scores['fid']:.1f}", f"FID of the best GAN, {run!r}", f"lower is better{floor}")
    shown = pictures(root, run, {GAN_SAMPLES: f"Drawn by {run!r}, the best GAN."})
    return {"number": number, "pictures": shown}


def captioner_summary(root: Path, scores: Path, run: str) -> dict[str, Any]:
    """Return how often the best captioner is right, and where it looks."""
    found = _read(scores)
    if "object_accuracy" in found:  # in drawn scenes, it is known what is in them
        label = "of the test scenes have colour and shape named correctly"
        number = _number(
            f"{found['object_accuracy']:.0%}", label, f"by the captioner {run!r}, {scores.stem} decoding"
        )
    else:
        label = f"CIDEr of the best captioner, {run!r}"
        number = _number(
            format_number(round(found["CIDEr"], 3)), label, f"higher is better; {scores.stem} decoding"
        )
    shown = attention_figures(root, run, count=1)
    for each in shown:
        each["caption"] = (
            f"A test image, the caption by {run!r}, and where it looked for each word (the bright places)."
        )
    return {"number": number, "pictures": shown}


def classifier_summary(root: Path, run: str) -> dict[str, Any]:
    """Return the accuracy of the best classifier."""
    scores = _read(root / "plots/classifiers" / run / "scores.json")
    number = _number(
        f"{1 - scores['error']:.1%}", "of the test images get the right class", f"by the classifier {run!r}"
    )
    return {"number": number, "pictures": []}


def summarise(
    root: Path,
    gans: Sequence[Row],
    captions: Sequence[Row],
    files: Mapping[str, Path],
    classifiers: Sequence[Row],
) -> dict[str, Any]:
    """Return the numbers and pictures of each family's best; `files` has the scores of each row of `captions`."""
    parts = []
    if gan := first(gans):
        parts.append(gan_summary(root, gan["name"]))
    if caption := first(captions):
        scores = files[caption["name"]]
        parts.append(captioner_summary(root, scores, scores.parent.name))
    if classifier := first(classifiers):
        parts.append(classifier_summary(root, classifier["name"]))
    return {
        "numbers": [part["number"] for part in parts],
        "pictures": [each for part in parts for each in part["pictures"]],
    }

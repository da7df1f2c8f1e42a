"""One self-contained page: scores, curves, sample grids, captions with attention maps, provenance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from ganscribe.core.length import MEANINGFUL_SHARE, Length
from ganscribe.metrics.tables import FAMILIES
from ganscribe.report.cards import captioner_card, data_cards, gan_card
from ganscribe.report.charts import class_chart, curve_chart
from ganscribe.report.pictures import CLASSIFIER_PICTURES, GAN_PICTURES, attention_figures, picture, pictures
from ganscribe.report.summary import summarise
from ganscribe.report.tables import comparable_files, difference_table, interval_table, score_tables


def _trained(scores: Path) -> dict[str, Any]:
    """Return how far the run that a file of scores belongs to was trained."""
    length = Length.find(json.loads(scores.read_text()))
    return {"trained": str(length or ""), "is_exercised": length is not None and length.is_exercised}


def gan_entry(root: Path, run: str) -> dict[str, Any]:
    """Return what the page shows of one GAN: its curves, the classes of its images, its samples, its animation."""
    losses = curve_chart(root / "curves" / "gan" / f"{run}.csv", ("critic_loss", "generator_loss"))
    scores = root / "data" / "gan_scores" / run
    return {
        "name": run,
        **_trained(scores / "scores.json"),
        "pictures": pictures(root, run, GAN_PICTURES),
        "charts": [losses, class_chart(scores / "classes.csv", run=run)],
        "card": gan_card(root / "models" / "gan" / run),
    }


def classifier_entry(root: Path, run: str) -> dict[str, Any]:
    """Return what the page shows of one classifier: its curves, its confusion matrix and its worst mistakes."""
    return {
        "name": run,
        **_trained(root / "plots" / "classifiers" / run / "scores.json"),
        "charts": [curve_chart(root / "curves" / "classifiers" / f"{run}.csv", ("train_loss", "val_loss"))],
        "pictures": pictures(root, run, CLASSIFIER_PICTURES),
        "card": None,
    }


def captioner_entry(root: Path, run: str, scores: Path) -> dict[str, Any]:
    """Return what the page shows of one captioner: its curves and its attention; `scores` are by one decoding."""
    columns = ("train_loss", "val_loss", "tutorial_loss")
    chart = curve_chart(root / "curves" / "captioner" / f"{run}.csv", columns)
    return {
        "name": run,
        **_trained(scores),
        "charts": [chart],
        "card": captioner_card(root / "models" / "captioner" / run),
        "pictures": [],
        "attention": attention_figures(root, run),
    }


def caption_tables(root: Path, files: dict[str, Path]) -> list[dict[str, Any]]:
    """Return what the page shows of comparable captioners: scores, their intervals, paired differences."""
    groups = [group for _, group in comparable_files("captioner", files)]
    return [
        found
        | {
            "intervals": interval_table(group),
            "differences": difference_table(
                root,
                sorted({path.parent.name for path in group.values() if not _trained(path)["is_exercised"]}),
            ),
        }
        for found, group in zip(score_tables("captioner", files), groups, strict=True)
    ]


def captioned_figure(folder: Path, path: Path) -> dict[str, Any]:
    """Return what the page shows of one experiment: its figure, and the caption in its `folder`."""
    name, caption = folder.name.replace("_", " "), (folder / "caption.txt").read_text().strip()
    return {"name": name, **picture(path, caption, alternative=f"Figure of {name}, described below.")}


def _rows(tables: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the first table."""
    return list(tables[0]["table"]["rows"]) if tables else []


def _names(groups: Sequence[dict[str, Any]]) -> list[str]:
    return [row["name"] for group in groups for row in group["table"]["rows"]]


def render(root: Path, *, params: dict[str, Any]) -> str:
    """Return the page, made from the metrics, curves and plots under `root`; the same files give the same bytes.

    `params`: the `scale`, and the `code` that made the page, in words.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ganscribe.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    data, plots = root / "data", root / "plots"
    gans, classifiers = (
        {path.parent.name: path for path in sorted(folder.glob("[!.]*/scores.json"))}
        for folder in (data / "gan_scores", plots / "classifiers")
    )
    captioned = {
        f"{path.parent.name}, {path.stem}": path for path in sorted(data.glob("captioned/[!.]*/*.json"))
    }
    gan_groups, classifier_groups = score_tables("gan", gans), score_tables("classifier", classifiers)
    caption_groups = caption_tables(root, captioned)
    # A captioner takes the place of its best decoding.
    scored: dict[str, Path] = {}
    for name in _names(caption_groups):
        scored.setdefault(captioned[name].parent.name, captioned[name])
    captioners = [captioner_entry(root, run, path) for run, path in scored.items()]
    return environment.get_template("report.html").render(
        params=params,
        summary=summarise(
            root, _rows(gan_groups), _rows(caption_groups), captioned, _rows(classifier_groups)
        ),
        scores=FAMILIES,
        least=f"{MEANINGFUL_SHARE:.0%}",
        gan_groups=gan_groups,
        data_cards=data_cards(root),
        gans=[gan_entry(root, name) for name in _names(gan_groups)],
        judges=[
            captioned_figure(path.parent, plots / "judges.png")
            for path in data.glob("judges_compared/caption.txt")
        ],
        experiments=[
            captioned_figure(path.parent, plots / "experiments" / f"{path.parent.name}.png")
            for path in sorted(data.glob("experiments/[!.]*/caption.txt"))
        ],
        classifier_groups=classifier_groups,
        classifiers=[classifier_entry(root, name) for name in _names(classifier_groups)],
        caption_groups=caption_groups,
        captioners=captioners,
    )

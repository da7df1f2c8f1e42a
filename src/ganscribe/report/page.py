"""One self-contained page: scores, curves, sample grids, captions with attention maps, provenance."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from ganscribe.core.scores import Score
from ganscribe.metrics.caption_comparison import compare
from ganscribe.metrics.tables import FAMILIES, find
from ganscribe.report.cards import captioner_card, data_cards, gan_card

_MEDIA = {".png": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".jpg": "image/jpeg"}


def data_url(path: Path) -> str:
    """The picture at `path` as a `data:` URL, so that the page needs no other file."""
    return f"data:{_MEDIA[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def format_number(value: object) -> str:
    """A number as people read it: four significant digits, whole numbers whole, text as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def score_table(family: str, files: dict[str, Path]) -> dict[str, Any]:
    """Return a family's JSON files of scores as a table, one row per file; what all share goes to the notes."""
    records = {name: json.loads(path.read_text()) for name, path in files.items()}
    columns = list(dict.fromkeys(key for record in records.values() for key in record))
    plain = [key for key in columns if not any(isinstance(r.get(key), list | dict) for r in records.values())]
    notes = [
        key
        for key in plain
        if len({r.get(key) for r in records.values()}) == 1
        and (key.startswith("num_") or all(isinstance(r.get(key), str) for r in records.values()))
    ]
    scores = {key: find(family, key) for key in plain if key not in notes}
    shown = {key: score for key, score in scores.items() if score is None or "report" in score.shown}
    rows = []
    for name, record in records.items():
        cells = [
            (format_number(record.get(key, "")), _is_best(score, record, records.values()))
            for key, score in shown.items()
        ]
        rows.append({"name": name, "cells": cells})
    first: dict[str, Any] = next(iter(records.values()), {})
    return {"columns": list(shown), "rows": rows, "notes": {key: first[key] for key in notes}}


def _is_best(score: Score | None, record: dict[str, Any], records: Iterable[dict[str, Any]]) -> bool:
    if score is None or not score.better:
        return False
    values = [found for each in records if isinstance(found := each.get(score.name), int | float)]
    best = max if score.better == "higher" else min
    return len(values) > 1 and bool(record.get(score.name) == best(values))


def curve_chart(path: Path, columns: Sequence[str] | None = None) -> str:
    """The columns of the CSV at `path` against its first, as SVG that suits a light and a dark page."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = pd.read_csv(path)
    step, *others = table.columns
    chosen = [c for c in (columns or others) if c in table and c != "epoch" and table[c].notna().any()]
    grey = "#888888"
    style: Any = {"svg.hashsalt": "ganscribe", "svg.fonttype": "none", "font.size": 8, "text.color": grey}
    style |= {"axes.edgecolor": grey, "axes.labelcolor": grey, "xtick.color": grey, "ytick.color": grey}
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(5, 2.2), layout="constrained")
        for column in chosen:
            points = table[[step, column]].dropna()
            axes.plot(
                points[step],
                points[column],
                label=column.replace("_", " "),
                linewidth=1,
                marker="." if len(points) < 30 else "",
            )
        axes.set_xlabel(step)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, labelcolor=grey)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    svg = stream.getvalue()
    return svg[svg.index("<svg") :]


def _pictures(folder: Path, names: Sequence[str]) -> list[dict[str, str]]:
    found = [path for name in names for path in sorted(folder.glob(name))]
    return [{"name": path.stem.replace("_", " "), "url": data_url(path)} for path in found]


def gan_entry(root: Path, run: str) -> dict[str, Any]:
    """What the page shows of one GAN: its samples, its animation, its curves."""
    plots = root / "plots"
    pictures = _pictures(plots / "gan_scores" / run, ["samples.png", "neighbours.png"])
    pictures += _pictures(plots / "gan" / run, ["animation.*", "interpolation.png"])
    chart = curve_chart(root / "curves" / "gan" / f"{run}.csv", ("critic_loss", "generator_loss"))
    return {
        "name": run,
        "pictures": pictures,
        "chart": chart,
        "card": gan_card(root / "models" / "gan" / run),
    }


def interval_table(files: dict[str, Path]) -> dict[str, Any]:
    """Return the 95% intervals in JSON files of caption scores as a table, one row per file by its name."""
    found = {name: json.loads(path.read_text())["intervals"] for name, path in files.items()}
    columns = list(next(iter(found.values()), {}))
    rows = [
        {
            "name": name,
            "cells": [(f"{row[key]['low']:.3f} to {row[key]['high']:.3f}", False) for key in columns],
        }
        for name, row in found.items()
    ]
    return {"columns": columns, "rows": rows, "notes": {}}


def difference_table(root: Path, runs: Sequence[str]) -> dict[str, Any]:
    """Every pair of captioners, decoding by decoding: the difference and its paired 95% interval."""
    found = {}
    for one, other in itertools.combinations(runs, 2):
        for path in sorted((root / "data" / "captioned" / one).glob("*.parquet")):
            second = root / "data" / "captioned" / other / path.name
            if second.exists():
                found[f"{one} less {other}, {path.stem}"] = compare(path, second, seed=0)
    columns = list(next(iter(found.values()), {}))
    rows = [
        {
            "name": name,
            "cells": [
                (
                    f"{row[key]['difference']:+.3f} ({row[key]['low']:+.3f} to {row[key]['high']:+.3f})",
                    row[key]["low"] > 0 or row[key]["high"] < 0,
                )
                for key in columns
            ],
        }
        for name, row in found.items()
    ]
    return {"columns": columns, "rows": rows, "notes": {}}


def captioner_entry(root: Path, run: str) -> dict[str, Any]:
    """What the page shows of one captioner: its curves and its attention maps."""
    columns = ("train_loss", "val_loss", "tutorial_loss")
    chart = curve_chart(root / "curves" / "captioner" / f"{run}.csv", columns)
    return {
        "name": run,
        "chart": chart,
        "card": captioner_card(root / "models" / "captioner" / run),
        "attention": _pictures(root / "plots" / "captioner" / run, ["*.png"]),
    }


def gan_tables(files: dict[str, Path]) -> list[dict[str, Any]]:
    """A table for each judge, best FID first: scores by different judges share no column."""
    judges: dict[tuple[str, str, str], list[tuple[float, str, Path]]] = {}
    for name, path in files.items():
        scores = json.loads(path.read_text())
        judge = (scores["dataset"], scores["judge"], scores["judge_sha256"])
        judges.setdefault(judge, []).append((scores["fid"], name, path))
    ordered = sorted(judges.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return [
        {
            "dataset": dataset,
            "judge": judge,
            "table": score_table("gan", {name: path for _, name, path in sorted(group)}),
        }
        for (dataset, judge, _), group in ordered
    ]


def captioned_figure(folder: Path, picture: Path) -> dict[str, str]:
    """What the page shows of one experiment: its figure and the caption in its `folder`."""
    caption = (folder / "caption.txt").read_text().strip()
    return {"name": folder.name.replace("_", " "), "url": data_url(picture), "caption": caption}


def render(root: Path, *, params: dict[str, Any]) -> str:
    """The page, made of the metrics, curves and plots under `root`; the same files give the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ganscribe.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    data, plots = root / "data", root / "plots"
    gans, classifiers = (
        {path.parent.name: path for path in sorted(folder.glob("*/scores.json"))}
        for folder in (data / "gan_scores", plots / "classifiers")
    )
    captioned = {f"{path.parent.name}, {path.stem}": path for path in sorted(data.glob("captioned/*/*.json"))}
    runs = sorted({path.parent.name for path in captioned.values()})
    tables = gan_tables(gans)
    return environment.get_template("report.html").render(
        params=params,
        scores=FAMILIES,
        gan_tables=tables,
        data_cards=data_cards(root),
        gans=[gan_entry(root, row["name"]) for table in tables for row in table["table"]["rows"]],
        judges=[
            captioned_figure(path.parent, plots / "judges.png")
            for path in data.glob("judges_compared/caption.txt")
        ],
        experiments=[
            captioned_figure(path.parent, plots / "experiments" / f"{path.parent.name}.png")
            for path in sorted(data.glob("experiments/*/caption.txt"))
        ],
        classifier_table=score_table("classifier", classifiers),
        classifiers=[
            {
                "name": name,
                "chart": curve_chart(
                    root / "curves" / "classifiers" / f"{name}.csv", ("train_loss", "val_loss")
                ),
                "pictures": _pictures(root / "plots" / "classifiers" / name, ["*.png"]),
            }
            for name in classifiers
        ],
        caption_table=score_table("captioner", captioned),
        caption_intervals=interval_table(captioned),
        caption_differences=difference_table(root, runs),
        captioners=[captioner_entry(root, run) for run in runs],
    )

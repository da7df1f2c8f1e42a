"""How far the ranking of the GANs depends on the judge."""

from __future__ import annotations

from _common import stage

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd

from ganscribe.core.files import atomic_folder, atomic_write, write_csv
from ganscribe.core.length import is_exercised, labels
from ganscribe.drawing.plots import save_agreement
from ganscribe.metrics.agreement import compare_judges
from ganscribe.metrics.comparable import made_of

SCORES = Path("data/gan_scores")


def read_runs() -> dict[str, dict[str, Any]]:
    """Read the scores of the runs that were held against the same images, those that most runs were held against.

    Runs that were only exercised are left out: the first judge alone has scored them, and their scores mean nothing.
    """
    scores = {
        path.parent.name: json.loads(path.read_text()) for path in sorted(SCORES.glob("[!.]*/scores.json"))
    }
    scores = {run: each for run, each in scores.items() if not is_exercised(each)}
    data = {
        run: tuple(value for key, value in made_of("gan", each).items() if not key.startswith("judge"))
        for run, each in scores.items()
    }
    most = [images for images, _ in Counter(data.values()).most_common(1)]
    return {run: each for run, each in scores.items() if data[run] in most}


def read_tables(runs: Collection[str]) -> dict[str, pd.DataFrame]:
    """Read the scores of the judges that have scored every one of `runs`."""
    tables = {}
    if runs:
        rows = pd.concat([pd.read_csv(SCORES / run / "judges.csv").assign(run=run) for run in runs])
        for (judge, _), table in rows.groupby(["judge", "judge_sha256"], sort=False):
            if len(table) == len(runs):
                tables[str(judge)] = table
    return tables


@stage
def main() -> None:
    """Correlate the scores that the judges gave."""
    runs = read_runs()
    tables = read_tables(runs)
    if runs and not tables:
        raise ValueError("no judge has scored all GANs of a data set: run `dvc repro`")
    found = compare_judges(tables)
    fids = {judge: dict(zip(table["run"], table["fid"], strict=True)) for judge, table in tables.items()}
    save_agreement(fids, Path("plots/judges.png"), labels=labels(runs))
    with atomic_folder(Path("data/judges_compared")) as folder:
        write_csv(folder / "correlations.csv", found.correlations)
        with atomic_write(folder / "caption.txt") as handle:
            handle.write(f"{found.caption}\n".encode())


if __name__ == "__main__":
    main()

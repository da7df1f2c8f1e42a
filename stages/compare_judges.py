"""How far the ranking of the GANs depends on the judge."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd

from _common import stage
from ganscribe.core.files import atomic_folder, atomic_write, write_csv, write_json
from ganscribe.drawing.plots import save_agreement
from ganscribe.metrics.agreement import compare_judges


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the scores of the judges that have scored every run of one data set, the one that most runs have."""
    datasets = {
        path.parent.name: json.loads(path.read_text())["dataset"]
        for path in sorted(folder.glob("*/scores.json"))
    }
    most = [dataset for dataset, _ in Counter(datasets.values()).most_common(1)]
    runs = [run for run, dataset in datasets.items() if dataset in most]
    tables = {}
    if runs:
        rows = pd.concat([pd.read_csv(folder / run / "judges.csv").assign(run=run) for run in runs])
        for (judge, _), table in rows.groupby(["judge", "judge_sha256"], sort=False):
            if len(table) == len(runs):
                tables[str(judge)] = table
    return tables


@stage
def main() -> None:
    """Correlate the scores that the judges gave."""
    tables = read_tables(Path("data/gan_scores"))
    if not tables:
        raise ValueError("no judge has scored all GANs of a data set: run `dvc repro`")
    found = compare_judges(tables)
    fids = {judge: dict(zip(table["run"], table["fid"], strict=True)) for judge, table in tables.items()}
    save_agreement(fids, Path("plots/judges.png"))
    with atomic_folder(Path("data/judges_compared")) as folder:
        write_csv(folder / "correlations.csv", found.correlations)
        with atomic_write(folder / "caption.txt") as handle:
            handle.write((found.caption + "\n").encode())
    write_json("metrics/judges.json", {f"rho_{score}": rho for score, rho in found.lowest.items()})


if __name__ == "__main__":
    main()

"""How far the ranking of the GANs depends on the judge."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from _common import stage
from ganscribe import config
from ganscribe.core.files import atomic_folder, atomic_write, write_csv, write_json
from ganscribe.drawing.plots import save_agreement
from ganscribe.metrics.agreement import compare_judges


@stage
def main() -> None:
    """Correlate the scores that the judges gave."""
    tables = {judge: pd.read_csv(Path("data/judged", f"{judge}.csv")) for judge in config.load("judges")}
    found = compare_judges(tables)
    fids = {judge: dict(zip(table["run"], table["fid"], strict=True)) for judge, table in tables.items()}
    with atomic_folder(Path("plots/judges")) as folder:
        save_agreement(fids, folder / "figure.png")
        write_csv(folder / "correlations.csv", found.correlations)
        with atomic_write(folder / "caption.txt") as handle:
            handle.write((found.caption + "\n").encode())
    write_json("metrics/judges.json", {f"rho_{score}": rho for score, rho in found.lowest.items()})


if __name__ == "__main__":
    main()

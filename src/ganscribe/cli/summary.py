"""`ganscribe summary`: the three lines that `make repro` ends with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ganscribe.config.files import Params

REPORT = "reports/index.html"
NEXT = "dvc exp run -S gan.runs.dcgan.objective=lsgan"


def _made(root: Path, params: Params) -> list[str]:
    """Count the scored models of each family in words: `14 GANs`, or `3 of 14 GANs (2 only exercised)`."""
    from ganscribe.core.length import is_exercised
    from ganscribe.records.leaderboard import FAMILIES

    counts = []
    for name, family in FAMILIES.items():
        runs = getattr(params, name).runs
        folders = {run: root / "models" / family.folder / run for run in runs}
        made = [
            path
            for run, path in folders.items()
            if (path / family.file).is_file() and (root / "metrics" / family.folder / f"{run}.json").is_file()
        ]
        training = [path / "training.json" for path in made if (path / "training.json").is_file()]
        exercised = sum(is_exercised(json.loads(path.read_text())) for path in training)
        share = f"{len(made)}" if len(made) == len(runs) else f"{len(made)} of {len(runs)}"
        note = f" ({exercised} only exercised)" if exercised else ""
        counts += [f"{share} {family.title}{'' if len(runs) == 1 else 's'}{note}"] if made else []
    return counts


@click.command(epilog="Example: ganscribe summary")
def summary() -> None:
    """Say what was made, where to look and what to try next."""
    from ganscribe import config
    from ganscribe.core.files import project_root
    from ganscribe.records.lineage import dvc_lock

    root = project_root()
    made = _made(root, config.read(root)[0])
    reported = dvc_lock.read_stage(dvc_lock.read_lock(root / "dvc.lock"), "report")
    if not made:
        raise FileNotFoundError(
            f"{root / 'models'} holds no scored model: `make repro` makes them, `dvc pull dvc.yaml` fetches them"
        )
    if reported is None or not (root / REPORT).is_file():
        raise FileNotFoundError(
            f"{root / REPORT} is missing: `make repro` makes it, `dvc pull dvc.yaml` fetches it"
        )
    counts = " and ".join(filter(None, (", ".join(made[:-1]), made[-1])))
    scale = reported.params["params.yaml:scale"]
    click.echo(f"Made:        {counts}, at the scale {scale} (models/, metrics/)")
    click.echo(f"Look first:  {REPORT} (all results on one page)")
    click.echo(f"Try next:    . .venv/bin/activate && {NEXT}  # dcgan with another loss")

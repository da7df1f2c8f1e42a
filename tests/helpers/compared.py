"""What two runs of a family leave, for tests of what compares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganscribe.core.files import write_json
from ganscribe.core.length import Length
from ganscribe.report.sides import PLACES, Side


def write_run(root: Path, family: str, run: str, scores: dict[str, dict[str, Any]], **recipe: Any) -> Side:
    """Write what a run of a family leaves, `scores` by the names of their files."""
    places = PLACES[family]
    model, curve, folder = (
        root / each.format(run=run) for each in (places.model, places.curve, places.scores)
    )
    write_json(model / "training.json", {"num_images": 9, "recipe": {"seed": 0, **recipe}})
    write_json(model / "run_key.json", {"run_key": f"key of {run}"})
    for name, each in scores.items():
        write_json(folder / f"{name}.json", each)
    curve.parent.mkdir(parents=True, exist_ok=True)
    curve.write_text(f"step,epoch,train_loss,only_{run}_here\n1,1,0.5,1\n2,2,0.25,1\n")
    return Side(run, family, run, root, "in this folder")


def gan_scores(**changes: Any) -> dict[str, Any]:
    """The scores of a GAN by the judge lenet5."""
    facts = {"dataset": "mnist", "source": "sample", "judge": "lenet5", "judge_sha256": "aa"}
    facts |= {"num_samples": 100, "num_real": 50, "data_sha256": "d1", "fid": 3.25, "modes": 9}
    return facts | Length(90, 100).scores | changes

"""On PYTHONPATH of a stage under test: note at its end which modules of the package it has imported.

A line of the file LOADED for each: the stage's name, then the module's path from the package's folder on.
"""

import atexit
import os
import sys
from pathlib import Path


def _note() -> None:
    stage = os.environ.get("DVC_STAGE")
    if stage is None or not sys.argv[0].startswith("stages/"):
        return
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    paths = [Path(file) for file in files if file]
    own = sorted(
        path.as_posix().rpartition("/src/ganscribe/")[2] for path in paths if "/src/ganscribe/" in str(path)
    )
    with Path(os.environ["LOADED"]).open("a") as notes:
        notes.writelines(f"{stage} {path}\n" for path in own)


if "LOADED" in os.environ:
    atexit.register(_note)

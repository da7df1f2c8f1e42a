"""The run key changes with parameters, code and inputs, and with nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ganscribe.records.lineage import run_key


def test_the_run_key_changes_with_what_makes_the_artifact(tmp_path: Path) -> None:
    script = tmp_path / "stage.py"
    script.write_text("import json\n")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("1")
    key = run_key.run_key(script, {"steps": 1}, [data])
    assert key == run_key.run_key(script, {"steps": 1}, [data])
    assert key != run_key.run_key(script, {"steps": 2}, [data])
    (data / "b").write_text("")
    with_file = run_key.run_key(script, {"steps": 1}, [data])
    assert with_file != key
    (data / "b").rename(data / "c")
    assert run_key.run_key(script, {"steps": 1}, [data]) != with_file
    (data / "c").rename(data / ".c.tmp")  # as DVC calls what it is just restoring
    assert run_key.run_key(script, {"steps": 1}, [data]) == key
    script.write_text("import os\n")
    assert run_key.run_key(script, {"steps": 1}, [data]) != key


def imported_by(statement: str, folder: Path) -> set[Path]:
    """The files of the package that a Python process has imported after `statement`."""
    program = (
        "import sys, runpy; sys.path.insert(0, sys.argv[1]); sys.argv[1:] = []\n"
        f"{statement}\n"
        "print('\\n'.join(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'ganscribe'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    return {Path(line).resolve() for line in done.stdout.splitlines() if line != "None"}


@pytest.mark.parametrize("name", ["train_gan", "train_captioner", "extract_features", "evaluate_gan"])
def test_the_static_walk_finds_every_module_that_python_imports(project: Path, name: str) -> None:
    script = project / "stages" / f"{name}.py"
    loaded = imported_by(f"runpy.run_path({str(script)!r}, run_name='imported')", script.parent)
    read = imported_by("import ganscribe.config", script.parent)  # recipes that only check params.yaml
    assert loaded > read
    expected = {path for path in loaded - read if path.name != "__init__.py" and not run_key.is_neutral(path)}
    files = run_key.code_files(script)
    assert expected <= set(files)
    assert files == sorted(files), "or each process would have another key"

"""_common.py: a stage runs the code of its own checkout, whatever is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def test_a_stage_imports_the_package_beside_it(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "stages", tmp_path / "stages")
    shutil.copytree(project / "src", tmp_path / "src")
    script = tmp_path / "stages" / "where.py"
    script.write_text("import _common\nimport ganscribe\nprint(ganscribe.__file__)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == tmp_path / "src" / "ganscribe" / "__init__.py"

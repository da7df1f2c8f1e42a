"""_common.py: a stage runs the code of its own checkout, whatever is installed, and ends at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_a_stage_imports_the_package_beside_it(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "stages", tmp_path / "stages")
    shutil.copytree(project / "src", tmp_path / "src")
    script = tmp_path / "stages" / "where.py"
    script.write_text("import _common\nimport ganscribe\nprint(ganscribe.__file__)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == tmp_path / "src" / "ganscribe" / "__init__.py"


LEAVING = """
from _common import stage

import atexit
import sys
import threading
import time

atexit.register(lambda: print("at the exit"))


def work():
    time.sleep(1)
    print("the thread has ended")


@stage
def main():
    print("without a line's end", end=" ")
    if "thread" in sys.argv[0]:
        threading.Thread(target=work).start()
    if "fails" in sys.argv[0]:
        raise ValueError("wrong")


main()
"""


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("plain", 0, ["without a line's end at the exit"]),
        ("thread", 0, ["without a line's end the thread has ended", "at the exit"]),
        ("fails", 1, ["without a line's end at the exit"]),
    ],
)
def test_a_stage_that_ends_leaves_nothing_undone(
    project: Path, tmp_path: Path, name: str, code: int, said: list[str]
) -> None:
    """Standard output is a pipe, whose buffer the process itself must empty."""
    script = tmp_path / f"{name}.py"
    script.write_text(LEAVING)
    environment = {"PYTHONPATH": os.pathsep.join(map(str, (project / "stages", project / "src")))}
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.splitlines()) == (code, said), done.stderr


def test_a_stage_ends_no_process_that_loaded_it_as_a_module(project: Path, tmp_path: Path) -> None:
    """Such as that of tests: they would end at once, with the exit code 0."""
    script = tmp_path / "within.py"
    script.write_text(LEAVING[: LEAVING.rindex("main()")])
    program = (
        "import gc, runpy, sys\n"
        "from click.testing import CliRunner\n"
        "done = CliRunner().invoke(runpy.run_path(sys.argv[1])['main'], [])\n"
        "print(done.exit_code, gc.isenabled())\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(map(str, (project / "stages", project / "src")))}
    done = subprocess.run(
        [sys.executable, "-c", program, script], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["0 True", "at the exit"], done.stderr


def test_the_stages_of_a_build_work_at_the_scale_at_which_it_began(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "params", tmp_path / "params")
    text = (project / "params.yaml").read_text()

    def load() -> str:  # the build is this process, which is the parent of both stages
        code = "from _common import stage\nfrom ganscribe import config\nconfig.load('scale')"
        environment = os.environ | {"DVC_STAGE": "one", "PYTHONPATH": str(project / "stages")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done.stderr

    (tmp_path / "params.yaml").write_text(text)
    assert load() == ""
    (tmp_path / "params.yaml").write_text(text.replace("scale: sample ", "scale: tiny ", 1))
    assert "scale: it was sample when this build began" in load()

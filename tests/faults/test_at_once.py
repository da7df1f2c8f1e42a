"""Two `dvc repro` at once: in one clone, and in two clones with one DVC cache and one MLflow server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ganscribe.records import store
from ganscribe.records.lineage import dvc_lock
from loopback import Server
from miniature import PARAMS, TRAIN, Miniature

pytestmark = pytest.mark.faults

WAITING = TRAIN.replace(
    '    folder = Path("models/gan/mini")\n',
    """    import time
    for step in range(3):
        tracked.log(step, {"loss": step / 2})
    Path("at-work").touch()
    while not Path("go-on").exists():
        time.sleep(0.05)
    folder = Path("models/gan/mini")
""",
)


BUILDS: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_build_stays() -> Iterator[None]:
    """Kill the builds that a failed test has left; their stages then stop by themselves."""
    yield
    while BUILDS:
        build = BUILDS.pop()
        build.kill()
        build.wait()


def waiting(project: Path, folder: Path) -> Miniature:
    """A project whose training waits for a file `go-on`."""
    mini = Miniature(project, folder)
    (folder / "train.py").write_text(WAITING)
    mini.commit("waits")
    return mini


def start(mini: Miniature, **environment: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    more = {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(mini.folder / "src"), **environment}
    more["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    build = subprocess.Popen(
        ["dvc", "repro"],
        cwd=mini.folder,
        env={**kept, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    BUILDS.append(build)
    return build


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_repro_in_one_clone_is_refused_and_breaks_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mini = waiting(project, tmp_path / "mini")
    first = start(mini)
    until((mini.folder / "at-work").exists)
    second = start(mini)
    refused = second.communicate(timeout=600)[0]
    (mini.folder / "go-on").touch()
    output = first.communicate(timeout=600)[0]
    assert first.returncode == 0, output
    assert second.returncode != 0
    assert "Traceback" not in refused
    assert f"(PID {first.pid})" in refused, "it names the process that it would be in the way of"
    assert mini.weights() == "numbers after 1"
    assert "up to date" in mini.run("dvc repro")
    mini.run("ganscribe runs sync")
    monkeypatch.setenv("DVC_ROOT", str(mini.folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (run,) = store.read_runs(store.open_client(), "gan")
    assert run.status == "FINISHED"


@pytest.mark.parametrize("steps", [(1, 2), (3, 3)], ids=["different models", "the same model"])
def test_two_clones_with_one_cache_and_one_server(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: tuple[int, int]
) -> None:
    server = Server(tmp_path)
    try:
        server.start()
        clones = [waiting(project, tmp_path / name) for name in ("mine", "theirs")]
        for clone, count in zip(clones, steps, strict=True):
            clone.run(f"dvc cache dir --local {tmp_path / 'cache'}")
            (clone.folder / "params.yaml").write_text(PARAMS.replace("steps: 1", f"steps: {count}"))
        builds = [start(clone, MLFLOW_TRACKING_URI=server.uri) for clone in clones]
        for clone in clones:
            until((clone.folder / "at-work").exists)
        for clone in clones:  # both have begun before either ends
            (clone.folder / "go-on").touch()
        with ThreadPoolExecutor(2) as pool:
            outputs = list(pool.map(lambda build: build.communicate(timeout=600)[0], builds))
        assert [build.returncode for build in builds] == [0, 0], outputs
        for clone, count in zip(clones, steps, strict=True):
            assert clone.weights() == f"numbers after {count}"
            assert "up to date" in clone.run("dvc repro", MLFLOW_TRACKING_URI=server.uri)
            recorded = dvc_lock.read_outputs((clone.folder / "dvc.lock").read_text())["models/gan/mini"].md5
            assert (tmp_path / "cache/files/md5" / recorded[:2] / recorded[2:]).exists()
            assert not (clone.folder / ".dvc/cache").exists()
            assert not (clone.folder / "mlflow.db").exists()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        client = store.open_client()
        runs = store.read_runs(client, "gan")
        assert {run.status for run in runs} == {"FINISHED"}
        assert len({run.tags["run_key"] for run in runs}) == len(set(steps))
        assert len(runs) == 2, "each clone has its own, also of the same model"
        for run in runs:
            points = [(point.step, point.value) for point in client.get_metric_history(run.run_id, "loss")]
            assert points == [(step, step / 2) for step in range(3)]
    finally:
        server.kill()

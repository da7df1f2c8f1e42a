"""From a stage's recording to MLflow's run, against a scratch store: resumed, killed, tagged, reopened."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from ganscribe import records
from ganscribe.execution.checkpoint import Interrupted
from ganscribe.records import sender, store
from ganscribe.records.lineage import origin
from ganscribe.records.outbox import entries, outbox_folder

KEY = "0123456789abcdef" * 2

LOCK = """\
schema: '2.0'
stages:
  prepare_images@mnist:
    cmd: python stages/prepare_images.py mnist
    outs:
    - path: data/mnist
      hash: md5
      md5: 9c1185a5c5e9fc54612808977ee8f548.dir
      size: 3
      nfiles: 3
  fetch_images:
    cmd: python stages/fetch_images.py
    outs:
    - path: data/captions/captions.parquet
      md5: d41d8cd98f00b204e9800998ecf8427e
"""


@pytest.fixture
def folder(tmp_path: Path, fresh_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A main repository with a store, and a working folder elsewhere as `dvc exp run --temp` has it."""
    main, working = tmp_path / "main repository", tmp_path / "working"
    main.mkdir()
    working.mkdir()
    shutil.copyfile(fresh_store, main / "mlflow.db")
    monkeypatch.chdir(working)
    monkeypatch.setenv("DVC_ROOT", str(main))
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    return working


def train(steps: range, *, stop: BaseException | None = None, **settings: Any) -> None:
    arguments = {"family": "gan", "name": "dcgan", "run_key": KEY, "params": {}, "inputs": []} | settings
    with records.training_run(**arguments) as tracked:
        for step in steps:
            tracked.log(step, {"loss": step / 2})
        if stop:
            raise stop


def the_run(run_key: str = KEY) -> Any:
    sender.finish()
    assert entries(outbox_folder()) == []
    run = store.find_run(store.open_client(), run_key)
    assert run is not None
    return run


def points(run: Any, key: str = "loss") -> list[tuple[int, float]]:
    history = store.open_client().get_metric_history(run.info.run_id, key)
    return [(metric.step, metric.value) for metric in history]


def test_everything_lies_in_the_main_repository(folder: Path) -> None:
    (folder / "loss.csv").write_text("step\n1\n")
    with records.stage_run("report", params={}, inputs=[]) as tracked:
        tracked.log_files("loss.csv", folder="curves")
    sender.finish()
    assert list(folder.iterdir()) == [folder / "loss.csv"]
    main = Path(os.environ["DVC_ROOT"])
    assert (main / "mlflow.db").is_file()
    assert len(list((main / "mlartifacts/ganscribe/pipeline").rglob("curves/loss.csv"))) == 1


def test_tracking_uri_overrides(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(Path(os.environ["DVC_ROOT"]) / "mlflow.db", tmp_path / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    train(range(1))
    assert the_run().info.status == "FINISHED"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert store.find_run(store.open_client(), KEY) is None


@pytest.mark.parametrize("stop", [Interrupted("SIGTERM"), KeyboardInterrupt(), ValueError("diverged")])
def test_a_resumed_run_goes_on_and_drops_known_points(folder: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)):
        train(range(5), stop=stop)
    run = the_run()
    assert run.info.status == ("FAILED" if isinstance(stop, ValueError) else "KILLED")

    train(range(2, 8))
    resumed = the_run()
    assert resumed.info.run_id == run.info.run_id
    assert resumed.info.status == "FINISHED"
    assert points(resumed) == [(step, step / 2) for step in range(8)]


def test_sigkill_leaves_a_run_that_is_reopened(folder: Path) -> None:
    script = (
        "import os, signal\n"
        "from ganscribe import records\n"
        f"run = dict(family='gan', name='dcgan', run_key='{KEY}', params={{'a': 1}}, inputs=[])\n"
        "with records.training_run(**run) as t:\n"
        "    t.log(0, {'loss': 0.0})\n"
        "    t.log(1, {'loss': 0.5})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    run = the_run()
    assert run.info.status == "KILLED"
    assert points(run) == [(0, 0.0), (1, 0.5)]
    train(range(4), params={"a": 1, "b": 2})
    resumed = the_run()
    assert resumed.info.run_id == run.info.run_id
    assert points(resumed) == [(step, step / 2) for step in range(4)]
    assert resumed.data.params == {"a": "1", "b": "2"}


def test_repeated_training_is_a_new_run(folder: Path) -> None:
    train(range(2))
    first = the_run()
    train(range(2))
    assert the_run().info.run_id != first.info.run_id
    with pytest.raises(Interrupted):
        train(range(1), stop=Interrupted())
    train(range(2))  # goes on with the stopped one, although a finished one has the same key
    sender.finish()
    runs = store.find_runs(store.open_client(), KEY)
    assert [run.info.status for run in runs] == ["FINISHED"] * 3


def test_params_tags_and_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "dvc.lock").write_text(LOCK)
    (folder / "params.yaml").write_text("scale: tiny\n")
    monkeypatch.setenv("DVC_EXP_NAME", "brave-mole")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "f" * 40)
    monkeypatch.setenv("DVC_STAGE", "train_gan@dcgan")
    inputs = ["data/mnist/train.parquet", "data/captions/captions.parquet", "data/unknown.parquet"]
    params = {"optimiser": {"name": "adam", "betas": [0.5, 0.999]}, "text": "x" * 7000, "none": None}
    with pytest.raises(Interrupted):
        train(range(1), params=params, inputs=inputs, stop=Interrupted())
    train(range(1), params=params, inputs=inputs)  # the same values are accepted again

    run = the_run()
    assert run.info.run_name == "dcgan-tiny"
    assert run.data.params["optimiser.betas"] == "[0.5, 0.999]"
    assert run.data.params["optimiser.name"] == "adam"
    assert len(run.data.params["text"]) == 6000
    expected = {
        "run_key": KEY,
        "pipeline": "brave-mole",
        "scale": "tiny",
        "dvc.stage": "train_gan@dcgan",
        "dvc.exp_name": "brave-mole",
        "dvc.baseline_rev": "f" * 40,
        "git.commit": "unknown",
        "git.dirty": "false",
        "params.sha256": origin.params_sha256(params),
        "input.data/mnist/train.parquet": "9c1185a5c5e9fc54612808977ee8f548.dir",
        "input.data/captions/captions.parquet": "d41d8cd98f00b204e9800998ecf8427e",
    }
    tags = store.as_record(run, "gan").tags
    assert expected.items() <= tags.items()
    assert "input.data/unknown.parquet" not in tags
    datasets = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
    assert datasets == {name.removeprefix("input."): expected[name] for name in expected if "input." in name}


def test_git_state_of_the_working_folder(folder: Path) -> None:
    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = subprocess.run(["git", *settings, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (folder / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    (folder / "dvc.lock").write_text("stages: {}\n")
    for name in ("metrics/a.json", "zoo/dvc.lock"):
        (folder / name).parent.mkdir()
        (folder / name).write_text("{}")
    train(range(1))
    tags = the_run().data.tags
    assert (tags["git.commit"], tags["git.dirty"]) == (commit, "false"), "results are no changes"
    assert tags["pipeline"] == f"repro-{commit[:7]}"

    (folder / "code.py").write_text("a = 2\n")
    train(range(1), run_key="b")
    run = the_run("b")
    assert run.data.tags["git.dirty"] == "true"
    text = store.open_client().download_artifacts(run.info.run_id, "git.diff", str(folder))
    assert "-a = 1\n+a = 2" in Path(text).read_text()


def test_a_change_that_git_does_not_notice_is_noticed(folder: Path) -> None:
    for command in ("git init -q", "git config user.name t", "git config user.email t@example.org"):
        subprocess.run(command.split(), check=True)
    params = folder / "params.yaml"
    params.write_text("seed: 0\n")
    os.utime(params, (1_000_000_000, 1_000_000_000))
    for command in ("git config core.trustctime false", "git add params.yaml", "git commit -qm first"):
        subprocess.run(command.split(), check=True)
    assert origin.git_changes() == ""
    params.write_text("seed: 1\n")  # as long, and of the same second, as in the folders of DVC's queue
    os.utime(params, (1_000_000_000, 1_000_000_000))
    status = subprocess.run(["git", "status", "--short"], capture_output=True, text=True, check=True).stdout
    assert status == "", "git goes by time and size"
    assert "-seed: 0\n+seed: 1" in origin.git_changes()

    added = folder / "added.py"
    added.write_text("a = 1\n")
    subprocess.run(["git", "add", "added.py"], check=True)
    (folder / "unknown.py").write_text("")
    changes = origin.git_changes()
    assert "?? unknown.py" in changes
    patch = folder.parent / "changes.diff"
    patch.write_text(changes)
    subprocess.run(["git", "reset", "-q", "--hard"], check=True)
    params.write_text("seed: 0\n")
    subprocess.run(["git", "apply", str(patch)], check=True)
    assert (params.read_text(), added.read_text()) == ("seed: 1\n", "a = 1\n")


def test_a_disk_that_is_full_while_a_folder_is_kept_is_one_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copyfile(source: Path, target: Path, **settings: bool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    for name in ("a", "b"):
        Path("grids", name).parent.mkdir(exist_ok=True)
        Path("grids", name).touch()
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with (
        pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: 'grids/[ab]' -> ") as raised,
        records.training_run(family="gan", name="dcgan", run_key=KEY, params={}, inputs=[]) as tracked,
    ):
        tracked.log_files("grids")
    assert raised.value.errno == errno.ENOSPC


def test_points_are_sent_in_batches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {f"p{number}": number for number in range(150)}
    with records.stage_run("many", params=params, inputs=[], run_key="many") as tracked:
        for step in range(1500):
            tracked.log(step, {"a": 1.0, "b": 2.0})
    calls = []
    write = MlflowClient.log_batch
    monkeypatch.setattr(
        MlflowClient, "log_batch", lambda *a, **k: (calls.append(len(k.get("metrics", ()))), write(*a, **k))
    )
    run = the_run("many")
    assert len(points(run, "b")) == 1500 and len(run.data.params) == 150
    assert max(calls) <= 1000, "MLflow's own limit"
    assert sum(calls) == 3000
    assert len(calls) <= 10


def test_evaluation_adds_to_the_training_run(folder: Path) -> None:
    train(range(2))
    (folder / "pictures").mkdir()
    (folder / "pictures/grid.png").write_bytes(b"png")
    (folder / "pictures/__pycache__").mkdir()  # as in the package, whose code goes with a model
    with records.reopened_run(KEY, family="gan", name="dcgan") as tracked:
        tracked.score({"fid": 23.5, "nested": {"bleu": 1}, "judge": "lenet5", "kl": float("inf")})
        tracked.log_files("pictures", folder="evaluation")
        with pytest.raises(FileNotFoundError, match="absent"):
            tracked.log_files("absent")
    run = the_run()
    assert run.info.status == "FINISHED"
    assert (run.data.metrics["fid"], run.data.metrics["nested.bleu"]) == (23.5, 1)
    assert run.data.tags["judge"] == "lenet5"
    assert store.as_record(run, "gan").tags["kl"] == "inf"
    assert "restored" not in run.data.tags
    listing = store.open_client().list_artifacts(run.info.run_id, "evaluation")
    assert [entry.path for entry in listing] == ["evaluation/grid.png"]


def test_evaluation_of_a_model_whose_run_the_store_lacks(folder: Path) -> None:
    for score in (1.0, 2.0):
        with records.reopened_run(KEY, family="gan", name="dcgan") as tracked:
            tracked.score({"fid": score})
    sender.finish()
    runs = store.find_runs(store.open_client(), KEY)
    assert len(runs) == 1
    assert runs[0].data.tags["restored"] == "true"
    assert runs[0].data.metrics == {"fid": 2.0}


@pytest.mark.parametrize("way", ["", "greedy"])
def test_tags_say_how_far_a_run_was_trained(folder: Path, way: str) -> None:
    train(range(2))
    scores = {"fid": 23.5, "trained_steps": 15, "recipe_steps": 3905}
    with records.reopened_run(KEY, family="gan", name="dcgan") as tracked:
        tracked.score({way: scores} if way else scores)
    tags = the_run().data.tags
    assert (tags["budget"], tags["exercised"]) == ("15 of 3,905 steps", "true")
    with records.reopened_run(KEY, family="gan", name="dcgan") as tracked:
        tracked.score({"fid": 3.5, "trained_steps": 1950, "recipe_steps": 1950})
    tags = the_run().data.tags
    assert (tags["budget"], tags["exercised"]) == ("1,950 steps", "false")


def test_processes_that_race_for_a_fresh_store(folder: Path) -> None:
    (Path(os.environ["DVC_ROOT"]) / "mlflow.db").unlink()
    script = (
        "import sys\n"
        "from ganscribe import records\n"
        "with records.stage_run(sys.argv[1], params={}, inputs=[]) as tracked:\n"
        "    tracked.log(0, {'a': 1.0})\n"
    )
    racers = [subprocess.Popen([sys.executable, "-c", script, f"racer{n}"]) for n in range(2)]
    assert [racer.wait(timeout=120) for racer in racers] == [0, 0]
    sender.finish()
    client = store.open_client()
    experiment = client.get_experiment_by_name("ganscribe/pipeline")
    names = sorted(run.info.run_name for run in client.search_runs([experiment.experiment_id]))
    assert names == ["racer0-unknown", "racer1-unknown"]


def test_no_network_telemetry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switches = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    for switch in switches:
        monkeypatch.delenv(switch, raising=False)
    store.open_client()
    assert [os.environ[switch] for switch in switches] == ["true", "true"]


def test_what_mlflow_shows_of_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ada Lovelace")
    monkeypatch.setenv("DVC_STAGE", "train_gan@dcgan")
    client = store.open_client()
    older = store.experiment_id(
        client, "gan"
    )  # an experiment of an earlier version, with a person's own words
    client.set_experiment_tag(older, "mlflow.note.content", "mine")
    with records.training_run(family="gan", name="dcgan", run_key=KEY, params={}, inputs=[]) as tracked:
        tracked.log(1, {"step": 1, "epoch": 0.5, "critic_loss": 2.0})
    with records.reopened_run(KEY, family="gan", name="dcgan") as tracked:
        made_of = {"judge": "lenet5", "judge_sha256": "a" * 64, "num_real": 500, "num_samples": 1000}
        tracked.score({"fid": 23.5, **made_of, "trained_steps": 1950, "recipe_steps": 1950})
    run = the_run()
    assert set(run.data.metrics) - {"fid", "critic_loss"} == set(), "no chart of an epoch or of a count"
    assert run.info.user_id == run.data.tags["mlflow.user"] == "Ada Lovelace"
    assert run.data.tags["mlflow.source.name"] == "dvc repro train_gan@dcgan"
    assert "A training of the GAN `dcgan`" in run.data.tags["mlflow.note.content"]
    assert "reports/index.html" in run.data.tags["mlflow.note.content"]
    own = {key for key in run.data.tags if not key.startswith(("mlflow.", "scores."))}
    assert own == {
        *[
            "pipeline",
            "dvc.stage",
            "scale",
            "git.commit",
            "git.dirty",
            "engine",
            "run_key",
            "recording",
            "params.sha256",
        ]
    } | {*["judge", "budget", "exercised", "facts"]}
    assert {"judge_sha256": "a" * 64, "judge": "lenet5"}.items() <= store.as_record(run, "gan").tags.items()
    experiments = {each.name: each.tags for each in client.search_experiments()}
    assert experiments["ganscribe/gan"]["mlflow.note.content"] == "mine"
    assert experiments["ganscribe/gan"]["mlflow.experimentKind"] == "custom_model_development"


def test_facts_that_are_too_long_for_one_tag_are_kept_one_by_one(folder: Path) -> None:
    train(range(1))
    facts = {
        f"decoding{n}": {"weights_sha256": f"{n:064d}", "num_images": n, "CIDEr": n / 8} for n in range(90)
    }
    with records.reopened_run(KEY, family="gan", name="dcgan") as tracked:
        tracked.score(facts)
    run = the_run()
    record = store.as_record(run, "gan")
    assert "facts" not in run.data.tags
    for n in range(90):
        assert record.tags[f"decoding{n}.weights_sha256"] == f"{n:064d}"
        assert (record.metrics[f"decoding{n}.num_images"], record.metrics[f"decoding{n}.CIDEr"]) == (n, n / 8)

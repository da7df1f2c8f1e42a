"""doctor: one line per finding, even if parts are missing or broken, and never a traceback."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganscribe import cli
from ganscribe.cli.doctor import machine, records, sources
from ganscribe.core.devices import explain_bf16
from parameters import use_local


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is set up, without results."""
    for name in ("params.yaml", "pyproject.toml", ".gitignore"):
        shutil.copy(project / name, tmp_path)
    shutil.copytree(project / "params", tmp_path / "params")
    (tmp_path / "dvc.yaml").write_text("stages:\n  one: {cmd: echo, deps: [params.yaml]}\n")
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo/dvc.yaml").write_text("stages:\n  two: {cmd: echo}\n  three: {cmd: echo}\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("")
    git = "git -c user.name=t -c user.email=t@example.org"
    for command in ("git init -q", "git add .", f"{git} commit -qm one"):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("GANSCRIBE_") or name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name)
    # Whether Java starts is looked at once, not in each of these cases.
    monkeypatch.setattr("ganscribe.cli.doctor.check_java", lambda: iter(()))
    return tmp_path


def doctor(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["doctor", *words])


@pytest.mark.parametrize("is_set", [True, False])
def test_a_name_that_dvc_s_queue_would_miss_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_set: bool
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for key in ("user.name", "user.email") if is_set else ():
        subprocess.run(["git", "config", key, "somebody"], check=True)
    (finding,) = records.check_git()
    assert finding.is_ok
    assert ("not set" not in finding.text, not finding.remedy) == (is_set, is_set)


def test_a_good_set_up_has_no_fault(folder: Path) -> None:
    done = doctor()
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    topics = [line[5:].split(":")[0].strip() for line in lines]
    assert {"python", "torch", "dvc", "mlflow", "device", "parameters", "mnist", "coco", "weights"} <= set(
        topics
    )
    assert "FID's weights" in topics
    assert {"disk", "mlflow store", "git", "dvc pipeline", "dvc remote"} <= set(topics)
    assert lines[topics.index("dvc pipeline")].endswith(": stages: 1 in dvc.yaml, 2 in zoo/dvc.yaml")


@pytest.mark.parametrize(
    ("writes", "is_compiled", "hints"), [(False, False, True), (False, True, False), (True, False, False)]
)
def test_a_python_that_compiles_torch_for_every_command_is_hinted_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, writes: bool, is_compiled: bool, hints: bool
) -> None:
    (folder / "torch.py").touch()
    spec = spec_from_file_location("torch", folder / "torch.py")
    assert spec is not None and spec.cached is not None
    if is_compiled:
        Path(spec.cached).parent.mkdir()
        Path(spec.cached).touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", not writes)
    found = next(machine.check_versions())
    assert found.is_ok and ("unset PYTHONDONTWRITEBYTECODE" in found.remedy) == hints


def rot(path: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(b"\x00rubbish: [" * 100)


def add_remote(folder: Path) -> None:
    (folder / ".dvc/config").write_text(
        "[core]\n    remote = gone\n['remote \"gone\"']\n    url = /no/such/place\n"
    )


def cut_rwlock(folder: Path) -> None:
    (folder / ".dvc/tmp").mkdir(exist_ok=True)
    (folder / ".dvc/tmp/rwlock").touch()


@pytest.mark.parametrize(
    ("damage", "topic", "said"),
    [
        (rot("params.yaml"), "parameters", "not valid YAML"),
        (rot("mlflow.db"), "mlflow store", "file is not a database"),
        (rot("dvc.yaml"), "dvc pipeline", "dvc.yaml"),
        (rot(".git/index"), "git", "`git status` fails"),
        (rot("pyproject.toml"), "versions", "pyproject.toml cannot be read"),
        (lambda folder: (folder / "params.yaml").unlink(), "parameters", "is missing"),
        (lambda folder: shutil.rmtree(folder / ".git"), "git", "not a git repository"),
        (lambda folder: shutil.rmtree(folder / ".dvc"), "dvc pipeline", "not inside of a DVC repository"),
        (rot("dvc.lock"), "dvc pipeline", "-> rm dvc.lock, when no other dvc is at work, then `dvc repro`"),
        (
            lambda folder: (folder / "dvc.lock").write_text(""),
            "dvc pipeline",
            "-> rm dvc.lock, when no other dvc is at work, then `dvc repro`",
        ),
        (cut_rwlock, "dvc pipeline", "rwlock was cut off by a kill"),
        (lambda folder: use_local(folder, "mnist", "nowhere"), "mnist", "there is no folder"),
        (lambda folder: (folder / "src/ganscribe").mkdir(parents=True), "ganscribe", "rm -r .venv"),
        (add_remote, "dvc remote", "there is no folder /no/such/place"),
    ],
)
def test_a_fault_is_one_line_with_what_to_do(
    folder: Path, damage: Callable[[Path], object], topic: str, said: str
) -> None:
    damage(folder)
    done = doctor()
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    faults = [line for line in done.output.splitlines() if line.startswith("FAULT")]
    (line,) = [line for line in faults if line.startswith(f"FAULT {topic}: ")]
    assert said in line
    assert " -> " in line


def test_a_remote_on_s3_without_its_extra_is_a_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".dvc/config").write_text("['remote \"team\"']\n    url = s3://bucket/ganscribe\n")
    assert "ok    dvc remote: team: s3://bucket/ganscribe" in doctor().output
    monkeypatch.setitem(sys.modules, "dvc_s3", None)
    assert 'FAULT dvc remote: team: s3://bucket/ganscribe needs dvc-s3 -> pip install "ganscribe[s3]"' in (
        doctor().output
    )


def test_a_device_that_is_not_there_and_too_little_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cuda:7")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sources, "GIGABYTE", 10**15)
    faults = [line for line in doctor().output.splitlines() if line.startswith("FAULT")]
    assert [line.split(":")[0] for line in faults] == ["FAULT device", "FAULT disk"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "GANSCRIBE_DEVISE",
            "cpu",
            "GANSCRIBE_DEVISE is set, but nothing reads it -> did you mean GANSCRIBE_DEVICE?",
        ),
        (
            "GANSCRIBE_X",
            "1",
            "GANSCRIBE_X is set, but nothing reads it -> unset it: README.md lists the variables",
        ),
        ("GANSCRIBE_ENGINE", "rai", "GANSCRIBE_ENGINE=rai is unknown -> use local or ray"),
        (
            "GANSCRIBE_WORKERS",
            "two",
            "GANSCRIBE_WORKERS=two is not a number of workers -> use 1 or more, or ",
        ),
        (
            "GANSCRIBE_CHECKPOINT_SECONDS",
            "soon",
            "=soon is not a number of seconds -> use 0 or more, or unset it",
        ),
    ],
)
def test_a_setting_that_means_nothing_is_a_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    (line,) = [line for line in doctor().output.splitlines() if line.startswith("FAULT")]
    assert line.startswith("FAULT settings: ")
    assert said in line


def test_every_setting_of_the_readme_is_known(project: Path) -> None:
    rows = re.findall(r"^\| `GANSCRIBE_(\w+)` \|", (project / "README.md").read_text(), re.MULTILINE)
    assert sorted(machine.SETTINGS) == sorted(rows)


def test_an_old_package_is_a_fault(folder: Path) -> None:
    path = folder / "pyproject.toml"
    path.write_text(
        path.read_text().replace("torch>=2.11", "torch>=99").replace('"pillow', '"no-such-package')
    )
    faults = [finding for finding in machine.check_versions() if not finding.is_ok]
    assert [finding.topic for finding in faults] == ["no-such-package", "torch"]


def test_a_damaged_file_of_dvcs_cache_is_named_where_it_is_looked_for(folder: Path) -> None:
    whole, damaged = (hashlib.md5(content).hexdigest() for content in (b"whole", b"as it was"))
    cache = folder / ".dvc/cache/files/md5"
    for digest, content in ((whole, b"whole"), (f"{whole}.dir", b"whole"), (damaged, b"as it is")):
        path = cache / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert "dvc cache" not in doctor().output
    done = doctor("--cache")
    assert done.exit_code == 1
    (line,) = [line for line in done.output.splitlines() if "dvc cache" in line]
    path = cache / damaged[:2] / damaged[2:]
    assert line == (
        f"FAULT dvc cache: damaged: 1 of 3 files ({path}) -> rm {path}; then "
        "`dvc repro` makes again what is missing"
    )
    path.unlink()
    assert "ok    dvc cache: no damaged file among 2" in doctor("--cache").output


def test_java_starts() -> None:
    (finding,) = machine.check_java()
    assert finding.is_ok
    assert "version" in finding.text


def test_no_fault_of_the_store_stops_the_other_checks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/records/test_store.py has more addresses that lead nowhere."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+nodriver://u:s3cret@h/db")
    done = doctor()
    assert done.exit_code == 1
    topics = [line[5:].split(":")[0].strip() for line in done.output.splitlines()]
    assert topics[-4:] == ["mlflow store", "git", "dvc pipeline", "dvc remote"]
    assert [line.split(":")[0] for line in done.output.splitlines() if line.startswith("FAULT")] == [
        "FAULT mlflow store"
    ]
    assert "s3cret" not in done.output


def test_whatever_a_check_raises_is_a_fault_and_the_next_one_comes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".dvc/config").write_text(
        "['remote \"team\"']\n    url = https://u:s3cret@example.org/x?token=s3cret\n"
    )

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("the machine\nis out of sorts")

    monkeypatch.setenv("GANSCRIBE_DEVICE", "cuda")  # or torch is not asked
    monkeypatch.setattr(machine, "choose_device", lambda: 1 / 0)
    monkeypatch.setattr("ganscribe.records.store.open_client", fail)
    monkeypatch.setattr(sources.shutil, "disk_usage", fail)
    (folder / "mlflow.db").touch()
    lines = doctor().output.splitlines()
    assert [line.split(" -> ")[0] for line in lines if line.startswith("FAULT")] == [
        "FAULT device: ZeroDivisionError: division by zero",
        "FAULT disk: RuntimeError: the machine is out of sorts",
        "FAULT mlflow store: RuntimeError: the machine is out of sorts",
    ]
    assert lines[-1] == "ok    dvc remote: team: https://***@example.org/x?token=***"


@pytest.mark.parametrize("variables", [{}, {"XDG_CACHE_HOME": "/caches"}, {"TORCH_HOME": "~/models"}])
def test_what_is_said_without_torch_is_what_torch_says(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sources.hub_folder() == Path(torch.hub.get_dir())
    fast, reason = explain_bf16(torch.device("cpu"))
    found = machine.processor_instructions()
    assert bool(found) == fast
    assert not found or reason == f"the processor has {', '.join(found)}"

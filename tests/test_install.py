"""install.py and the lock files: uv or else pip, configured alike, and nothing that only tests need."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OPTIONAL = {"gradio": "demo", "ray": "ray"}  # what may be imported though it comes with an extra only


@pytest.fixture(scope="module")
def install(project: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", project / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write the wheel `name` 1.0 with these files; return its line of a lock file."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            member = zipfile.ZipInfo(file)
            member.external_attr = 0o100755 << 16  # pip keeps it for a program
            archive.writestr(member, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Place:
    """A virtual environment beside a copy of install.py; no package comes from outside the folder `wheels`."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.folder, self.wheels = folder, folder / "wheels"
        self.wheels.mkdir()
        shutil.copy(project / "install.py", folder)
        subprocess.run([sys.executable, "-m", "venv", folder / ".venv"], check=True)
        self.python = folder / ".venv" / "bin" / "python"
        self.lock = folder / "some.lock"
        self.lock.write_text(write_wheel(self.wheels, "thing", {"thing.py": ""}))

    def offer_uv(self, script: str | None) -> None:
        """Let there be a package uv whose program is this shell script; none where it is None."""
        shutil.rmtree(self.wheels / "uv", ignore_errors=True)
        for wheel in self.wheels.glob("uv-*"):
            wheel.unlink()
        line = "uv==1.0 --hash=sha256:" + 64 * "0"
        if script is not None:
            line = write_wheel(self.wheels, "uv", {"uv-1.0.data/scripts/uv": f"#!/bin/sh\n{script}\n"})
        (self.folder / "requirements-uv.lock").write_text(line)
        self.run("-m", "pip", "uninstall", "--yes", "uv", "thing")

    def run(self, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
        own = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": f"{self.folder / 'missing'} {self.wheels}",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        return subprocess.run(
            [self.python, *words], cwd=self.folder, env=kept | own | more, capture_output=True, text=True
        )

    def has_thing(self) -> bool:
        return self.run("-c", "import thing").returncode == 0


@pytest.fixture(scope="module")
def place(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(project, tmp_path_factory.mktemp("place"))


def test_uv_installs_with_what_pip_is_configured_with(place: Place) -> None:
    real = shutil.which("uv")
    if real is None:
        pytest.skip("no uv on this machine")
    place.offer_uv(f'echo "$@" > asked.txt; exec {real} "$@"')
    done = place.run("install.py", "some.lock")
    assert done.returncode == 0, done.stderr
    assert place.has_thing()
    assert "--require-hashes -r some.lock" in (place.folder / "asked.txt").read_text()
    assert "pip installs" not in done.stderr


@pytest.mark.parametrize("has_uv", [False, True])
def test_packages_are_compiled_where_python_never_writes_what_it_has_compiled(
    place: Place, has_uv: bool
) -> None:
    """PYTHONDONTWRITEBYTECODE, which images of containers often set."""
    real = shutil.which("uv")
    if has_uv and real is None:
        pytest.skip("no uv on this machine")
    place.offer_uv(f'exec {real} "$@"' if has_uv else None)
    assert place.run("install.py", "some.lock", PYTHONDONTWRITEBYTECODE="1").returncode == 0
    where = "import importlib.util; print(importlib.util.find_spec('thing').cached)"
    assert Path(place.run("-c", where).stdout.strip()).is_file()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, r"uv cannot be had here \(ERROR: No matching distribution found for uv==1.0.*\)"),
        ("exit 7", "uv failed with exit code 7"),
    ],
)
def test_pip_installs_where_uv_cannot(place: Place, script: str | None, reason: str) -> None:
    place.offer_uv(script)
    done = place.run("install.py", "some.lock")
    assert done.returncode == 0, done.stderr
    assert place.has_thing()
    assert re.search(f"^{reason}: pip installs some.lock, which takes longer.$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("has_uv", [False, True])
def test_a_file_with_another_hash_is_refused(place: Place, has_uv: bool) -> None:
    real = shutil.which("uv")
    if has_uv and real is None:
        pytest.skip("no uv on this machine")
    place.offer_uv(f'exec {real} "$@"' if has_uv else None)
    (place.folder / "other.lock").write_text(f"thing==1.0 --hash=sha256:{64 * '0'}\n")
    assert place.run("install.py", "other.lock").returncode != 0
    assert not place.has_thing()


@pytest.mark.parametrize("words", [[], ["one.lock", "other.lock"]])
def test_one_lock_file_must_be_named(project: Path, words: list[str]) -> None:
    command = [sys.executable, project / "install.py", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["Name one lock file: .venv/bin/python install.py requirements.lock"],
    )


def test_pip_options_become_variables_of_uv(
    install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    (tmp_path / "wheels").mkdir()
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = http://a.test/simple\nproxy = http://proxy.test:1\ntimeout = 60\n"
        f"find-links =\n    {tmp_path}/wheels\n    {tmp_path}/missing\n    http://b.test/wheels\n"
        "[install]\ncert = /some.pem\nextra-index-url = http://c.test http://d.test\nproxy = http://proxy.test:2\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:it's@e.test/simple")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "e.test")
    assert install.translate(install.read_pip_options()) == {
        "UV_DEFAULT_INDEX": "http://user:it's@e.test/simple",
        "UV_INDEX": "http://c.test http://d.test",
        "UV_FIND_LINKS": f"{tmp_path}/wheels,http://b.test/wheels",
        "UV_INSECURE_HOST": "e.test",
        "UV_HTTP_TIMEOUT": "60",
        "ALL_PROXY": "http://proxy.test:2",
        "SSL_CERT_FILE": "/some.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def read_lock(path: Path) -> dict[str, str]:
    """The version of each package of a lock file, `==` before it; every one has a hash."""
    found = {}
    text = "".join(
        line for line in path.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#")
    )
    for line in filter(None, text.replace("\\\n", "").splitlines()):
        wanted, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
        assert hashes, line
        assert all(re.fullmatch(r"[0-9a-f]{64}", each) for each in hashes), line
        requirement = Requirement(wanted)
        assert str(requirement.specifier).startswith("=="), line
        found[canonicalize_name(requirement.name)] = str(requirement.specifier)
    return found


@pytest.fixture(scope="module")
def declared(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / "pyproject.toml").read_text())


def test_the_locks_agree_with_each_other_and_with_what_is_declared(
    project: Path, declared: dict[str, Any]
) -> None:
    running, tests, uv = (
        read_lock(project / name)
        for name in ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock")
    )
    assert running.items() <= tests.items()
    assert list(uv) == ["uv"]
    assert "uv" not in tests, "pip could not install the locks where there is no uv"
    extras = declared["project"]["optional-dependencies"]
    for lines, lock in (
        (declared["project"]["dependencies"] + declared["build-system"]["requires"], running),
        ([line for extra in extras.values() for line in extra], tests),
        (declared["dependency-groups"]["install"], uv),
    ):
        for requirement in map(Requirement, lines):
            version = lock[canonicalize_name(requirement.name)].removeprefix("==")
            assert requirement.specifier.contains(version), requirement
    assert running.keys().isdisjoint({"gradio", "moto", "mypy", "pytest", "ray", "ruff"})


def test_no_lock_names_an_index(project: Path) -> None:
    for path in project.glob("*.lock"):
        assert path.name == "dvc.lock" or "://" not in path.read_text(), path


def test_what_runs_imports_nothing_that_only_tests_need(project: Path, declared: dict[str, Any]) -> None:
    """What an extra brings is imported inside functions, behind a message that names the extra."""
    distributions = importlib.metadata.packages_distributions()
    locked = read_lock(project / "requirements.lock")
    extras = declared["project"]["optional-dependencies"]
    problems = []
    for path in [*(project / "src").rglob("*.py"), *(project / "stages").glob("*.py")]:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                found = map(canonicalize_name, distributions.get(name, []))
                if name in OPTIONAL and node not in tree.body:
                    assert any(Requirement(line).name == name for line in extras[OPTIONAL[name]])
                elif name not in ("ganscribe", "_common") and not locked.keys() & set(found):
                    problems.append(f"{path.relative_to(project)} imports {name}")
    assert problems == []

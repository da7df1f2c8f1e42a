"""What every test shares: where the project and the real data are."""

from __future__ import annotations

import importlib
import os
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ganscribe.core.registry import Registry

# Networks as small as those of the tests are slower with two threads, on a busy machine ten times.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the end-to-end test first: it takes half as long as all others, and one worker has to do it alone."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(scope="session", autouse=True)
def no_sender() -> Iterator[None]:
    """Recordings of this process start no sender; a test that wants them in MLflow calls `sender.finish`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganscribe.records.recording.start_sender", lambda: None)
        yield


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are made 16 at a time instead of 256, for a training whose grids show a few."""
    monkeypatch.setattr("ganscribe.gan.common.sampling.SAMPLE_BATCH", 16)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, which is also the main repository and has a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def project() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture
def load_stage(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Load the script of a stage into this process, by its name; return what it defines."""
    monkeypatch.syspath_prepend(project / "stages")
    return lambda name: runpy.run_path(str(project / "stages" / f"{name}.py"))


@pytest.fixture
def add_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Registry, str, str], None]]:
    """Add a file (its name, its text) to a copy of a registry's folder, which a test sees in its place."""
    before = set(sys.modules)
    copies: dict[str, Path] = {}

    def add(registry: Registry, name: str, text: str) -> None:
        if registry.package not in copies:
            package, folder = importlib.import_module(registry.package), tmp_path / registry.package
            shutil.copytree(registry.folder, folder)
            monkeypatch.setattr(package.__spec__, "submodule_search_locations", [str(folder)])
            monkeypatch.setattr(package, "__path__", [str(folder)])
            copies[registry.package] = folder
        (copies[registry.package] / f"{name}.py").write_text(text)
        importlib.invalidate_caches()

    yield add
    for name in set(sys.modules) - before:
        if name.startswith(tuple(copies)):
            del sys.modules[name]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures of matplotlib that are saved."""
    from matplotlib.figure import Figure

    saved, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *rest, **more: (saved.append(self), save(self, *rest, **more))
    )
    return saved


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data (see README); without it, the test is skipped."""
    folder = Path(os.environ.get("GANSCRIBE_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set GANSCRIBE_TEST_DATA")
    return folder.resolve()


@pytest.fixture(scope="session")
def captioner_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.safetensors, a tiny captioner that never ends one, and a random inception.safetensors."""
    import torch

    from ganscribe.captioning.inference import save_captioner
    from ganscribe.captioning.model import Captioner
    from ganscribe.datasets.tokens import Vocabulary
    from ganscribe.features.inception import load_inception, prepare, write_inception
    from ganscribe.features.pictures import PREPROCESSING

    folder = tmp_path_factory.mktemp("captioner")
    torch.manual_seed(0)
    noise = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8)
    inception = load_inception(None, calibration_images=noise)
    prepared = prepare(inception, precision="fp32", device=torch.device("cpu"))
    write_inception(folder / "inception.safetensors", prepared)
    options = {"vocabulary_size": 14, "embedding_dim": 8, "units": 8}
    network = Captioner(**options)
    network.output.bias.data[3] = -50
    facts = {"weights": prepared.label, "weights_sha256": prepared.sha256}
    save_captioner(
        folder / "model.safetensors",
        options=options,
        vocabulary=Vocabulary(("<pad>", "<unk>", "<start>", "<end>", *"abcdefghij")),
        features=facts | {"preprocessing": PREPROCESSING["none"]},
        state_dict=network.state_dict(),
    )
    return folder

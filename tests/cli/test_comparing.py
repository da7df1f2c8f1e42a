"""`ganscribe compare`: which runs two names stand for, and what is said of names that stand for none."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import gans
from compared import gan_scores, write_run
from ganscribe import cli
from parameters import copy_params


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two GANs and a captioner that are scored, and a GAN that is not."""
    copy_params(project, tmp_path)
    for seed, (run, rate) in enumerate((("dcgan", 0.5), ("best", 0.25), ("wgan", 0.125))):
        write_run(tmp_path, "gan", run, {"scores": gan_scores(fid=rate)}, learning_rate=rate)
        gans.save_generator(tmp_path / f"models/gan/{run}/generator.safetensors", noise="normal", seed=seed)
    shutil.rmtree(tmp_path / "data/gan_scores/wgan")
    write_run(tmp_path, "captioner", "best", {"greedy": {"CIDEr": 0.5, "data_sha256": "d1"}}, dropout=0.5)
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def compare(*words: str) -> str:
    """Return the page that compares two runs."""
    done = CliRunner().invoke(cli.main, ["compare", *words, "--out", "page.html"])
    assert done.exit_code == 0, done.output
    assert done.output == f"{words[0]} and {words[1]}: page.html\n"
    return Path("page.html").read_text()


def refused(*words: str, out: str = "page.html") -> str:
    """Return the one line that the command ends with, and check that only DVC has written anything."""
    before = {*Path.cwd().rglob("*")}
    done = CliRunner().invoke(cli.main, ["compare", *words, "--out", out])
    assert done.exit_code == 1, done.output
    assert done.output.startswith("Error: ") and done.output.count("\n") == 1, done.output
    assert [path for path in {*Path.cwd().rglob("*")} - before if ".dvc" not in path.parts] == []
    return done.output


@pytest.mark.parametrize("words", [("dcgan", "best"), ("gan/dcgan", "gan/best"), ("dcgan", "gan/best")])
def test_a_family_is_named_only_where_the_runs_leave_it_open(folder: Path, words: tuple[str, str]) -> None:
    text = compare(*words)
    assert "<td>0.5</td><td>0.25</td>" in text and "from the same noise: 4 normal numbers" in text


def test_the_captioner_of_the_same_name(folder: Path) -> None:
    assert "No parameter differs." in compare("captioner/best", "best")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("best", "best"), "write gan/best or captioner/best"),
        (("dcgan", "lenet5"), "dcgan is a run of gan, and lenet5 is a run of classifier"),
        (("dcgam", "best"), "there is no run 'dcgam' (gan: best, dcgan,"),
        (("gan/tutorial", "best"), "there is no run 'gan/tutorial' (gan: best, "),
        (("models/dcgan", "best"), "there is no family 'models': choose one of gan, classifier, captioner"),
        (("dcgan", "wgan"), "has no scores yet: make it with `dvc repro evaluate_gan@wgan`"),
        (("dcgan", "lsgan"), "has no model yet: make it with `dvc repro evaluate_gan@lsgan`"),
        (
            ("vgg11", "vgg11"),
            "has no model yet: make it with `dvc repro zoo/dvc.yaml:evaluate_classifier@vgg11`",
        ),
        (("abcdef12", "best"), "there is no MLflow store"),
        (("models:/ganscribe-gan-dcgan/1", "best"), "there is no MLflow store"),
        (
            ("models:/one", "best"),
            "models:/one names no version: write models:/one/1 or models:/one@candidate",
        ),
        (("dcgan@main", "best"), "main is neither a commit nor an experiment of this project"),
    ],
)
def test_names_that_cannot_be_compared(folder: Path, words: tuple[str, str], said: str) -> None:
    assert said in refused(*words)


def test_a_page_is_a_file_in_html(folder: Path) -> None:
    Path("folder.html").mkdir()
    for out in ("page.png", "folder.html"):
        assert f"--out {out}: give a file that ends in .html" in refused("dcgan", "best", out=out)


def test_a_run_as_a_revision_and_an_experiment_have_it(folder: Path) -> None:
    """DVC keeps the model and the scores, as the pipeline's stages have it, and git the curve."""
    from dvc.repo import Repo

    def git(words: str) -> str:
        done = subprocess.run(["git", *words.split()], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    for words in ("init -q", "config user.name t", "config user.email t@example.org"):
        git(words)
    with Repo.init() as repo:
        repo.add(["models/gan/dcgan", "data/gan_scores/dcgan"])
    git("add --all")
    git("commit -qm one")
    commit = git("rev-parse HEAD")
    git(f"update-ref refs/exps/{commit[:2]}/{commit[2:]}/longer HEAD")
    write_run(folder, "gan", "dcgan", {"scores": gan_scores(fid=7.5)}, learning_rate=0.75)
    for name in ("HEAD", "longer"):
        text = compare(f"dcgan@{name}", "dcgan")
        assert (
            "<td>learning_<wbr>rate</td><td>0.5</td><td>0.75</td>" in text and f"commit {commit[:7]}" in text
        )
        assert "only dcgan here</text>" in text and text.count("<img") == 2
        assert ">7.5</td>" in text and ">-7</td>" in text
    assert f"HEAD ({commit[:7]}) has no run 'mine'" in refused("gan/mine@HEAD", "dcgan")

    shutil.rmtree(folder / ".dvc/cache")
    shutil.rmtree(folder / ".dvc/tmp")
    assert "of HEAD is not in DVC's cache: `dvc pull models/gan/dcgan`, in that commit" in refused(
        "dcgan@HEAD", "dcgan"
    )


def test_scores_that_a_revision_lacks(folder: Path) -> None:
    from dvc.repo import Repo

    shutil.rmtree(folder / "data/gan_scores/dcgan")
    for words in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@example.org"]):
        subprocess.run(["git", *words], check=True)
    Repo.init().close()
    subprocess.run("git add --all && git commit -qm one", shell=True, check=True)
    assert "the run dcgan@HEAD has no scores in the commit" in refused("dcgan@HEAD", "best")


def test_what_is_said_is_json_that_a_page_can_hold(folder: Path) -> None:
    """A value of a parameter may look like a tag."""
    path = folder / "models/gan/dcgan/training.json"
    training = json.loads(path.read_text())
    path.write_text(json.dumps(training | {"recipe": {"objective": "<script>x</script>"}}))
    text = compare("dcgan", "gan/best")
    assert "<script>" not in text and "&lt;script&gt;x&lt;/script&gt;" in text

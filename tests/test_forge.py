"""What a forge and a contributor read: hooks, workflow, issue form, citation, changelog, links between documents."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import ganscribe
from ganscribe import cli
from ganscribe.config.reading import parse_yaml

WORKFLOW = ".github/workflows/test.yml"


def load(path: Path) -> Any:
    return parse_yaml(path.read_text())


def make_targets(project: Path) -> dict[str, list[str]]:
    """The recipe of every target of the Makefile."""
    found: dict[str, list[str]] = {}
    for line in (project / "Makefile").read_text().splitlines():
        if match := re.match(r"([\w./-]+):(?!=)", line):
            recipe = found.setdefault(match[1], [])
        elif line.startswith("\t"):
            recipe.append(line.strip())
    return found


def test_the_hooks_are_the_linters_of_make_test_and_pin_nothing(project: Path) -> None:
    (repository,) = load(project / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    linters = [line for line in make_targets(project)["test"] if not line.startswith("pytest")]
    commands = {" ".join(word for word in shlex.split(line) if word[0] not in "-.") for line in linters}
    hooks = {hook["entry"].replace(" --no-cache", ""): hook for hook in repository["hooks"]}
    assert set(hooks) == commands
    assert all(
        hook["language"] == "system" and not hook.keys() & {"additional_dependencies", "rev"}
        for hook in hooks.values()
    )


@pytest.mark.parametrize("file", [WORKFLOW, "CONTRIBUTING.md", "README.md", "docs/dependencies.md"])
def test_what_is_made_can_be_made(project: Path, file: str) -> None:
    named = set(
        re.findall(
            r"\bmake (\.venv/[\w./-]+|[a-z-]+)(?=[`)]|\s*$|\s+(?:&&|#|\d))",
            (project / file).read_text(),
            re.M,
        )
    )
    assert named and named <= set(make_targets(project))


def test_the_tests_that_contributing_names_are_there(project: Path) -> None:
    text = (project / "CONTRIBUTING.md").read_text()
    named = {word.split("::")[0] for word in re.findall(r"\btests/[\w/.]+\w", text)}
    added = set(re.findall(r"--- /dev/null\n\+\+\+ b/(\S+)", text))
    assert len(named) > 10
    assert [name for name in sorted(named - added) if not (project / name).exists()] == []


def test_the_issue_form_asks_for_doctor(project: Path) -> None:
    form = load(project / ".github/ISSUE_TEMPLATE/bug.yml")
    assert {"name", "description", "body"} <= form.keys()
    fields = {each["id"]: each for each in form["body"] if each["type"] != "markdown"}
    assert "`ganscribe doctor`" in fields["doctor"]["attributes"]["label"] and "doctor" in cli.main.commands
    assert fields["doctor"]["validations"] == {"required": True}
    assert all(each["type"] == "textarea" and each["attributes"]["label"] for each in fields.values())


def test_citation_and_changelog_are_of_this_package(project: Path) -> None:
    citation = load(project / "CITATION.cff")
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert (citation["title"], citation["license"]) == (declared["name"], declared["license"])
    assert " ".join(citation["abstract"].split()) == declared["description"]
    assert {"cff-version", "message", "authors"} <= citation.keys()
    headings = re.findall(r"^## (.*)$", (project / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = [heading.split(" - ")[0] for heading in headings if heading != "Unreleased"]
    assert versions[0] == ganscribe.__version__


def test_documents_link_to_what_is_there(project: Path) -> None:
    pages = [*project.glob("*.md"), *project.glob("docs/*.md")]
    assert len(pages) > 10
    missing = [
        f"{page.relative_to(project)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []
    entrances = [(project / name).read_text() for name in ("README.md", "docs/architecture.md")]
    assert all("glossary.md)" in text and "CONTRIBUTING.md)" in text for text in entrances)


@pytest.fixture
def two_commits(tmp_path: Path) -> tuple[Path, list[str]]:
    """A repository of DVC in which a score, a curve and a picture change, and its two commits."""
    folder, commits = tmp_path / "repository", []
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").touch()
    (folder / "curves").mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run([*git, "init", "-q"], check=True)
    for number in (1, 2):
        (folder / "scores.json").write_text(f'{{"fid": {number}}}')
        (folder / "curves/gan.csv").write_text(f"step,loss\n0,{number}\n1,0\n")
        (folder / "shown.png").write_bytes(bytes([number]))
        (folder / f"only-in-{number}.png").write_bytes(b"")
        (folder / f"curves/only-in-{number}.csv").write_text("step,loss\n0,1\n")
        names = ("gan", f"only-in-{number}")
        plots = ", ".join(f"{{curves/{name}.csv: {{x: step, y: loss}}}}" for name in names)
        (folder / "dvc.yaml").write_text(f"metrics: [scores.json]\nplots: [{plots}]\n")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "change"], check=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        commits.append(head.stdout.strip())
        for name in ("only-in-1.png", "curves/only-in-1.csv"):
            (folder / name).unlink(missing_ok=True)
    return folder, commits


def test_a_pull_request_shows_scores_pictures_and_curves(
    project: Path, two_commits: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The step of the workflow, as the forge would run it."""
    workflow, (folder, (base, head)) = load(project / WORKFLOW), two_commits
    assert (
        workflow["permissions"] == {"contents": "read"} and "secrets." not in (project / WORKFLOW).read_text()
    )
    steps = {step.get("run", "").split("\n")[0]: step for step in workflow["jobs"]["test"]["steps"]}
    assert "make test" in steps
    (script,) = (step["run"] for step in steps.values() if "dvc metrics diff" in step.get("run", ""))
    environment = {"BASE": base, "HEAD": head, "RAW": "https://forge.example/raw", **workflow["env"]}
    environment |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=folder, env=os.environ | environment | {"PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = (tmp_path / "summary.md").read_text()
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in summary.splitlines() if row.startswith("|")
    ]
    assert rows[0] == ["Path", "Metric", "before", "after", "Change"]
    assert rows[2:] == [["scores.json", "fid", "1", "2", "1"]]
    shown = {
        name: re.findall(r"raw/(\w+)/", part)
        for name, part in re.findall(r"### (\S+)\n((?:<img.*\n)*)", summary)
    }
    assert shown == {"shown.png": [base, head], "only-in-1.png": [base], "only-in-2.png": [head]}
    page = (folder / "plots_diff/index.html").read_text()
    assert "before" in page and "after" in page
    assert all(f"only-in-{number}.csv" in page for number in (1, 2)), "a curve that one side alone has"

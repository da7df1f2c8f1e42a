"""Rules of the house that no other tool checks, each a function that lists what breaks it in a project's folder."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ABOVE = (  # the line: what is below it can change no result
    "core",
    "training",
    "sources",
    "datasets",
    "features",
    "gan",
    "convnets",
    "captioning",
    "metrics",
    "experiments",
    "report",
)
BELOW = ("config", "execution", "records", "drawing", "serving", "cli")
SHARED = ("execution", "drawing")  # of those below the line, what rooms above it may import
LIBRARIES = {  # by name: where it may be imported
    "ruamel": {"config"},
    "mlflow": {"records", "serving"},
    "click": {"cli", "stages"},
}
MOST_LINES = 300  # of a module
FUNCTION = (70, 12)  # lines and parameters at most
TRAINING = dict.fromkeys(("train_gan", "train_classifier", "train_captioner"), (60, 8))
# Packages that may hold code in their __init__.py: no result depends on it.
CODE_IN_INIT = {"__init__.py", "serving/__init__.py", "cli/__init__.py", "cli/doctor/__init__.py"}

Graph = dict[str, set[str]]
Rule = Callable[[Path], list[str]]


def package_of(house: Path) -> Path:
    return house / "src" / "ganscribe"


def modules(house: Path) -> dict[str, Path]:
    """The files of the package by the dotted names of their modules."""
    names = {}
    for path in sorted(package_of(house).rglob("*.py")):
        parts = path.relative_to(house / "src").with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports, inside functions, too: of `from a import b` the pair (a, a.b), of `import a` (a, a)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((origin, f"{origin}.{alias.name}") for alias in node.names)


def import_graph(house: Path) -> Graph:
    """The modules that each module imports: of `from a import b` the module a.b, or a where b is none."""
    known = modules(house)
    graph: Graph = {}
    for name, path in known.items():
        pairs = imported(path)
        graph[name] = {whole if whole in known else origin for origin, whole in pairs} & known.keys() - {name}
    return graph


def room_of(module: str) -> str:
    """The room that a module lies in; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def circle(graph: Graph) -> list[str]:
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def loose_modules(house: Path) -> list[str]:
    known = {*ABOVE, *BELOW, "__init__", "__main__"}
    tops = {path.relative_to(package_of(house)).parts[0] for path in modules(house).values()}
    return sorted(name for name in tops if name.removesuffix(".py") not in known)


def imports_across_the_line(house: Path) -> list[str]:
    return [
        f"{name} imports {target}"
        for name, targets in import_graph(house).items()
        if room_of(name) in ABOVE
        for target in sorted(targets)
        if room_of(target) in BELOW and room_of(target) not in SHARED
    ]


def module_circles(house: Path) -> list[str]:
    return circle(import_graph(house))


def room_circles(house: Path) -> list[str]:
    """Circles between the rooms above the line, with those that they share below it."""
    graph: Graph = {room: set() for room in (*ABOVE, *SHARED)}
    for name, targets in import_graph(house).items():
        if room_of(name) in graph:
            graph[room_of(name)] |= {room_of(each) for each in targets if room_of(each) in graph}
    return circle({room: targets - {room} for room, targets in graph.items()})


def what_execution_imports(house: Path) -> list[str]:
    """The rooms above the line import execution/, and may not get one another by it: it stands on core/ alone."""
    return [
        f"{name} imports {target}"
        for name, targets in import_graph(house).items()
        if room_of(name) == "execution"
        for target in sorted(targets)
        if room_of(target) not in ("core", "execution")
    ]


def relative_imports(house: Path) -> list[str]:
    """`run_key` and tests/test_dvc.py, which find what a stage imports, read absolute imports only."""
    files = [path for path in written_code(house) if any(name.startswith(".") for name, _ in imported(path))]
    return [str(path.relative_to(house)) for path in files]


def strange_libraries(house: Path) -> list[str]:
    problems = []
    for path in written_code(house):
        place = "stages" if path.parent.name == "stages" else path.relative_to(package_of(house)).parts[0]
        libraries = {name.split(".")[0] for name, _ in imported(path)}
        for library in sorted(libraries & LIBRARIES.keys()):
            if place not in LIBRARIES[library]:
                problems.append(f"{path.relative_to(house)} imports {library}")
    return problems


def written_code(house: Path) -> list[Path]:
    return [*sorted(package_of(house).rglob("*.py")), *sorted((house / "stages").glob("*.py"))]


def long_modules(house: Path) -> list[str]:
    lengths = {path: len(path.read_text().splitlines()) for path in written_code(house)}
    return [f"{path.relative_to(house)}: {many} lines" for path, many in lengths.items() if many > MOST_LINES]


def long_functions(house: Path) -> list[str]:
    """Functions with too many lines (their docstrings among them) or too many parameters."""
    problems = []
    for path in written_code(house):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            given = node.args
            parameters = len([*given.posonlyargs, *given.args, *given.kwonlyargs])
            parameters += bool(given.vararg) + bool(given.kwarg)
            most_lines, most_parameters = TRAINING.get(node.name, FUNCTION)
            if lines > most_lines or parameters > most_parameters:
                problems.append(
                    f"{path.relative_to(house)}: {node.name} has {lines} lines, {parameters} parameters"
                )
    return problems


def code_in_inits(house: Path) -> list[str]:
    """dvc.yaml lists the rooms and files that a stage needs, and the `__init__.py` above a file is not among them."""
    problems = []
    for path in package_of(house).rglob("__init__.py"):
        name = path.relative_to(package_of(house)).as_posix()
        body = ast.parse(path.read_text()).body
        if name not in CODE_IN_INIT and not all(is_plain(node) for node in body):
            problems.append(name)
    return sorted(problems)


def is_plain(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, an import or `__all__`."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Import | ast.ImportFrom)


BODY = "\n".join(f"    a{number} = {number}" for number in range(70))
# Each rule with files that break it, in a house where all is well; and one that comes close, but may stand.
RULES: list[tuple[Rule, dict[str, str], dict[str, str]]] = [
    (loose_modules, {"helpers.py": ""}, {"gan/helpers.py": ""}),
    (loose_modules, {"utilities/__init__.py": ""}, {"gan/utilities/__init__.py": ""}),
    (
        imports_across_the_line,
        {"gan/a.py": "from ganscribe import records"},
        {"gan/a.py": "from ganscribe.execution import progress"},
    ),
    (
        imports_across_the_line,
        {"gan/a.py": "def f():\n    import ganscribe.config.reading", "config/reading.py": ""},
        {"cli/a.py": "import ganscribe.config.reading", "config/reading.py": ""},
    ),
    (
        module_circles,
        {
            "gan/a.py": "from ganscribe.gan.b import x",
            "gan/b.py": "if TYPE_CHECKING:\n    from ganscribe.gan.a import y",
        },
        {"gan/a.py": "from ganscribe.gan.b import x", "gan/b.py": "import ganscribe.gan"},
    ),
    (
        module_circles,
        {"cli/__init__.py": "from ganscribe.cli import a", "cli/a.py": "from ganscribe.cli import main"},
        {
            "cli/__init__.py": "from ganscribe.cli import a",
            "cli/a.py": "from ganscribe.cli import b",
            "cli/b.py": "",
        },
    ),
    (
        room_circles,
        {
            "gan/a.py": "from ganscribe.metrics import b",
            "metrics/b.py": "",
            "metrics/c.py": "def f():\n    from ganscribe.gan.d import x",
            "gan/d.py": "",
        },
        {
            "gan/a.py": "from ganscribe.metrics import b",
            "metrics/b.py": "",
            "metrics/c.py": "import metrics.b",
        },
    ),
    (
        what_execution_imports,
        {"execution/a.py": "from ganscribe.gan import b", "gan/b.py": ""},
        {"execution/a.py": "from ganscribe.core import b", "core/b.py": ""},
    ),
    (relative_imports, {"gan/a.py": "from . import b"}, {"gan/a.py": "import b"}),
    (strange_libraries, {"report/a.py": "import mlflow.pyfunc"}, {"serving/a.py": "import mlflow.pyfunc"}),
    (strange_libraries, {"core/a.py": "def f():\n    import click"}, {"../../stages/a.py": "import click"}),
    (
        strange_libraries,
        {"../../stages/a.py": "from ruamel.yaml import YAML"},
        {"config/a.py": "import ruamel"},
    ),
    (long_modules, {"gan/a.py": "\n" * 301}, {"gan/a.py": "\n" * 300}),
    (long_modules, {"../../stages/a.py": "\n" * 301}, {"../../stages/a.py": "\n" * 300}),
    (long_functions, {"gan/a.py": f"def f():\n{BODY}"}, {"gan/a.py": f"def f():\n{BODY[:500]}"}),
    (
        long_functions,
        {"gan/a.py": "def f(a, b, /, c, d, *e, g, h, i, j, k, l, m, **n): ..."},
        {"gan/a.py": "def f(a, b, /, c, d, *e, g, h, i, j, k, l, **n): ..."},
    ),
    (
        long_functions,
        {"gan/a.py": "def train_gan(a, b, c, d, e, f, g, h, i): ..."},
        {"gan/a.py": "def train_gan(a, b, c, d, e, f, g, h): ..."},
    ),
    (
        code_in_inits,
        {"gan/__init__.py": "def build(): ..."},
        {"gan/__init__.py": '"""Text."""\nfrom a import b\n__all__ = ["b"]'},
    ),
    (code_in_inits, {"gan/objectives/__init__.py": "RATE = 3"}, {"cli/__init__.py": "RATE = 3"}),
]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _, _ in RULES), ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(project: Path, rule: Rule) -> None:
    assert len(modules(project)) > 100
    assert rule(project) == []


@pytest.mark.parametrize(("rule", "broken", "sound"), RULES, ids=lambda each: getattr(each, "__name__", ""))
def test_the_rule_notices(tmp_path: Path, rule: Rule, broken: dict[str, str], sound: dict[str, str]) -> None:
    for name, files in (("sound", sound), ("broken", broken)):
        for path, text in files.items():
            file = package_of(tmp_path / name) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            (file.parent / "__init__.py").touch()
        for room in ("", *ABOVE, *BELOW):
            (package_of(tmp_path / name) / room).mkdir(parents=True, exist_ok=True)
            (package_of(tmp_path / name) / room / "__init__.py").touch()
    assert rule(tmp_path / "sound") == []
    assert len(rule(tmp_path / "broken")) == 1


def test_no_large_file_is_in_git(project: Path) -> None:
    if not (project / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    files = [project / name for name in listed.split("\0") if name]
    assert [file.name for file in files if file.is_file() and file.stat().st_size > 1_500_000] == []


def test_the_version_stands_in_the_package_alone(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    assert "version" not in declared["project"]
    assert declared["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ganscribe.__version__"}
    assert "py.typed" in declared["tool"]["setuptools"]["package-data"]["ganscribe"]


def test_every_dependency_has_its_line(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    lines = [
        *declared["dependencies"],
        *(each for part in declared["optional-dependencies"].values() for each in part),
    ]
    names = {re.split(r"[\[<>=]", line)[0] for line in lines}
    rows = [
        row for row in (project / "docs" / "dependencies.md").read_text().splitlines() if row.startswith("|")
    ]
    listed = {name for row in rows for cell in row.split("|")[1:3] for name in cell.strip().split(", ")}
    assert names - listed == set()

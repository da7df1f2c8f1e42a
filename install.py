"""Install a lock file into the environment of the Python that runs this: with uv where it can be had, else with pip.

    .venv/bin/python install.py requirements.lock

uv comes from the package registry, as requirements-uv.lock pins it. Unlike pip it does not read pip's configuration,
which is therefore handed on to it. Both hold every file against the hashes of the lock.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
QUIET = [] if sys.stderr.isatty() else ["--quiet"]  # a progress bar where somebody watches
ONE_VALUE = {  # pip's options by the variables in which uv takes the same
    "index-url": "UV_DEFAULT_INDEX",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
MANY_VALUES = {  # with what stands between the values
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}


def read_pip_options() -> dict[str, str]:
    """Return what pip is configured with, by files and by the environment."""
    command = [*PIP, "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    options = {}
    for section in ("global.", "install.", ":env:."):  # the later one counts
        for line in listed:
            name, _, value = line.partition("=")
            if name.startswith(section):
                options[name.removeprefix(section)] = str(ast.literal_eval(value))
    return options


def is_missing(value: str) -> bool:
    """Whether a value names a file or folder that is not there: pip passes over it, uv fails."""
    path = value.removeprefix("file://")
    return path.startswith("/") and not Path(path).exists()


def translate(options: dict[str, str]) -> dict[str, str]:
    """Return the variables in which uv takes what these options of pip's say."""
    variables = {ONE_VALUE[name]: value for name, value in options.items() if name in ONE_VALUE}
    for name, (variable, separator) in MANY_VALUES.items():
        values = [value for value in options.get(name, "").split() if not is_missing(value)]
        if values:
            variables[variable] = separator.join(values)
    # As pip does it: no index goes before another. The hashes say which file is meant, wherever it comes from.
    return variables | {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def install_with_uv(lock: str) -> str | None:
    """Fetch uv and let it install the lock file. Return why that did not work, or None."""
    fetch = [*PIP, "install", "--quiet", "--only-binary", ":all:", "--require-hashes"]
    fetched = subprocess.run(
        [*fetch, "-r", str(HERE / "requirements-uv.lock")], stderr=subprocess.PIPE, text=True
    )
    if fetched.returncode:
        reasons = fetched.stderr.strip().splitlines() or ["no reason given"]
        return f"uv cannot be had here ({reasons[-1]})"
    options = read_pip_options()
    words = ["--no-index"] if options.get("no-index", "0").lower() in ("1", "true", "yes", "on") else []
    # pip always compiles. Where Python may not save bytecode, each process would otherwise compile torch again.
    words += ["--compile-bytecode"] if sys.dont_write_bytecode else []
    uv = str(Path(sys.executable).with_name("uv"))
    command = [
        uv,
        "pip",
        "install",
        *QUIET,
        *words,
        "--python",
        sys.executable,
        "--require-hashes",
        "-r",
        lock,
    ]
    try:
        code = subprocess.run(command, env=translate(options) | os.environ).returncode
    except OSError as error:
        return f"uv does not start ({error})"
    return f"uv failed with exit code {code}" if code else None


def main(lock: str) -> int:
    """Install the lock file; return the exit code."""
    sys.stderr.write(f"Installing {lock}, which can take minutes.\n")
    reason = install_with_uv(lock)
    if reason is None:
        return 0
    sys.stderr.write(f"{reason}: pip installs {lock}, which takes longer.\n")
    return subprocess.run([*PIP, "install", *QUIET, "--require-hashes", "-r", lock]).returncode


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name one lock file: .venv/bin/python install.py requirements.lock")
    sys.exit(main(sys.argv[1]))

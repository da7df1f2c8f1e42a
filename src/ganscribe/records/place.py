"""Where MLflow's store is: its file, its lock, and the addresses of artifacts in it.

MLflow writes absolute addresses into mlflow.db, so a copy of the project's folder would read and write the folder that
it was copied from. The addresses are therefore corrected before the store is used; `mlartifacts` is beside mlflow.db.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from ganscribe.core.files import project_root
from ganscribe.records.outbox import outbox_folder, outbox_of, sqlite_uri, tracking_uri

# The columns with addresses: those of future artifacts, and those of artifacts that have been written.
FUTURE = (("experiments", "artifact_location"),)
PAST = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
_OURS = re.compile(r"(/.*)/(mlartifacts/ganscribe/.+)")


@dataclass(frozen=True)
class Foreign:
    """An address in the store that leads to another folder than the project's."""

    table: str
    column: str
    address: str
    root: Path  # the other folder
    inside: str

    @property
    def is_left_behind(self) -> bool:
        """Whether the artifacts are only in the other folder."""
        return _is_there(self.root / self.inside) and not _is_there(project_root() / self.inside)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # another user's folder
        return False


@contextlib.contextmanager
def named_if_unreadable(path: Path) -> Iterator[None]:
    """Raise OSError, which says what to do, if the block cannot read the store at `path`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        remedy = (
            "make it readable, and end other processes that use it"
            if isinstance(error, sqlite3.OperationalError)  # it is locked, or no file; else it is damaged
            else "restore it from a backup, or move it and mlartifacts away; `dvc repro --force --single-item "
            "link_runs` adds your models to a new one"
        )
        raise OSError(f"the MLflow store {path} cannot be read ({error}): {remedy}") from error


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(
            f"the MLflow store {path} was copied or moved here, and its addresses cannot be corrected ({error}): "
            "make it writable, and end other processes that use it"
        ) from error


def store_file() -> Path | None:
    """Return the store's sqlite file, or None if it has none."""
    found = re.match(r"sqlite(?:\+pysqlite)?:///(?!file:|:memory:)([^?]+)", tracking_uri())
    return Path(urllib.parse.unquote(found[1])) if found else None


def store_lock() -> filelock.BaseFileLock:
    """Return the lock for what two processes must not do to the store at once."""
    return filelock.FileLock(project_root() / "mlflow.db.lock")


def check_sqlite() -> None:
    """Raise OSError for a file that is not a database, which MLflow would try to open again and again for minutes."""
    path = store_file()
    if path is None or not path.exists():
        return
    address = f"{path.resolve().as_uri()}?mode=ro"
    with (
        named_if_unreadable(path),
        contextlib.closing(sqlite3.connect(address, uri=True, timeout=60)) as connection,
    ):
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def as_path(address: str) -> Path:
    """Return the path of an artifact's address, which is a `file:` URI or a path."""
    is_quoted = address.startswith("file:")
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(address).path) if is_quoted else address)


def _own_store() -> Path | None:
    """Return the mlflow.db of the project's folder, or None if it has none or another store is in use."""
    path = store_file()
    return path if path and path.is_file() and path.resolve() == project_root() / "mlflow.db" else None


def _foreign(database: sqlite3.Connection, columns: tuple[tuple[str, str], ...]) -> list[Foreign]:
    here = f"{(project_root() / 'mlartifacts').as_uri()}/"
    found = []
    for table, column in columns:
        if column not in {row[1] for row in database.execute(f"PRAGMA table_info({table})")}:
            continue  # the store is still being made
        query = f"SELECT DISTINCT {column} FROM {table} WHERE substr({column}, 1, ?) != ?"
        for (address,) in database.execute(query, (len(here), here)).fetchall():
            parts = _OURS.fullmatch(as_path(address).as_posix())
            if parts and Path(parts[1]) != project_root():
                found.append(Foreign(table, column, address, Path(parts[1]), parts[2]))
    return found


def correct_addresses() -> None:
    """Make the addresses in the project's own store name the project's folder, if it was copied or moved here.

    Artifacts that were left behind in the old folder keep their addresses. Recordings that have not been sent yet move
    from the store's outbox for the old folder to its outbox for this one. Raises OSError for a damaged store.
    """
    path = _own_store()
    if path is None:
        return
    with store_lock():
        check_sqlite()
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
            with named_if_unreadable(path):
                future, past = _foreign(database, FUTURE), _foreign(database, PAST)
            moved = future + [each for each in past if not each.is_left_behind]
            # First, because the addresses tell of the old folder.
            for root in sorted({each.root for each in future}):
                for events in outbox_of(sqlite_uri(root / "mlflow.db")).glob("*/events.jsonl"):
                    outbox_folder().mkdir(exist_ok=True)
                    shutil.move(events.parent, outbox_folder() / events.parent.name)
            with _readable_errors(path), database:
                for each in moved:
                    query = f"UPDATE {each.table} SET {each.column} = ? WHERE {each.column} = ?"
                    database.execute(query, ((project_root() / each.inside).as_uri(), each.address))


def left_behind() -> list[Path]:
    """Return the other folders in which artifacts of the project's own store were left behind."""
    path = _own_store()
    if path is None:
        return []
    with named_if_unreadable(path), contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
        return sorted({each.root for each in _foreign(database, PAST) if each.is_left_behind})

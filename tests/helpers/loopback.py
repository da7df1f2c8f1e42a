"""Servers on loopback: a port for one, waiting until it answers, MLflow's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(attempt: Callable[[], Any], *faults: type[Exception]) -> None:
    """Repeat `attempt` for a minute and a half while it raises one of `faults`; the last try lets its error through."""
    for _ in range(900):
        try:
            attempt()
            return
        except faults:
            time.sleep(0.1)
    attempt()


def wait_for_page(address: str) -> None:
    """Wait until the server at `address` answers."""
    wait_for(lambda: urllib.request.urlopen(address, timeout=5), urllib.error.URLError, ConnectionError)


def listening(pid: int) -> set[str]:
    """The addresses that a process and its children listen on."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {
        each.laddr.ip
        for process in family
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }


NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes that nothing here asks for


class Server:
    """An MLflow server on loopback that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = f"{sys.executable} -m mlflow server --host 127.0.0.1 --port {self.port} --workers 1"
        backend = [f"--backend-store-uri=sqlite:///{self.folder / 'mlflow.db'}"]
        files = [f"--artifacts-destination={self.folder / 'served'}"]
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command.split() + backend + files,
                env=kept | NO_JOBS,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_page(f"{self.uri}/health")

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None

"""Servers on loopback: a port for one, and waiting until it answers."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import psutil


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(attempt: Callable[[], Any], *faults: type[Exception]) -> None:
    """Try again for a minute and a half, as long as it is one of `faults`; then once more, for its error."""
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

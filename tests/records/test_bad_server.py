"""An MLflow server behind a proxy that is slow and answers 500, also for what has been done."""

from __future__ import annotations

import itertools
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import gans
from ganscribe import records
from ganscribe.records import sender, store
from ganscribe.records.outbox import entries, outbox_folder
from loopback import Server

SECONDS = 0.05  # that an answer takes more


class Proxy(ThreadingHTTPServer):
    """Passes everything on; while `is_bad`, every third answer is 500, every second of these after the
    server has done what it was asked for."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target = target
        self.is_bad = True
        self.seconds = SECONDS
        self.faults = 0
        self.requests = itertools.count()
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.seconds)
        number = next(self.server.requests)
        is_fault = self.server.is_bad and number % 3 == 2
        self.server.faults += is_fault
        if not is_fault or number % 2:
            kept = {key: value for key, value in self.headers.items() if key.lower() != "host"}
            request = urllib.request.Request(
                self.server.target + self.path, body or None, kept, method=self.command
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    status, content, kind = answer.status, answer.read(), answer.headers["Content-Type"]
            except urllib.error.HTTPError as error:
                status, content, kind = error.code, error.read(), error.headers["Content-Type"]
        if is_fault:
            self.answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "out of sorts"}')
        else:
            self.answer(status, content, kind)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def proxy(with_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    server = Server(with_store)
    try:
        server.start()
        made = Proxy(server.uri)
        threading.Thread(target=made.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
        yield made
        made.shutdown()
        made.server_close()
    finally:
        server.kill()


def test_a_slow_server_that_answers_500_slows_nothing_and_loses_nothing(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # as without the variable
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    gans.save_generator("generator.safetensors")
    following = threading.Thread(target=keep_sending, daemon=True)
    following.start()
    begun = time.monotonic()
    for number in range(3):
        with records.training_run(
            family="gan", name="dcgan", run_key=f"key-{number}", params={"steps": 50}, inputs=[]
        ) as recording:
            for step in range(50):
                recording.log(step, {"loss": step / 2})
            if number == 2:  # its hundred files take a minute
                recording.log_model("generator", "generator.safetensors")
    assert time.monotonic() - begun < 5, "150 answers alone take longer"
    following.join(timeout=180)
    assert not following.is_alive()
    assert entries(outbox_folder()) == []
    assert proxy.faults > 3
    proxy.is_bad, proxy.seconds = False, 0.0
    client = store.open_client()
    runs = [run for run in store.read_runs(client) if not run.is_deleted]
    assert sorted((run.tags["run_key"], run.status) for run in runs) == [
        (f"key-{number}", "FINISHED") for number in range(3)
    ]
    for run in runs:
        points = [(point.step, point.value) for point in client.get_metric_history(run.run_id, "loss")]
        assert points == [(step, step / 2) for step in range(50)]
    (version,) = store.read_versions(client)
    assert version.aliases == ("candidate",)
    assert [run.tags["run_key"] for run in runs if run.run_id == version.run_id] == ["key-2"]


def keep_sending() -> None:
    """Do what the stages' own senders do, one after the other."""
    while not entries(outbox_folder()):
        time.sleep(0.01)
    while entries(outbox_folder()):
        sender.Sender(outbox_folder()).look()

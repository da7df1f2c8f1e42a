"""A team's servers, on loopback: a DVC remote on S3, MLflow on PostgreSQL with a proxy for artifacts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

import gans
from ganscribe import cli, records
from ganscribe.records import sender, store
from loopback import NO_JOBS, free_port, wait_for, wait_for_page
from miniature import Miniature


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server with the bucket `team`."""
    import boto3
    from moto.server import ThreadedMotoServer

    for key, value in (
        ("ACCESS_KEY_ID", "test"),
        ("SECRET_ACCESS_KEY", "test"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{key}", value)
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="team")
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_push_clone_pull_and_nothing_to_do(project: Path, tmp_path: Path, bucket: str) -> None:
    mini = Miniature(project, tmp_path / "mine")
    (mini.folder / "zoo").mkdir()  # a pipeline that nobody has run
    (mini.folder / "zoo/dvc.yaml").write_text("stages: {net: {cmd: echo > net.txt, outs: [net.txt]}}\n")
    mini.run("dvc repro")
    mini.run("dvc remote add --default team s3://team/ganscribe")
    mini.run(f"dvc remote modify team endpointurl {bucket}")
    mini.run("dvc push")
    mini.commit("trained")

    theirs = tmp_path / "theirs"
    mini.run(f"git clone -q {mini.folder} {theirs}", tmp_path)
    assert not (theirs / "models").exists()
    assert not (theirs / ".dvc/cache").exists()
    # Without the pipeline's name, `dvc pull` fails because of the other one.
    assert "WARNING" not in mini.run("dvc pull dvc.yaml", theirs)
    assert (theirs / "models/gan/mini/weights.txt").read_text() == mini.weights()
    assert "Data and pipelines are up to date." in mini.run("dvc repro", theirs)
    assert mini.run("git status --porcelain", theirs) == ""


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database, in a cluster of its own; skips where PostgreSQL is not installed."""
    found = {name: shutil.which(name) for name in ("initdb", "postgres")}
    if None in found.values():
        pytest.skip("no PostgreSQL server on this machine")
    port = free_port()
    with tempfile.TemporaryDirectory() as top:  # not under pytest's, which no other user may enter
        Path(top).chmod(0o755)
        data = Path(top, "data")
        data.mkdir()
        user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses root
            shutil.chown(data, "nobody")
            user = {"user": "nobody"}
        with Path(top, "log").open("wb") as log:
            quiet: dict[str, Any] = {"stdout": log, "stderr": log, "cwd": top, **user}
            initdb = [str(found["initdb"]), "-D", str(data), "-U", "team", "--auth=trust", "--no-sync"]
            subprocess.run(initdb, check=True, **quiet)
            options = ["-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(data), "-F"]
            server = subprocess.Popen([str(found["postgres"]), *options], **quiet)
        try:
            import psycopg

            address = f"postgresql://team@127.0.0.1:{port}/postgres"
            wait_for(lambda: psycopg.connect(address).close(), psycopg.OperationalError)
            yield address.replace("postgresql:", "postgresql+psycopg:")
        finally:
            server.terminate()
            server.wait()


def server_in(document: Path) -> tuple[str, list[str]]:
    """The address of the server that a document starts, and the options that let requests to it through."""
    text = document.read_text()
    address = re.search(r"export MLFLOW_TRACKING_URI=(http\S+)", text)
    options = re.search(r"--allowed-hosts (\S+) --cors-allowed-origins (\S+)", text)
    assert address and options, f"{document.name} starts a server that only this machine can use"
    return address[1], list(options.groups())


@contextmanager
def mlflow_server(database: str, folder: Path, host: str, origin: str) -> Iterator[str]:
    """An MLflow server on `database` that takes and hands out artifacts itself, also for `host` and its pages."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", database]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    command += ["--allowed-hosts", f"127.0.0.1:{port},{host}", "--cors-allowed-origins", origin]
    with (folder / "server.log").open("wb") as log:
        environment = os.environ | NO_JOBS
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_page(f"{address}/health")
        yield address
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def test_mlflow_on_postgresql(project: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gans.save_generator("models/gan/tiny/generator.safetensors")
    named, (host, origin) = server_in(project / "docs/team.md")
    assert named == origin == f"http://{host}"
    with postgresql() as database, mlflow_server(database, workplace, host, origin) as address:
        page = {"Host": host, "Origin": origin}  # what a colleague's browser sends
        search = f"{address}/ajax-api/2.0/mlflow/experiments/search"
        asked = requests.post(search, json={"max_results": 1}, headers=page, timeout=60)
        assert asked.status_code == 200, asked.text
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with records.training_run(family="gan", name="tiny", run_key="k", params={"a": 1}, inputs=[]) as run:
            run.log(0, {"loss": 0.5})
            run.log_model("generator", "models/gan/tiny/generator.safetensors")
        with records.reopened_run("k", family="gan", name="tiny") as run:
            run.score({"fid": 12.5, "judge": "lenet5"})
        sender.finish()
        client = store.open_client()
        (record,) = store.read_runs(client, "gan")
        assert (record.status, record.params, record.metrics["fid"]) == ("FINISHED", {"a": "1"}, 12.5)
        assert not (workplace / "mlflow.db").exists()
        assert record.artifact_uri.startswith("mlflow-artifacts:")

        for name in ("models:/ganscribe-gan-tiny@candidate", "tiny"):
            words = ["sample", name, "--count", "2", "--out", f"{name[:3]}.png"]
            done = CliRunner().invoke(cli.main, words)
            assert done.exit_code == 0, done.output
        assert (workplace / "mod.png").read_bytes() == (workplace / "tin.png").read_bytes()
        assert "12.5" in CliRunner().invoke(cli.main, ["runs", "gan"]).output
    assert any((workplace / "artifacts").rglob("model.safetensors"))

"""A signal to a stage whose training is on Ray: one message, nothing left running, the checkpoint kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil

STAGE = textwrap.dedent("""
    import sys
    import torch
    from ganscribe.execution.checkpoint import Interrupted, open_checkpoint
    from ganscribe.execution.engines.training import train
    from ganscribe.gan.common.recipe import GanRecipe
    from ganscribe.gan.common.training import train_gan
    from ganscribe.training.budget import Budget
    recipe = GanRecipe(
        objective="nonsaturating", networks="mlp", dataset="mnist", optimiser="sgd", learning_rate=0.02,
        batch_size=16, noise_dim=8, steps=100_000, sample_every=1000, snapshots=1,
    )
    budget = Budget(seed=3, precision="fp32", log_every=5)
    with open_checkpoint("key") as checkpoint:
        try:
            train(train_gan, torch.zeros(32, 1, 28, 28, dtype=torch.uint8), recipe, budget=budget,
                  device=torch.device("cpu"), checkpoint=checkpoint, log=lambda step, row: None)
        except Interrupted as error:
            sys.exit(str(error))
""")


def test_a_signal_stops_the_job(project: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(project / "src"), "DVC_ROOT": str(tmp_path), "GANSCRIBE_ENGINE": "ray",
        "GANSCRIBE_DEVICE": "cpu", "GANSCRIBE_WORKERS": "1", "GANSCRIBE_CHECKPOINT_SECONDS": "0.2",
        "RAY_worker_niceness": "0",
    }  # fmt: skip
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    state = tmp_path / ".checkpoints" / "key" / "state.pt"
    deadline = time.monotonic() + 400
    children: list[psutil.Process] = []
    try:
        while not state.exists():
            assert stage.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        children = psutil.Process(stage.pid).children(recursive=True)
        stage.send_signal(signal.SIGTERM)
        _, said = stage.communicate(timeout=120)
        assert stage.returncode == 1, said[-3000:]
        assert said.splitlines()[-1] == "the training was stopped; its last checkpoint is kept"
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive and len(children) > 3
        assert state.exists()
    finally:
        if stage.poll() is None:
            children = psutil.Process(stage.pid).children(recursive=True)
            stage.kill()
        for one in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()

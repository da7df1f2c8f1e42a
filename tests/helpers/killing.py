"""Runs `dvc repro` in a scratch clone and kills parts of it at random moments."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from scratch import Clone

KINDS = ("stage", "dvc", "group")  # the stage's process, `dvc` alone (its stage lives on), all of them
STARTING = "(dvc starts)"
_LINE = "Running stage '"


def stage_processes(process: psutil.Process) -> list[psutil.Process]:
    """The stage scripts below `process`."""
    found = []
    for child in process.children(recursive=True):
        try:
            if any(part.startswith("stages/") for part in child.cmdline()[1:2]):
                found.append(child)
        except psutil.Error:  # it has just ended
            continue
    return found


@dataclass
class Kill:
    """One kill: what was killed, while which stage was the last to be announced."""

    kind: str
    stage: str
    seconds: float  # since the stage was announced
    is_running: bool  # else: DVC is checking before it, or recording after it
    by_hand: str = ""  # what a person had to do before the next `dvc repro` went on
    failure: str = ""  # why the next `dvc repro` failed by itself


@dataclass
class Watch:
    """A running `dvc repro`, in a session of its own, with its output in a file."""

    clone: Clone
    log: Path
    environment: dict[str, str]
    stage: str = STARTING
    since: float = field(default_factory=time.monotonic)
    durations: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["dvc", "repro"],
                cwd=self.clone.folder,
                env=self.clone.environment(**self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def look(self) -> bool:
        """Return whether another stage has been announced since the last look; note how long the one before took."""
        announced = [part.split("'")[0] for part in self.output.split(_LINE)[1:]]
        has_ended = self.process.poll() is not None
        if (announced and announced[-1] != self.stage) or has_ended:
            self.durations[self.stage] = time.monotonic() - self.since
        if not announced or announced[-1] == self.stage:
            return False
        self.stage, self.since = announced[-1], time.monotonic()
        return True

    def kill(self, kind: str, stages: list[psutil.Process]) -> Kill:
        """Kill a part of it with SIGKILL (`stages`: its stage scripts), and wait until `dvc` is gone."""
        seconds = time.monotonic() - self.since
        if kind == "stage":
            for each in stages:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        elif kind == "dvc":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return Kill(kind, self.stage, seconds, bool(stages))


def time_stages(clone: Clone, log: Path, environment: dict[str, str]) -> dict[str, float]:
    """An unbroken build; the seconds from each stage's announcement to the next one's."""
    watch = Watch(clone, log, environment)
    while watch.process.poll() is None:
        watch.look()
        time.sleep(0.02)
    watch.look()
    assert watch.process.returncode == 0, watch.output[-6000:]
    return watch.durations


class Plan:
    """Which stage is to be hit how often, when, and how: `count` kills, a third of each kind.

    They are dealt out evenly to the stages as they come up, and to DVC's start. The moment is drawn from the
    time that the stage took in an unbroken build and a little more: some fall into what DVC does after it.
    """

    def __init__(self, durations: dict[str, float], *, count: int, seed: int) -> None:
        self.durations = durations
        self.rng = random.Random(seed)
        self.kinds = [KINDS[number % 3] for number in range(count)]
        self.rng.shuffle(self.kinds)
        self.unseen = set(durations) - {STARTING}
        self.starts = count // len(durations)
        self.stage, self.left = "", 0  # the newest stage, and the kills still to come in it

    def delay(self, stage: str) -> float | None:
        """Seconds from the announcement of `stage` to its kill, None to let it live."""
        if not self.kinds:
            return None
        if stage == STARTING:
            is_due = self.starts > 0 and self.rng.random() < 0.15
            return self.rng.uniform(0, self.durations[stage]) if is_due else None
        if stage in self.unseen:
            share = max(0, len(self.kinds) - self.starts) / len(self.unseen)
            self.stage, self.left = stage, int(share + self.rng.random())
            self.unseen.remove(stage)
        is_due = stage == self.stage and self.left > 0
        return self.rng.uniform(0, 1.05 * self.durations[stage]) if is_due else None

    def take(self, stage: str, *, is_running: bool) -> str | None:
        """The next kind of kill that is possible, taken off the plan; None where there is none."""
        kind = next((kind for kind in self.kinds if is_running or kind != "stage"), None)
        if kind is not None:
            self.kinds.remove(kind)
            if stage == STARTING:
                self.starts -= 1
            else:
                self.left -= 1
        return kind


def _watch_and_kill(watch: Watch, plan: Plan) -> Kill | None:
    """Follow one `dvc repro` to its end or to its kill."""
    delay = plan.delay(watch.stage)
    while watch.process.poll() is None:
        if watch.look():
            delay = plan.delay(watch.stage)
        if delay is not None and time.monotonic() - watch.since >= delay:
            with contextlib.suppress(psutil.NoSuchProcess):
                stages = stage_processes(psutil.Process(watch.process.pid))
                kind = plan.take(watch.stage, is_running=bool(stages))
                if kind is not None:
                    return watch.kill(kind, stages)
        time.sleep(0.02)
    return None


def kill_until_it_ends(clone: Clone, plan: Plan, *, log: Path, environment: dict[str, str]) -> list[Kill]:
    """Run `dvc repro` over and over, killing it as planned, until it ends by itself without a fault."""
    kills: list[Kill] = []
    for number in itertools.count():
        watch = Watch(clone, log.with_name(f"{log.name}.{number}"), environment)
        kill = _watch_and_kill(watch, plan)
        if kill is not None:
            kills.append(kill)
            with log.with_name(f"{log.name}.kills").open("a") as notes:  # to look at meanwhile
                notes.write(f"{kill}\n")
            continue
        if watch.process.wait() == 0:
            return kills
        assert kills, f"`dvc repro` fails unharmed\n{watch.output[-6000:]}"
        last = kills[-1]
        assert not last.failure, f"`dvc repro` fails twice\n{last.failure}\n{watch.output[-6000:]}"
        last.failure = " ".join(watch.output.split())[-600:]
        if "dvc.lock" in watch.output and re.search("invalid|validation failed", watch.output):
            (clone.folder / "dvc.lock").unlink()  # as docs/reliability.md says
            last.by_hand = "rm dvc.lock"
        elif "RWLock-file" in watch.output and "corrupted" in watch.output:
            (clone.folder / ".dvc/tmp/rwlock").unlink()  # the same
            last.by_hand = "rm .dvc/tmp/rwlock"
    return kills

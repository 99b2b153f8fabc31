"""Runs that are asked to stop by a signal: a snapshot, a sentence, and the rest of it later."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptbench.running.training import snapshot
from promptbench.running.training.step import Stepper
from promptbench.tracking import Listener
from tests.faults import driver
from tests.faults.driver import NOISY, TINY
from tests.short_form import first

ONE: dict[str, Any] = {"seeds": [1], "baseline": False, "checkpoint_minutes": 1e6}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    driver.run(out, **ONE)
    (found,) = driver.numbers(out).values()
    return found


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_stopped_training_goes_on_within_its_epoch_to_the_same_numbers(
    undisturbed: dict[str, Any], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No snapshot within an epoch is due, so that only the signal's can explain it."""
    asked = {**ONE, "set": [*TINY["set"], f"Noisy.fault='{name}'", "Noisy.at=6"]}
    child = driver.start(tmp_path, **asked)  # four steps an epoch
    child.join()
    assert child.exitcode == 128 + signal.Signals[name]
    (path,) = tmp_path.rglob("checkpoint.pt")
    state = snapshot.read(path, Listener())
    assert state is not None and (state["progress"]["epoch"], state["progress"]["step"]) == (1, 2)
    steps: list[int] = []
    step = Stepper.follow_gradient

    def counted(self: Stepper) -> bool:
        steps.append(1)
        return step(self)

    monkeypatch.setattr(Stepper, "follow_gradient", counted)
    driver.run(tmp_path, **asked)
    (found,) = driver.numbers(tmp_path).values()
    assert found == undisturbed and len(steps) == 12 - 6
    assert not list(tmp_path.rglob("failed.log"))


def command(out: Path, *more: str, epochs: int = 100_000) -> list[str]:
    return [
        "run", "--method", "noisy", "--plugin", str(NOISY),
        "--protocol", "base_to_new", "--datasets", "counts", "--seeds", "1,2", "--out", str(out),
        "--set", f"Recipe.epochs={epochs}", "--checkpoint-minutes", "1e6", *more,
    ]  # fmt: skip


def begun(out: Path, count: int = 1) -> None:
    """Wait until so many trainings have written a checkpoint."""
    limit = time.monotonic() + 180
    while len(list(out.rglob("checkpoint.pt"))) < count and time.monotonic() < limit:
        time.sleep(0.1)


@contextmanager
def ending() -> Iterator[None]:
    """What ends in this block must do so within the grace of a batch system."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("number", "jobs", "group"),
    first(
        2,
        [
            (signal.SIGINT, 2, True),  # a terminal's Ctrl-C goes to the whole group
            (signal.SIGTERM, 1, False),
            (signal.SIGINT, 1, True),
            (signal.SIGTERM, 2, False),  # to the parent only
            (signal.SIGUSR1, 2, True),  # to everybody, as a batch system does
        ],
    ),
)
def test_the_command_saves_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, jobs: int, group: bool
) -> None:
    file, out = tmp_path / "said", tmp_path / "runs"
    child = driver.command(file, *command(out, "--jobs", str(jobs)))
    assert child.pid is not None
    begun(out, count=jobs)
    (os.killpg if group else os.kill)(child.pid, number)
    with ending():
        child.join(120)
        driver.wait_for_orphans(child.pid)
    said = " ".join(file.read_text().split())
    assert child.exitcode == 128 + number, said
    assert "Traceback" not in said
    how = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert f"{how}; saved: noisy on counts" in said
    assert said.count(", after epoch") == jobs
    assert said.endswith("what is finished is kept: run the same command again and it goes on")
    assert not list(tmp_path.rglob("failed.log"))
    assert not [p for p in tmp_path.rglob(".*") if p.name != ".locks"]  # no unfinished file


@pytest.mark.long
def test_ctrl_c_is_answered_where_the_shell_ignores_it(tmp_path: Path) -> None:
    """As it does for a job that a script has started with `&`; nohup's SIGHUP stays ignored."""
    words = [sys.executable, "-m", "promptbench.cli", *command(tmp_path)]
    child = subprocess.Popen(
        ["sh", "-c", f"trap '' INT HUP; exec {shlex.join(words)}"], text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    begun(tmp_path)
    os.kill(child.pid, signal.SIGHUP)
    time.sleep(1)
    assert child.poll() is None
    os.kill(child.pid, signal.SIGINT)
    with ending():
        _, said = child.communicate(timeout=120)
        driver.wait_for_orphans(child.pid)
    assert child.returncode == 130 and "Traceback" not in said, said
    assert "interrupted; saved: noisy on counts" in " ".join(said.split())


@pytest.mark.long
def test_what_two_stopped_workers_saved_ends_in_the_undisturbed_records(tmp_path: Path) -> None:
    longer: dict[str, Any] = {**ONE, "seeds": [1, 2], "set": ["Recipe.epochs=60", *TINY["set"][1:]]}
    driver.run(tmp_path / "undisturbed", **longer)
    out = tmp_path / "stopped"
    child = driver.start(out, jobs=2, **longer)
    begun(out, count=2)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGTERM)
    child.join()
    assert child.exitcode == 143 and len(list(out.rglob("checkpoint.pt"))) == 2
    driver.run(out, **longer)
    assert driver.numbers(out) == driver.numbers(tmp_path / "undisturbed")

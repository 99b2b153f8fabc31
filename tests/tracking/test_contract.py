"""What every tracker keeps to, whoever wrote it; runs over all that there are."""

from __future__ import annotations

import io
import pickle
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from promptbench import records
from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError
from promptbench.tracking import Listener, Tracker, TrackerOptions
from tests.tracking.recorded import EPOCHS, Recorded, play, recorded
from tests.tracking.wandb_runs import Offline


class Stream(io.StringIO):
    """A stderr that is a terminal, or is none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorded, Path]:
    out = tmp_path_factory.mktemp("recorded") / "out"
    return recorded(out), out


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place that holds the working folder, the home and temporary files. The client of Weights &
    Biases is a stand-in: `test_wandb_runs.py` has the real one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "wandb", Offline())
    entries = "wandb.sdk.artifacts.artifact_manifest_entry"
    monkeypatch.setitem(sys.modules, entries, MagicMock())
    return tmp_path


def held() -> tuple[list[str], set[str]]:
    """The open files and the threads of this process."""
    handles = Path("/proc/self/fd").iterdir()
    files = sorted(str(handle.readlink()) for handle in handles if handle.is_symlink())
    return files, {thread.name for thread in threading.enumerate()}


def held_after(before: tuple[list[str], set[str]]) -> tuple[list[str], set[str]]:
    """What is held now; threads that were asked to end have a moment to do so."""
    limit = time.monotonic() + 5
    while (now := held()) != before and time.monotonic() < limit:
        time.sleep(0.02)
    return now


def made(name: str, out: Path) -> Tracker:
    try:
        found: Tracker = TRACKERS.load(name).cls(out, TrackerOptions())
    except UserError as error:  # of an extra
        if "needs the package" not in str(error):
            raise
        pytest.skip(str(error))
    return found


@pytest.mark.filterwarnings("ignore:left out of Weights . Biases, without predictions")
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_tracker_hears_a_whole_run_and_leaves_nothing(
    name: str,
    terminal: bool,
    run: tuple[Recorded, Path],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Stream(terminal))  # here: pytest sets it after fixtures
    facts, out = run
    before, told = held(), pickle.dumps((facts, EPOCHS))
    tracker = made(name, out)
    assert held_after(before) == before  # opening anything is for later
    for _ in play(tracker, facts, out):
        assert pickle.dumps((facts, EPOCHS)) == told
    tracker.close()
    tracker.close()
    assert held_after(before) == before
    assert not list(elsewhere.iterdir())
    assert records.find([out]) == []  # whatever copies of records it keeps


@pytest.mark.filterwarnings("ignore:left out of Weights . Biases, without predictions")
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_tracker_may_be_closed_at_any_moment(
    name: str,
    terminal: bool,
    run: tuple[Recorded, Path],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Stream(terminal))  # here: pytest sets it after fixtures
    facts, out = run
    before = held()
    for last in list(play(Listener(), facts, out)):
        tracker: Any = made(name, out)
        for moment in play(tracker, facts, out):
            if moment == last:
                break
        tracker.close()
    assert held_after(before) == before


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_tracker_says_what_it_is(name: str) -> None:
    kind = TRACKERS.load(name).cls
    assert kind.title and "\n" not in kind.title
    assert isinstance(kind.takes, str) and isinstance(kind.in_every_process, bool)

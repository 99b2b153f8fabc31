"""What other processes find ahead is what is found here, and nothing hangs on their life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from promptbench.cli import streams
from promptbench.errors import UserError
from promptbench.storage import ahead, remembered
from promptbench.storage.remembered import Remembered
from promptbench.support import allotted, crew, processes
from promptbench.support.progress import Reporter

NAMES = [Path(f"file-{number}") for number in range(20)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_FIRST", 4), ("_LEAST", 6), ("_PART", 3)):
        monkeypatch.setattr(ahead, name, value)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with remembered.opened(tmp_path, beside=2) as found:
        yield found


class Hears(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def find(paths: Sequence[Path], memory: Remembered) -> None:
    for path in paths:
        if memory.get(path.name) is None:
            memory.put(path.name, str(os.getpid()))


def find_or_die(paths: Sequence[Path], memory: Remembered) -> None:
    if Path("file-11") in paths:
        os.kill(os.getpid(), signal.SIGKILL)
    find(paths, memory)


def find_wrongly(paths: Sequence[Path], memory: Remembered) -> None:
    raise UserError(f"{paths[0]} is odd")


def gone_through(look: ahead.Look, memory: Remembered, reporter: Reporter) -> list[str]:
    """Who found what is known of each file in the end: its process."""
    seen = []
    for path in ahead.over(NAMES, look, memory, reporter):
        find([path], memory)
        seen.append(path)
    assert seen == NAMES
    found = [memory.get(path.name) for path in NAMES]
    assert all(found)
    return [str(process) for process in found]


def test_files_are_found_ahead_where_the_first_were_unknown(memory: Remembered) -> None:
    hears = Hears()
    found = gone_through(find, memory, hears)
    own = str(os.getpid())
    assert found[:4] == [own] * 4 and own not in found[4:]
    assert not hears.said and memory.kept == 4


def test_a_process_that_dies_costs_time_only(memory: Remembered) -> None:
    hears = Hears()
    found = gone_through(find_or_die, memory, hears)
    assert hears.said == [crew.DIED]
    assert found[-1] == str(os.getpid())


def test_an_error_of_the_look_is_not_hidden(memory: Remembered) -> None:
    with pytest.raises(UserError, match="file-4 is odd"):
        list(gone_through(find_wrongly, memory, Hears()))


@pytest.mark.parametrize("why", ["known", "few", "no memory", "one core"])
def test_no_process_is_started_for_nothing(
    why: str, memory: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "started", lambda _: pytest.fail("a process was started"))
    if why == "known":
        find(NAMES[:3], memory)
        memory.kept = 0
    names = NAMES[:9] if why == "few" else NAMES
    own = None if why == "no memory" else memory
    if why == "one core":
        memory.beside = 1
    passed = []
    for path in ahead.over(names, find, own):
        find([path], memory)
        passed.append(path)
    assert passed == names


def test_what_is_verified_again_is_found_here_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "started", lambda _: pytest.fail("a process was started"))
    with remembered.opened(tmp_path, again=True, beside=8) as memory:
        for path in ahead.over(NAMES, find, memory):
            find([path], memory)


@pytest.mark.parametrize(
    ("cores", "gigabytes", "found"), [(8, 64, 8), (8, 3, 3), (1, 9, 1), (4, 0, 1)]
)
def test_processes_fit_the_machine(
    cores: int, gigabytes: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allotted, "cores", lambda: cores)
    monkeypatch.setattr(allotted, "memory", lambda: gigabytes * 2**30)
    assert crew.most() == found


PARENT = """
import os, time
from promptbench.support import crew

if __name__ == "__main__":
    with crew.started(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 60).result()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="SIGKILL, and processes by their ids")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    file = tmp_path / "parent.py"
    file.write_text(PARENT)
    with subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert processes.exists(child)
        parent.kill()
    limit = time.monotonic() + 30
    while processes.exists(child) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not processes.exists(child)


def test_a_command_says_that_a_process_has_died(capsys: pytest.CaptureFixture[str]) -> None:
    streams.progress().message(crew.DIED)
    assert capsys.readouterr().err == f"note: {crew.DIED}\n"

"""What other processes find ahead is what is found here, and nothing hangs on their life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from promptbench.cli import streams
from promptbench.storage import ahead, remembered
from promptbench.storage.remembered import Remembered
from promptbench.support import allotted, crew, processes
from promptbench.support.crew import Crew
from promptbench.support.progress import Reporter

NAMES = [Path(f"file-{number}") for number in range(20)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_PART", 4), ("_LEAST", 6)):
        monkeypatch.setattr(ahead, name, value)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with remembered.opened(tmp_path, beside=Crew(2)) as found:
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
    raise MemoryError("too many at once")


def warn(paths: Sequence[Path], memory: Remembered) -> None:
    warnings.warn("an old way", DeprecationWarning, stacklevel=1)
    find(paths, memory)


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
    assert found[11] == str(os.getpid())


def test_what_fails_beside_this_process_is_done_here(memory: Remembered) -> None:
    hears = Hears()
    found = gone_through(find_wrongly, memory, hears)
    (said,) = hears.said
    assert said.startswith("a process beside this one failed (not enough memory: too many at once")
    assert said.endswith(crew.GONE)
    assert set(found) == {str(os.getpid())}


@pytest.mark.parametrize("error", [BrokenProcessPool("early"), OSError("no more processes")])
def test_without_room_for_processes_everything_is_done_here(
    error: Exception, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(crew._Pool, "submit", refuse)
    hears = Hears()
    assert set(gone_through(find, memory, hears)) == {str(os.getpid())}
    assert len(hears.said) == 1 and hears.said[0].endswith(crew.GONE)


def test_known_files_before_unknown_ones_keep_nobody_out(memory: Remembered) -> None:
    find(NAMES[:7], memory)
    found = gone_through(find, memory, Hears())
    assert str(os.getpid()) not in found[12:]  # the third window was unknown


@pytest.mark.parametrize("unknown", [20, 12])
def test_files_that_are_said_to_be_unknown_are_looked_at_elsewhere_from_the_first_on(
    unknown: int, memory: Remembered
) -> None:
    """The first file of each window of four is asked about."""
    find(NAMES[:-unknown], memory)
    asked: list[Path] = []

    def known(path: Path) -> bool:
        asked.append(path)
        return memory.get(path.name) is not None

    for path in ahead.over(NAMES, find, memory, None, known):
        find([path], memory)
    assert asked == NAMES[: 21 - unknown : 4]
    assert str(os.getpid()) not in {memory.get(path.name) for path in NAMES[-unknown:]}


def test_a_warning_is_no_error_in_any_process(
    memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    hears = Hears()
    assert str(os.getpid()) not in gone_through(warn, memory, hears)[4:]
    assert not hears.said


@pytest.mark.parametrize(
    "why", ["known", "few", "few unknown", "no memory", "one core", "no store"]
)
def test_no_process_is_started_for_nothing(
    why: str, memory: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Crew, "started", lambda *_: pytest.fail("a process was started"))
    if why == "known":
        find(NAMES, memory)
    if why == "one core":
        memory.beside = Crew()
    if why == "no store":  # what others found could not be read
        (tmp_path / "file").write_text("")
        memory = Remembered(tmp_path / "file" / "store", beside=Crew(2))
    names = {"few": NAMES[:9], "few unknown": NAMES[:5]}.get(why, NAMES)
    passed = []
    given = None if why == "no memory" else memory
    known = (lambda _: False) if why == "few unknown" else None
    for path in ahead.over(names, find, given, None, known):
        find([path], memory)
        passed.append(path)
    assert passed == names


def test_what_is_verified_again_is_found_here_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Crew, "started", lambda *_: pytest.fail("a process was started"))
    with remembered.opened(tmp_path, again=True, beside=Crew(8)) as memory:
        for path in ahead.over(NAMES, find, memory):
            find([path], memory)


@pytest.mark.parametrize(
    ("cores", "gigabytes", "found"), [(8, 64, 8), (64, 99, 16), (8, 3, 3), (1, 9, 1), (4, 0, 1)]
)
def test_processes_fit_the_machine(
    cores: int, gigabytes: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allotted, "cores", lambda: cores)
    monkeypatch.setattr(allotted, "memory", lambda: gigabytes * 2**30)
    assert crew.most() == found
    monkeypatch.setattr(sys, "platform", "darwin")
    assert crew.most() == 1


PARENT = """
import os, time
from promptbench.support.crew import Crew

if __name__ == "__main__":
    with Crew(1).started(1) as pool:
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


INTERRUPTED = """
import os, signal, sys, time
from promptbench.support.crew import Crew

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    with Crew(2).started(2) as pool:
        try:
            futures = [pool.submit(time.sleep, 1) for _ in range(8)]
            print("begun", flush=True)
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            print("stopped", futures[0].result(), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a group of processes and its signals")
def test_ctrl_c_is_answered_by_the_parent_only(tmp_path: Path) -> None:
    """Also while its processes are starting."""
    file = tmp_path / "parent.py"
    file.write_text(INTERRUPTED)
    child = subprocess.Popen(
        [sys.executable, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (out, err, child.returncode) == ("stopped None\n", "", 0)


def test_a_transaction_that_fails_keeps_nobody_out(tmp_path: Path) -> None:
    with remembered.opened(tmp_path) as memory:
        assert not memory._store.write(lambda file: file.execute("INSERT INTO nowhere VALUES (1)"))
        memory.put("a", "b")
        assert memory.flush()
    with remembered.opened(tmp_path) as again:
        assert again.get("a") == "b"

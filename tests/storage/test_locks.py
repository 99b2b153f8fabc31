"""Locks on file systems that have none: files stand in, and hold as locks do."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench.errors import OutputError
from promptbench.executors.local import Local
from promptbench.planning.machine import Machine
from promptbench.running import afterwards, session
from promptbench.storage import locks
from promptbench.tracking import Listener

WITHOUT = [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]
# A process that dies with a lock in its hand, where flock answers an error.
DIES = """
import fcntl, os, sys
from pathlib import Path
def flock(*_): raise OSError({number}, os.strerror({number}))
fcntl.flock = flock
from promptbench.storage import locks
with locks.claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    os._exit(9)
"""


def no_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, "no such thing here")

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What one test finds out of a folder, no other test believes."""
    yield
    locks._missing.cache_clear()


@pytest.mark.parametrize("number", WITHOUT)
def test_files_stand_in_for_locks_that_there_are_none_of(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_locks(monkeypatch, number)
    path = locks.place(tmp_path, "cell", "0" * 64)
    with locks.claimed(path) as mine:
        assert mine and locks.is_held(path)
    assert not locks.is_held(path)
    with locks.held(path):
        assert locks.is_held(path)
    assert not locks.is_held(path) and list(path.parent.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_the_stand_in_of_a_process_that_died_is_free(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = locks.place(tmp_path, "cell", "0" * 64)
    command = [sys.executable, "-c", DIES.format(number=number), str(path)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (died.returncode, died.stdout) == (9, "True\n"), died.stderr
    assert list(path.parent.iterdir()), "it left its file"
    no_locks(monkeypatch, number)
    with locks.claimed(path) as mine:
        assert mine


def test_a_file_of_real_locks_is_no_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was on another file system before: its lock files are still there."""
    path = locks.place(tmp_path, "cell", "0" * 64)
    with locks.claimed(path) as mine:
        assert mine and path.exists()
    locks._missing.cache_clear()
    no_locks(monkeypatch, errno.ENOLCK)
    with locks.claimed(path) as mine:
        assert mine


def test_a_lock_that_fails_later_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = locks.place(tmp_path, "cell", "0" * 64)
    assert not locks.is_held(path)
    no_locks(monkeypatch, errno.ENOLCK)
    for way in (locks.claimed, locks.held):
        refused = pytest.raises(OutputError, match=r"cannot lock .*run the same command again")
        with refused, way(path):
            pytest.fail("it was not locked")


def test_a_run_says_once_what_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    listener = Listener()
    monkeypatch.setattr(listener, "message", said.append)
    monkeypatch.setattr(session.failures, "not_failed", lambda cells, _: cells)
    monkeypatch.setattr(Local, "run", lambda *_: None)
    monkeypatch.setattr(afterwards.failures, "reason_of", lambda *_: None)
    method = SimpleNamespace(name="x", source_sha256=None)
    cell: Any = SimpleNamespace(id="0", is_done=lambda _: False, recipe=None, method=method)
    made: Any = SimpleNamespace(
        out=tmp_path, cells=[], pending=lambda: [cell], done=list, remarks=()
    )
    machine = Machine(out=tmp_path, quiet=True)

    def run() -> list[str]:
        said.clear()
        session.run_plans([made, made], machine, SimpleNamespace(), listener)  # type: ignore[arg-type]
        return [text for text in said if "locks" in text]

    assert run() == []
    locks._missing.cache_clear()
    no_locks(monkeypatch, errno.ENOLCK)
    (told,) = run()
    assert f"the file system of {tmp_path / '.locks'} has no locks (no such thing here)" in told
    assert "delete that folder" in told

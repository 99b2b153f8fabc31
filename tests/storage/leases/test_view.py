"""Who holds what, from one listing, and folders that take no leases or show none."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptbench.errors import OutputError
from promptbench.storage import leases
from promptbench.storage.leases import files, heartbeat, protocol
from promptbench.storage.leases.files import look
from tests.storage.leases.holders import elsewhere, left


def test_who_holds_what_is_plain_data(path: Path) -> None:
    out = path.parents[1]
    assert leases.holders(out) == []
    with leases.claimed(path):
        training = leases.place(out, "training", "f" * 64)
        assert files.create(training, elsewhere())
        os.utime(training, (0, 0))
        mine, theirs = leases.holders(out)
        assert (mine.path, mine.kind, mine.digest) == (path, "cell", "0123456789abcdef" * 2)
        assert (mine.pid, mine.worker, mine.stale) == (os.getpid(), leases.worker(), False)
        assert mine.seconds is not None and mine.seconds < 60
        assert (theirs.kind, theirs.host, theirs.job) == ("training", "node7", "Slurm job 9_3")
        assert theirs.stale and theirs.seconds is not None and theirs.seconds > 1e9
    assert left(path) == [training.name]


def test_a_view_knows_from_one_listing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another machine is looked at every two beats, and this machine's only once."""
    looks: list[str] = []
    monkeypatch.setattr(protocol, "look", lambda p: looks.append(p.name) or look(p))
    out, theirs = path.parents[1], path.with_name("cell-theirs")
    view = leases.View(out)
    assert not view.is_held(path) and not view.others() and looks == []
    with leases.claimed(path):
        assert not view.others()
        assert files.create(theirs, elsewhere())
        view.refresh()
        looks.clear()
        for _ in range(5):
            assert view.is_held(path) and view.is_held(theirs)
            assert not view.is_held(path.with_name("cell-free"))
        assert looks == [path.name, theirs.name] and view.others()
        now = time.monotonic() + 2 * heartbeat.BEAT
        monkeypatch.setattr(time, "monotonic", lambda: now)
        assert view.is_held(theirs) and looks[2:] == [theirs.name]
    view.refresh()
    assert not view.is_held(path)


def test_pauses_grow_up_to_a_bound_and_differ() -> None:
    found = [pause for pause, _ in zip(leases.pauses(0.1, 2.0), range(200), strict=False)]
    assert all(0.06 <= pause <= 2.7 for pause in found) and len(set(found)) > 150
    assert sum(found[:5]) < 1 < sum(found[-5:])


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    with monkeypatch.context() as patch:

        def refused(*_: Any) -> int:
            raise OSError(number, os.strerror(number))

        patch.setattr(os, "open", refused)
        yield


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"cannot write .*No space left on device; free some space and run the same"),
        (errno.EACCES, r"cannot write .*Permission denied"),
        (errno.EROFS, r"cannot write .*Read-only file system"),
        (errno.ENOLCK, r"cannot lock .*No locks available; run the same command again"),
    ],
)
def test_a_folder_that_takes_no_leases_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    for way in (leases.claimed, leases.held):
        refused = pytest.raises(OutputError, match=said)
        with refused, failing(monkeypatch, number), way(path):
            pytest.fail("it was not held")


def test_a_folder_that_cannot_be_listed_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(where: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", str(where))

    monkeypatch.setattr(os, "listdir", refused)
    out = path.parents[1]
    for way in (leases.View(out).refresh, lambda: leases.sweep(out), lambda: leases.holders(out)):
        with pytest.raises(OutputError, match=r"\.locks: Permission denied"):
            way()

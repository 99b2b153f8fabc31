"""Take-overs: by exactly one of many, at the last moment, and after a kill at any step."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench.storage import leases
from promptbench.storage.leases import files, protocol
from promptbench.storage.leases.files import Seen, look
from tests.storage.leases.holders import FORK, dies_holding, elsewhere, left


@pytest.mark.parametrize("no_links", [errno.ENOTSUP], indirect=True)
def test_what_is_moved_aside_by_mistake_is_put_back_without_links_as_well(
    path: Path, no_links: None
) -> None:
    test_what_is_moved_aside_by_mistake_is_put_back(path)


def test_what_is_moved_aside_by_mistake_is_put_back(path: Path) -> None:
    assert files.create(path, elsewhere())
    before = look(path)
    assert not files.remove(path, "mine", lambda found: found.claim == "mine")
    assert look(path) == before and left(path) == [path.name]
    assert files.remove(path, "mine", lambda found: found.claim == "theirs")
    assert left(path) == []
    assert not files.remove(path, "mine", lambda found: True)


def test_a_lease_that_beats_again_at_the_last_moment_is_not_taken_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder wakes up while somebody is about to take it."""
    assert files.create(path, elsewhere())
    remove = files.remove

    def wakes(path: Path, claim: str, is_meant: Callable[[Seen], bool]) -> bool:
        if claim != "theirs" and path.name == place:
            os.utime(path)
        return remove(path, claim, is_meant)

    place = path.name
    os.utime(path, (0, 0))
    monkeypatch.setattr(protocol._WATCHER, "is_stale", lambda found: found.claim == "theirs")
    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", wakes)
        with leases.claimed(path) as mine:
            assert mine is None
    assert left(path) == [path.name]
    with leases.claimed(path) as mine:
        assert mine is not None


def race(path: Path, ready: Any, go: Any, report: Any) -> None:
    for _ in range(ROUNDS):
        ready.wait()
        with leases.claimed(path) as mine:
            report.put(mine is not None)
            go.wait()


ROUNDS, RACERS = 25, 16


def test_a_stale_lease_is_taken_over_by_exactly_one_of_many(path: Path) -> None:
    ready, go = FORK.Barrier(RACERS + 1), FORK.Barrier(RACERS + 1)
    report = FORK.Queue()
    crew = [FORK.Process(target=race, args=(path, ready, go, report)) for _ in range(RACERS)]
    for process in crew:
        process.start()
    for number in range(ROUNDS):
        if number % 2:
            dies_holding(path)
        ready.wait()
        assert sum(report.get(timeout=60) for _ in crew) == 1, f"round {number}"
        go.wait()
        while look(path) is not None:  # whoever won gives it back
            time.sleep(0.001)
    for process in crew:
        process.join()
    assert left(path) == []


STEPS = ["link", "open", "rename", "unlink"]


def dies_at(step: str, number: int, path: Path) -> None:
    """Claim and release, and end at the step of that number, before it or after."""
    count = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number and number % 2:
                os._exit(9)
            result = real(*args, **options)
            if count == number:
                os._exit(9)
            return result

        return called

    home: Any = Path if step in ("rename", "unlink") else os
    setattr(home, step, dying(getattr(home, step)))
    with leases.claimed(path) as mine:
        assert mine is not None
    os._exit(0)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("stale", [False, True])
def test_a_kill_at_any_step_leaves_nothing_in_the_way(path: Path, step: str, stale: bool) -> None:
    number, code = 0, 9
    while code == 9:
        number += 1
        if stale:
            dies_holding(path)
        child = FORK.Process(target=dies_at, args=(step, number, path))
        child.start()
        child.join()
        code = child.exitcode or 0
        for found in path.parent.glob("*"):  # files that were not whole yet grow old
            if found.stat().st_size == 0:
                os.utime(found, (0, 0))
        with leases.claimed(path) as mine:
            assert mine is not None
        leases.sweep(path.parents[1])
        assert left(path) == []
    assert code == 0 and number > 1


def test_nobody_sweeps_while_others_work(path: Path) -> None:
    died = path.with_name("cell-dead")
    dies_holding(died)
    with leases.claimed(path):
        leases.sweep(path.parents[1])
        assert left(path) == sorted([path.name, died.name])
    leases.sweep(path.parents[1])
    assert left(path) == []

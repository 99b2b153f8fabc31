"""Processes that are killed, at random moments and at every write: nothing is lost."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.faults import driver

KILLS = 10  # `make soak` kills more, and processes that share a grid


@pytest.mark.long
def test_random_kills_lose_nothing(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    tally = driver.kill_at_random(
        lambda number: tmp_path / str(number), KILLS, undisturbed, seed=0, longest=0.8
    )
    print(f"{tally.kills} kills over {tally.grids} grids, {tally.cells} records")
    assert tally.kills >= KILLS and len(undisturbed) == 4
    assert (tally.lost, tally.duplicated, tally.differing) == (0, 0, [])


def _die_at_write(number: int) -> None:
    """End this process at its write of that number: half of the times before the file appears."""
    replace, count = Path.replace, 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == number and number % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = replace(self, target)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    mock.patch.object(Path, "replace", counted).start()


def test_a_kill_at_every_single_write_loses_nothing(
    undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    number, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        number += 1
        child = driver.start(tmp_path, partial(_die_at_write, number), seeds=[1], baseline=False)
        child.join()
        code = child.exitcode
    assert code == 0 and number > 6
    (found,) = driver.numbers(tmp_path).items()
    assert undisturbed[found[0]] == found[1]
    left = [path.name for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert left == [".locks"]  # no unfinished file either

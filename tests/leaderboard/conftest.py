"""Records of a small real run, once per worker; tests that tamper take a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import promptbench
from promptbench import records
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.boards.board import Board
from promptbench.leaderboard.checking import places
from tests.leaderboard.browsing import CHROMIUM, FLAGS


@pytest.fixture(scope="session", autouse=True)
def accepted_results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of accepted results; the boards of tests see an empty one in its place."""
    own, folder = places.results(), tmp_path_factory.mktemp("accepted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(places.VARIABLE, str(folder))
        yield own


@pytest.fixture(scope="session")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One seed of CoOp and the zero-shot row, one shot of one demo dataset."""
    out = tmp_path_factory.mktemp("board") / "runs"
    promptbench.run(
        "coop",
        "few_shot",
        datasets=["fills"],
        shots=1,
        seeds=[1],
        set=["Recipe.epochs=2"],
        out=out,
        quiet=True,
    )
    return out


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy to tamper with."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


@pytest.fixture
def coop(runs: Path) -> Path:
    """The record file of the trained cell."""
    (path,) = records.find([runs / "demo" / "few_shot" / "coop"])
    return path


@pytest.fixture(scope="module")
def papers() -> list[Board]:
    return building.boards([])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, for tests marked with `browsing.NEEDED`."""
    driving = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driving.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()

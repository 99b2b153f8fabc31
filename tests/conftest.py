"""Shared fixtures: generated data is prepared once for all tests of a session."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from promptbench.core.registry import FROM_FILES

OFFLINE = Path(__file__).with_name("offline")
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """With PROMPTBENCH_OFFLINE=1, sockets reach nothing but this machine: not from here, and not
    from the processes that tests start."""
    if os.environ.get("PROMPTBENCH_OFFLINE") == "1":
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if str(OFFLINE) not in paths:
            os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, paths)])
        runpy.run_path(str(OFFLINE / "sitecustomize.py"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A cache of its own, shared by the workers of a parallel session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "cache"
    os.environ["PROMPTBENCH_CACHE"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def no_data_of_the_users(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PROMPTBENCH_DATA", "PROMPTBENCH_CARDS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(cache / "no-data-home"))


@pytest.fixture(autouse=True)
def no_plugin_files() -> Iterator[None]:
    """What a test adds with --plugin, or puts in the place of cards, no other test sees."""
    yield
    for kind in FROM_FILES:
        kind._files.clear()
    known = sys.modules.get("promptbench.leaderboard.checking.known")
    if known is not None:
        known.forget()

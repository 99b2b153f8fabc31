"""A run that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

import promptbench
from tests.tracking.third_party import install
from tests.tracking.wandb_runs import SMALL


@pytest.fixture(scope="session")
def logged(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlignedNorm, logged offline while it was computed."""
    pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("wandb") / "runs"
    promptbench.run("alignednorm", "few_shot", out=folder, wandb="offline", **SMALL)
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tracker from another package, which is installed for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    return install(tmp_path)

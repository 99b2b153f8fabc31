"""A short training to hand on, and a hub on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import promptbench
from promptbench import records
from tests.sharing.hub_server import TOKEN, Hub, serving


@pytest.fixture(scope="session")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a cell of CoOp."""
    out = tmp_path_factory.mktemp("shared") / "runs"
    promptbench.run(
        "coop",
        "few_shot",
        datasets="fills",
        shots=1,
        seeds=1,
        set=["Recipe.epochs=1"],
        limit=20,
        baseline=False,
        quiet=True,
        out=out,
    )
    return records.find([out])[0].parent


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub with a user who has logged in."""
    with serving() as found:
        template = found.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.delenv("PROMPTBENCH_OFFLINE", raising=False)
        yield found

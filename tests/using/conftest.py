"""Short trainings on the demo, and the test images that their records have scored, as files."""

from __future__ import annotations

from pathlib import Path

import pytest

import promptbench
from promptbench.data.shards import store
from promptbench.support.progress import Reporter

IMAGES = 20
METHODS = ("zeroshot", "coop", "maple", "mmrl", "tipadapter", "twosfs", "linear_probe", "cocoop")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("used") / "runs"
    promptbench.run(
        METHODS,
        "few_shot",
        datasets="counts",
        shots=1,
        seeds=1,
        set=["Recipe.epochs=2", "TipAdapter.passes=1"],
        limit=IMAGES,
        quiet=True,
        out=out,
    )
    return out


@pytest.fixture(scope="session")
def pictures(runs: Path) -> Path:
    """The images that the records have scored, in their order."""
    folder = runs.parent / "pictures"
    folder.mkdir()
    data = store.provide("counts", None, Reporter())
    items = data.stream("test", set(range(len(data.card.classes))))
    for number, item in zip(range(IMAGES), items, strict=False):
        (folder / f"{number}.png").write_bytes(item.image)
    return folder


def cell(runs: Path, method: str) -> Path:
    """The folder of a method's cell."""
    (found,) = (runs / "demo" / "few_shot" / method).iterdir()
    return found

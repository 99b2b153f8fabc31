"""What makes planning quick, without a clock: what is read once, and what is not read at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning import write_indices
from promptbench.config import parsing
from promptbench.data.cards import cards
from promptbench.planning import extent, plan
from promptbench.planning.request import Request

PLANS = """
import sys, warnings
warnings.simplefilter("error")
from promptbench.planning import plan
from promptbench.planning.request import Request
plan.build(Request(["all"], "few_shot", suite="clip", data={data!r}, weights={weights!r}), "fp32")
assert "open_clip" not in sys.modules and "torchvision" not in sys.modules, "imported"
"""


@pytest.fixture
def real_suite(tmp_path: Path) -> Path:
    """The field's datasets without an image, and a file in place of weights."""
    write_indices(tmp_path / "data")
    (tmp_path / "weights.bin").write_bytes(b"no weights")
    return tmp_path


def test_the_fields_suite_is_planned_without_any_model(real_suite: Path) -> None:
    """open_clip's models and torchvision take longer to import than everything else together."""
    code = PLANS.format(data=str(real_suite / "data"), weights=str(real_suite / "weights.bin"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_text_is_parsed_once_for_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    statements = parsing._statements

    def counting(text: str, name: str) -> Any:
        parsed.append(name)
        return statements(text, name)

    monkeypatch.setattr(parsing, "_statements", counting)
    parsing._known.cache_clear()
    for seeds in ([1], [1, 2, 3]):
        plan.build(Request(["coop", "maple"], "few_shot", seeds=seeds), "fp32")
    assert len(parsed) == len(set(parsed)) and any(name.endswith("coop.gin") for name in parsed)


def test_a_card_that_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path))
    own = tmp_path / "mine.toml"
    shutil.copy(cards.path_of("counts"), own)
    text = own.read_text().replace('name = "counts"', 'name = "mine"')
    digests = []
    for version in (1, 2):
        own.write_text(text.replace("version = 1", f"version = {version}"))
        digests.append(cards.load("mine").digest)
    assert digests[0] != digests[1]


def test_extent_asks_for_each_card_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = plan.build(
        Request(["coop"], "base_to_new", datasets=["counts"], seeds=[1], baseline=False), "fp32"
    ).cells
    known = cards.load("counts")
    monkeypatch.setattr(cards, "load", lambda _: pytest.fail("it was looked up"))
    asked: list[str] = []

    def card_of(name: str) -> cards.DataCard:
        asked.append(name)
        return known

    assert extent.scored_images(cell, card_of) == known.splits["test"]
    assert extent.steps(cell, card_of) == cell.recipe["epochs"] * extent.steps_per_epoch(
        cell, card_of
    )
    assert set(asked) == {"counts"}

"""Runs over decoded images: predictions' bytes are equal whatever the cache is like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.data.decoded import reading
from promptbench.data.decoded.folder import Folder
from promptbench.data.shards.shards import Item
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running.cell import run_cell
from promptbench.running.lab import Lab, arithmetic, open_lab
from promptbench.running.lab.compute import Compute
from promptbench.tracking import Listener


@pytest.fixture(name="lab")
def opened() -> Iterator[tuple[Cell, Lab]]:
    """A zero-shot cell of the demo, 16 images of each target, and its lab."""
    asked = Request(["zeroshot"], "base_to_new", datasets=["counts"], limit=16)
    made = plan.build(asked, "fp32")
    compute = Compute(torch.device("cpu"), "fp32")
    with arithmetic.restored():
        yield made.cells[0], open_lab([made], Machine(), compute, Listener())


def predictions(cell: Cell, lab: Lab, out: Path, workers: int) -> dict[str, bytes]:
    """The predictions of the cell by their files."""
    run_cell(cell, replace(lab, out=out, workers=workers))
    return {path.name: path.read_bytes() for path in out.rglob("predictions/*.csv.gz")}


@pytest.fixture(name="counts")
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many images have been decoded since the last call."""
    times: list[Item] = []
    original = reading.decoded
    monkeypatch.setattr(reading, "decoded", lambda item: times.append(item) or original(item))

    def since() -> int:
        found = len(times)
        times.clear()
        return found

    return since


def test_predictions_are_equal_without_with_a_full_and_with_a_damaged_cache(
    lab: tuple[Cell, Lab],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counts: Callable[[], int],
) -> None:
    images = tmp_path / "images"
    monkeypatch.setattr(reading, "Folder", lambda: Folder(images))
    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "0")
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", "0")
    expected = predictions(*lab, tmp_path / "off", 1)
    assert len(expected) == 2 and counts() == 32 and not images.exists()
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", "1")
    assert predictions(*lab, tmp_path / "empty", 3) == expected and counts() == 32
    assert predictions(*lab, tmp_path / "full", 0) == expected and counts() == 0
    assert predictions(*lab, tmp_path / "again", 3) == expected and counts() == 0
    for path in images.glob("*.images"):
        data = bytearray(path.read_bytes())
        data[1000] ^= 4
        path.write_bytes(data)
    with pytest.warns(UserWarning, match="are damaged"):
        assert predictions(*lab, tmp_path / "damaged", 3) == expected
    assert 1 <= counts() <= 2


def test_a_bound_that_is_no_number_stops_plan_and_run_before_any_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", "abc")
    asked = ("--method", "zeroshot", "--protocol", "few_shot", "--out", str(tmp_path))
    for command in (("plan",), ("run", "--dry-run"), ("run",)):
        found = CliRunner().invoke(main, [*command, *asked])
        assert found.exit_code == 2 and "PROMPTBENCH_IMAGES_GB must be" in found.stderr
    assert not list(tmp_path.iterdir())

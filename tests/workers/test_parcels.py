"""What comes from machines without the folder: verified whole, or nothing of it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptbench.planning import edge
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.running.session import execute, plans_of
from promptbench.running.training.folder import is_trained
from promptbench.workers.handing_out import parcels
from promptbench.workers.handing_out.parcels import Spoiled
from tests.faults.driver import TINY


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cell, Path]:
    """A trained cell, and the folder that it was computed in."""
    out = tmp_path_factory.mktemp("there")
    options = {k: v for k, v in TINY.items() if k not in ("methods", "protocols")}
    grid = Grid(("noisy",), ("base_to_new",))
    requests, machine = edge.asked(grid, {**options, "seeds": 1, "out": out, "baseline": False})
    execute(requests, machine)
    (cell,) = plans_of(requests, machine)[0][0].cells
    return cell, out


def parcel_of(cell: Cell, out: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    paths = [*parcels.files_of_training(cell, out), *parcels.files_of_cell(cell, out)]
    sums = parcels.sums_of(paths, out)
    return parcels.read(sums, out), sums


def test_a_cell_and_its_training_arrive_whole(done: tuple[Cell, Path], tmp_path: Path) -> None:
    cell, out = done
    files, sums = parcel_of(cell, out)
    parcels.store(cell, files, sums, tmp_path)
    assert cell.is_done(tmp_path) and is_trained(cell, tmp_path)
    for name in sums:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()
    assert list(sums)[-1].endswith("record.json")


def test_a_record_is_written_last(
    done: tuple[Cell, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, out = done
    files, sums = parcel_of(cell, out)
    written: list[str] = []

    def full(path: Path, data: bytes) -> None:
        written.append(path.name)
        if len(written) == len(files):
            raise OSError("the disk is full")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    monkeypatch.setattr(parcels, "write_whole", full)
    with pytest.raises(OSError):
        parcels.store(cell, files, sums, tmp_path)
    assert written[-2:] == ["SHA256SUMS", "record.json"] and not cell.is_done(tmp_path)


@pytest.mark.parametrize("what", ["changed", "missing", "elsewhere", "above", "order", "other"])
def test_of_a_spoiled_parcel_nothing_is_written(
    done: tuple[Cell, Path], tmp_path: Path, what: str
) -> None:
    cell, out = done
    files, sums = parcel_of(cell, out)
    first, last = next(iter(files)), list(files)[-1]
    predictions = next(name for name in files if "/predictions/" in name)
    spoil: Any = {
        "changed": lambda: files.update({first: files[first] + b"!"}),
        "missing": lambda: (files.pop(predictions), sums.pop(predictions)),
        "elsewhere": lambda: (
            files.update({"demo/x": files[first]}),
            sums.update({"demo/x": sums[first]}),
        ),
        "above": lambda: (
            files.update({f"{Path(last).parent}/../x": files[first]}),
            sums.update({f"{Path(last).parent}/../x": sums[first]}),
        ),
        "order": lambda: (
            files.update({predictions: files.pop(predictions)}),
            sums.update({predictions: sums.pop(predictions)}),
        ),
        "other": lambda: files.update({last: files[last].replace(b'"seed": 1', b'"seed": 2')}),
    }
    spoil[what]()
    with pytest.raises(Spoiled):
        parcels.store(cell, files, sums, tmp_path)
    assert not list(tmp_path.rglob("*"))

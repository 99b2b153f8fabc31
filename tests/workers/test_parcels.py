"""What comes from machines without the folder: verified whole, or nothing of it is written."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.core.registry import SELECTIONS
from promptbench.planning import edge
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.records import subset
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


def test_what_one_rule_has_chosen_stays_when_that_of_another_comes(
    done: tuple[Cell, Path], tmp_path: Path
) -> None:
    cell, out = done
    (usual, other) = (SELECTIONS.load(name) for name in ("last", "validation"))
    chosen = replace(cell, selection=other, rules=(usual, other))
    place = cell.training_folder(Path()).as_posix()
    sent = {f"{place}/training.json": b"{}", f"{place}/checkpoint.pt": b"a"}
    sent[f"{place}/selected-validation/training.json"] = b"{}"
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in sent.items()}
    parcels.store(cell, *parcel_of(cell, out), tmp_path)
    before = (tmp_path / place / "training.json").read_bytes()
    parcels.store(chosen, sent, sums, tmp_path)
    assert (tmp_path / place / "training.json").read_bytes() == before != b"{}"
    assert (tmp_path / place / "checkpoint.pt").read_bytes() == b"a"
    assert (tmp_path / place / "selected-validation/training.json").is_file()
    names = {path.name for path in parcels.files_of_training(chosen, tmp_path)}
    assert "checkpoint.pt" not in names  # every rule has chosen


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


def test_few_shot_keys_beside_a_record_come_with_it(
    done: tuple[Cell, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, out = done[0], Path(shutil.copytree(done[1], tmp_path / "there"))
    monkeypatch.setattr(subset, "MOST_INSIDE", 0)
    records.finish(records.read(cell.folder(out) / records.RECORD), cell.folder(out))
    files, sums = parcel_of(cell, out)
    parcels.store(cell, files, sums, tmp_path / "here")
    assert records.read(cell.folder(tmp_path / "here") / records.RECORD).source.keys
    (name,) = [name for name in files if name.endswith(subset.FILE)]
    del files[name], sums[name]
    with pytest.raises(Spoiled, match=subset.FILE):
        parcels.store(cell, files, sums, tmp_path / "elsewhere")

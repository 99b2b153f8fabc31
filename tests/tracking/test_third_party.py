"""A tracker from another package: the one that docs/extending/tracker.md shows, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import promptbench
from promptbench import records
from promptbench.cli import main
from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError
from tests.tracking.third_party import shown
from tests.tracking.wandb_runs import SMALL


def test_it_appears_in_a_run(
    installed: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(shown("python").splitlines()) <= 60
    monkeypatch.setenv("COLUMNS", "160")
    listed = CliRunner().invoke(main, ["ls", "trackers"]).output
    assert installed in listed and "all losses in one CSV" in listed
    described = CliRunner().invoke(main, ["info", installed]).output
    assert "Curves: the losses of all cells in one file" in described
    out, settings = tmp_path / "runs", {**SMALL, "limit": 20, "baseline": False}
    (record,) = promptbench.run("coop", "few_shot", out=out, track=installed, **settings)
    *epochs, end = [line.split(";") for line in (out / "curves.csv").read_text().splitlines()]
    assert [float(loss) for *_, loss in epochs] == [
        each["total"] for each in record.training.losses
    ]
    label = "coop on counts, 1 shot, seed 1"
    assert [line[:3] for line in epochs] == [[label, "epoch", "1"], [label, "epoch", "2"]]
    assert end == [label, "counts/all", str(record.targets[0].accuracy)]
    assert len(list(out.rglob("log.jsonl"))) == 1  # the log is there, too


def test_what_it_refuses_is_a_sentence(installed: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the tracker curves cannot be used: x\.txt is not a CSV"):
        promptbench.run("coop", "few_shot", out=tmp_path / "runs", track="curves:x.txt", **SMALL)
    assert not list((tmp_path / "runs").iterdir())


def test_it_is_found_by_its_file(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / f"curves_{tmp_path.name.replace('-', '_')}.py"
    file.write_text(shown("python"))
    plugins: dict[str, Any] = {"plugin": [file], "track": f"{file.stem}:here.csv"}
    out = tmp_path / "runs"
    promptbench.run("zeroshot", "few_shot", out=out, limit=20, **plugins, **SMALL)
    assert (
        (out / "here.csv").read_text().startswith("zeroshot on counts, 1 shot, seed 1;counts/all")
    )


BROKEN = """
from promptbench.api import Tracker


class Broken(Tracker):
    title = "Broken"

    def epoch_ended(self, cell, epoch):
        cell.recipe.clear()
        raise RuntimeError("it has broken")
"""


def test_one_that_breaks_costs_no_result(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / f"broken_{tmp_path.name.replace('-', '_')}.py"
    file.write_text(BROKEN)
    settings = {**SMALL, "limit": 20, "baseline": False, "plugin": [file], "track": file.stem}
    with pytest.warns(UserWarning, match="failed in epoch_ended .* the run goes on") as warned:
        (record,) = promptbench.run("coop", "few_shot", out=tmp_path / "runs", **settings)
    assert len(warned) == 1 and record.training.recipe["epochs"] == 2
    assert [records.read(path) for path in records.find([tmp_path])] == [record]
    assert TRACKERS.load(file.stem).provider.startswith("file ")

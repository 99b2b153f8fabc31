"""`promptbench plan` and --dry-run: what is counted, what it is estimated from, what fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from promptbench.cli import main
from promptbench.forecast import Forecast, Share, forecast, show, stopwatch
from promptbench.planning import edge
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running.failures import CellsFailed
from promptbench.running.session import execute
from promptbench.support.progress import Reporter, Task
from tests.short_form import first

BROKEN = """
from promptbench.methods.zeroshot import ZeroShot

class Broken(ZeroShot):
    def prepare(self, classes):
        raise RuntimeError("no features today")
"""


def asked(out: Path, *protocols: str, **options: Any) -> tuple[list[Request], Machine]:
    grid = Grid(("coop",), protocols or ("base_to_new",))
    return edge.asked(grid, {"datasets": ["counts"], "shots": 2, "out": out, **options})


def test_a_forecast_counts_trainings_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    found = forecast(*asked(out, "base_to_new", "generalized_base_to_new"))
    by_share = {(s.protocol, s.method): (s.cells, s.trainings, s.shared) for s in found.shares}
    assert by_share == {
        ("base_to_new", "zeroshot"): (1, 0, 0),
        ("base_to_new", "coop"): (1, 1, 0),
        ("generalized_base_to_new", "zeroshot"): (1, 0, 0),
        ("generalized_base_to_new", "coop"): (1, 0, 1),
    }
    assert found.measured == ("coop", "zeroshot") and not found.from_records
    assert all(share.seconds > 0 and share.bytes > 0 for share in found.shares)
    assert not out.exists()


def test_a_forecast_knows_what_is_done_and_reads_its_pace(tmp_path: Path) -> None:
    few = {"set": ["Recipe.epochs=1"], "quiet": True}
    execute(*asked(tmp_path, **few))
    found = forecast(*asked(tmp_path, seeds=[1, 2], **few))
    assert [(s.method, s.cells, s.done, s.pending) for s in found.shares] == [
        ("zeroshot", 2, 1, 1),
        ("coop", 2, 1, 1),
    ]
    assert found.from_records == ("coop", "zeroshot") and not found.measured


@pytest.mark.parametrize("damage", first(2, [b"{", b'{"schema_version": "other/9"}', b"\xff\xfe"]))
def test_a_damaged_record_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    few = {"set": ["Recipe.epochs=1"], "quiet": True, "limit": 5}
    execute(*asked(tmp_path, **few))
    (path,) = (tmp_path / "demo" / "base_to_new" / "coop").glob("*/record.json")
    path.write_bytes(damage)
    found = forecast(*asked(tmp_path, **few))
    assert [(s.method, s.done, s.pending) for s in found.shares] == [
        ("zeroshot", 1, 0),
        ("coop", 0, 1),
    ]
    assert found.measured == ("coop",)


def test_a_forecast_says_what_it_is_at(tmp_path: Path) -> None:
    heard: list[str] = []

    class Ears(Reporter):
        def message(self, text: str) -> None:
            heard.append(text)

        @contextmanager
        def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
            heard.append(f"{label}: {total} {unit}")
            yield Task()

    forecast(*asked(tmp_path), Ears())
    assert heard == [
        "no earlier record says how long these take, so they are tried: zeroshot, coop",
        "measuring a few steps: 2 methods",
    ]


@pytest.mark.parametrize("width", [60, 80])
def test_a_forecast_fits_its_terminal(width: int) -> None:
    wide = {"cells": 12345, "done": 12, "trainings": 12345, "shared": 12345, "seconds": 5e6}
    name = "a_method_with_a_name_that_is_rather_long"
    shares = [Share("generalized_base_to_new", name, **wide, bytes=12_345_678_901)]  # type: ignore[arg-type]
    shares.append(Share("few_shot", "coop", cells=3, seconds=1e6, bytes=10**12))
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    show.show(Forecast(tuple(shares), unprepared=("counts",) * 20), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    for shown in ("12345", "1388.9 h", "277.8 h", "12 GB", "1000 GB"):
        assert shown in text


def test_notes_are_shown_where_nothing_is_left_to_compute_too() -> None:
    console = Console(width=80, file=io.StringIO())
    done = Share("few_shot", "coop", cells=3, done=3)
    show.show(Forecast((done,), (), notes=("note: made by other code",)), console)
    assert "note: made by other code" in console.file.getvalue()  # type: ignore[attr-defined]


def test_amounts_are_spoken() -> None:
    assert [show.duration(s) for s in (3, 600, 7200)] == ["3 s", "10 min", "2.0 h"]
    assert [show.size(b) for b in (4200, 52e6, 1.2e10)] == ["4.2 kB", "52 MB", "12 GB"]


def test_a_method_that_fails_when_it_is_measured_stops_no_forecast(tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    options = ["--protocol", "base_to_new", "--datasets", "counts", "--out", str(tmp_path / "runs")]
    asked = ["plan", "--method", "zeroshot,broken", "--plugin", str(plugin), *options]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "2 cells, 0 done, 2 to compute" in done.output
    assert "fails when it is tried: broken (RuntimeError: no features today" in done.output
    assert "steps measured just now (zeroshot)" in done.output


def test_a_forecast_leaves_cells_alone_that_failed_before(tmp_path: Path) -> None:
    diverging: dict[str, Any] = {"set": ["Recipe.warmup_lr=1e38", "Recipe.epochs=2"], "quiet": True}
    with pytest.raises(CellsFailed):
        execute(*asked(tmp_path, **diverging))
    again = forecast(*asked(tmp_path, **diverging))
    assert [(s.method, s.done, s.failed, s.pending) for s in again.shares] == [
        ("zeroshot", 1, 0, 0),
        ("coop", 0, 1, 0),
    ]
    retried = forecast(*asked(tmp_path, **diverging, retry_failed=True))
    assert [(s.failed, s.pending) for s in retried.shares] == [(0, 0), (0, 1)]


def test_a_forecast_says_which_methods_share_no_block(tmp_path: Path) -> None:
    """CoOp edits what enters the text tower, MMRL both towers from block 6 on."""
    grid = Grid(("coop", "mmrl"), ("base_to_new",))
    found = forecast(*edge.asked(grid, {"datasets": ["counts"], "shots": 2, "out": tmp_path}))
    assert found.whole == ("coop (text)",)
    console = Console(file=io.StringIO(), width=200)
    show.show(found, console)
    said = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "every step computes all blocks of the tower" in said and "steps: coop (text)" in said


def test_without_timing_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "measure", lambda *_: pytest.fail("it was measured"))
    what = ["--method", "coop", "--protocol", "few_shot", "--datasets", "counts", "--shots", "2"]
    asked = ["plan", "--no-timing", *what, "--seeds", "1,2", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert "4 cells, 0 done" in done.output and "2 trainings" in done.output
    said = "its time is not known, and not counted: coop, zeroshot (no record says it, and"
    assert said in " ".join(done.output.split())
    row = next(line.split() for line in done.output.splitlines() if line.startswith("   coop"))
    assert row[:6] == ["coop", "2", "0", "2", "0", "?"]

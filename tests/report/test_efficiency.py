"""Costs: measured numbers are means of the same work on one device, in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench import records as store
from promptbench.api import Format
from promptbench.cli import main
from promptbench.core.registry import FORMATS
from promptbench.errors import UserError
from promptbench.leaderboard.boards import building, efficiency
from promptbench.leaderboard.boards.plots import plots_of
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.records import Record
from promptbench.report.costs.efficiency import Cost, CostTable, costs
from promptbench.report.costs.efficiency_grid import grid, measured
from promptbench.report.costs.efficiency_plot import efficiency_plot
from promptbench.report.format import render_grids
from promptbench.report.grid import Grid, GridRow
from tests.made_records import record

USUAL = record()


def made(
    method: str = "coop",
    seed: int = 1,
    device: str = "GPU A",
    threads: int = 1,
    epochs: int = 10,
    seconds: float = 20.0,
    memory: float = 100.0,
    scoring: float = 1.0,
    learned: int = 2048,
    trained: bool = True,
    **changes: Any,
) -> Record:
    """A record of cross_dataset whose three targets took `scoring` seconds each."""
    environment = USUAL.environment.model_dump()
    environment |= {"device": device, "threads": threads, "peak_memory_mb": memory}
    training = USUAL.training.model_dump()
    training |= {"epochs": epochs, "seconds": seconds, "steps": epochs * 8}
    training["parameters_sha256"] = f"{seed}" if trained else None
    info = record(method=method).method.model_dump() | {"learned_parameters": learned}
    targets = [t.model_dump() | {"seconds": scoring} for t in record().targets]
    facts = {"environment": environment, "training": training, "method": info, "targets": targets}
    return Record.model_validate(record(seed, method=method).model_dump() | facts | changes)


def table(*found: Record) -> CostTable:
    (only,) = costs(found)
    return only


def row(*found: Record) -> Cost:
    (only,) = table(*found).rows
    return only


def test_seconds_are_means_over_seeds_and_epochs_share_them() -> None:
    own = row(made(seed=1, seconds=20.0, memory=100.0), made(seed=2, seconds=30.0, memory=150.0))
    assert (own.training_seconds, own.epoch_seconds) == (25.0, 2.5)
    assert (own.seeds, own.memory_mb, own.parameters) == (2, 150.0, (2048, 2048))
    assert own.value is not None and own.value.mean == pytest.approx(61.5)


def test_a_source_counts_once_however_many_seeds_it_has() -> None:
    def half(dataset: str, seed: int, seconds: float) -> Record:
        source = USUAL.source.model_dump() | {"dataset": dataset, "classes": "base"}
        targets = [USUAL.targets[0].model_dump() | {"dataset": dataset, "classes": "base"}]
        protocol = {"name": "base_to_new", "version": 1, "selection": "last epoch"}
        facts = {"source": source, "targets": targets, "protocol": protocol}
        return made(seed=seed, seconds=seconds, **facts)

    own = row(half("dtd", 1, 10.0), half("dtd", 2, 10.0), half("eurosat", 1, 40.0))
    assert (own.training_seconds, own.sources) == (25.0, 2)


def test_images_per_second_are_those_of_all_targets() -> None:
    assert row(made(scoring=0.5)).images_per_second == pytest.approx(300 / 1.5)
    assert row(made(scoring=0.0)).images_per_second is None


def timed(r: Record, *seconds: float | None) -> Record:
    targets = [
        t.model_dump() | {"class_seconds": own} for t, own in zip(r.targets, seconds, strict=True)
    ]
    return Record.model_validate(r.model_dump() | {"targets": targets})


def test_images_per_second_are_without_the_class_side_where_a_record_knows_it() -> None:
    own = row(timed(made(scoring=0.5), 0.1, 0.2, 0.3))
    assert own.class_seconds == pytest.approx(0.2)
    assert own.images_per_second == pytest.approx(300 / 0.9)
    slow = row(timed(made(scoring=0.5), 0.5, 0.5, 0.5004))  # a clock rounded otherwise
    assert slow.images_per_second is None


def test_seconds_of_the_class_side_that_one_record_lacks_are_a_dash_and_a_sentence() -> None:
    found = timed(made(seed=1, scoring=0.5), 0.1, 0.1, 0.1), made(seed=2, scoring=0.5)
    assert row(*found).class_seconds is None
    assert row(*found).images_per_second == pytest.approx(600 / 3)
    columns = grid(table(*found)).columns
    place = columns.index("text: s / target")
    for records, text, said in ((found, "—", True), (found[:1], "0.100", False)):
        shown = grid(table(*records))
        assert shown.rows[0].cells[place] == text
        assert any(n.startswith("— under text: s / target") for n in shown.notes) is said


def test_devices_threads_and_shots_share_no_table() -> None:
    sixteen = USUAL.source.model_dump()
    found = [
        made(device="GPU A"),
        made("mmrlpp", device="GPU A"),
        made(device="GPU B"),
        made(device="GPU A", threads=4),
        made(device="GPU A", source=sixteen | {"shots": 4}),
    ]
    apart = [(t.device, t.threads, t.shots, len(t.rows)) for t in costs(found)]
    assert sorted(apart) == [
        ("GPU A", 1, 4, 1), ("GPU A", 1, 16, 2), ("GPU A", 4, 16, 1), ("GPU B", 1, 16, 1),
    ]  # fmt: skip


def test_shots_share_no_table_where_a_report_shows_them_together() -> None:
    protocol = {"name": "few_shot", "version": 1, "selection": "last epoch"}
    target = USUAL.targets[1].model_dump()
    sources = [USUAL.source.model_dump() | {"dataset": "dtd", "shots": n} for n in (1, 16)]
    found = [made(protocol=protocol, source=own, targets=[target]) for own in sources]
    assert [t.shots for t in costs(found)] == [1, 16]


def test_what_is_not_trained_has_no_seconds_and_a_solver_no_epochs() -> None:
    frozen = row(made("zeroshot", trained=False, epochs=0, seconds=0.0, learned=0))
    assert (frozen.training_seconds, frozen.epoch_seconds, frozen.parameters) == (
        None,
        None,
        (0, 0),
    )
    solved = row(made(epochs=0, seconds=3.0))
    assert (solved.training_seconds, solved.epoch_seconds) == (3.0, None)
    (shown,) = grid(table(made(epochs=0, seconds=3.0))).rows
    assert shown.cells[1:4] == ("—", "—", "3")


def test_rows_of_other_work_are_marked() -> None:
    fewer = [t.model_dump() for t in made().targets[:2]]
    shown = grid(table(made(), made("mmrlpp", targets=fewer)))
    assert [r.title for r in shown.rows] == ["CoOp", "MMRL++ w/o decoupling °"]
    assert any(note.startswith("°") for note in shown.notes)
    assert not any(note.startswith("°") for note in grid(table(made())).notes)


def test_the_text_side_stands_apart() -> None:
    own = row(made())
    assert (own.names_learned, own.names_scored) == (2, 2)
    shown = grid(table(made()))
    assert shown.columns[-4:-1] == (
        "text: names learned", "text: names scored", "text: s / target",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (0, "0"),
        (0.046958, "0.0470"),
        (9.3871, "9.39"),
        (16.0, "16"),
        (6745.6, "6,746"),
    ],
)
def test_measured_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert measured(value) == text


HOSTILE = "<b>x</b> | $y$ =1"


@pytest.mark.parametrize("name", FORMATS.names())
def test_every_format_shows_every_cell(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    own = made(learned=57312, seconds=20.5, memory=777.0, device=HOSTILE)
    shown = grid(table(own))
    shown = replace(shown, columns=(*shown.columns[:-1], HOSTILE))
    text = render_grids(name, [shown])
    for value in ("57312", "20.5", "777", "61.5"):
        assert value in text.replace(",", "").replace("57 312", "57312"), value
    assert text.endswith("\n") and "CoOp" in text
    if name in ("html", "markdown"):
        assert "<b>" not in text
    if name in ("latex", "markdown"):
        assert " $y$" not in text


@pytest.mark.parametrize(("width", "folded"), [(80, True), (200, False)])
def test_a_terminal_says_once_what_is_the_same_in_every_row(
    width: int, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all columns do not fit beside each other; every number is still there."""
    monkeypatch.setenv("COLUMNS", str(width))
    own = [made("coop", learned=1234, memory=777), made("maple", learned=56789, memory=777)]
    text = render_grids("rich", [grid(table(*own))])
    lines = text.splitlines()
    assert sum(line.strip().startswith("method") for line in lines) == 1
    assert max(len(line) for line in lines if line.startswith(" ")) <= width
    said = [line for line in lines if line.startswith("the same in every row: ")]
    assert len(said) == folded
    assert said == [] or ("peak MiB 777; " in said[0] and said[0].endswith("; n 1"))
    assert text.count("777") == (1 if folded else 2)
    assert text.count("1,234") == text.count("56,789") == 1


def test_a_matrix_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    rows = (GridRow("a", ("5", "7"), {}), GridRow("b", ("6", "7"), {}))
    text = render_grids("rich", [Grid("Matrix", ("first one", "second one"), rows)])
    assert "the same" not in text and text.count("7") == 2


def test_a_format_that_writes_no_grids_is_refused_in_a_sentence() -> None:
    class Plain(Format):
        title, suffix = "Plain", ".txt"

        def render(self, tables: Any) -> str:
            return ""

    with pytest.raises(UserError, match="'Plain' writes tables of results only, not of costs"):
        Plain().render_grids([])


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def written(folder: Path, *found: Record) -> Path:
    for number, each in enumerate(found):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / store.RECORD).write_text(each.model_dump_json())
    return folder


def test_the_command_shows_costs_of_the_records_that_fit(tmp_path: Path) -> None:
    runs = written(tmp_path / "runs", made(), made("mmrlpp", device="GPU B", seconds=40.0))
    shown = call(runs, "--efficiency", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert [(x["device"], x["training_seconds"]) for x in lines] == [
        ("GPU A", "20.0"), ("GPU B", "40.0"),
    ]  # fmt: skip
    only = json.loads(call(runs, "--efficiency", "--method", "coop", "--format", "json").stdout)
    assert [x["device"] for x in only] == ["GPU A"]
    nothing = call(tmp_path / "nothing", "--efficiency", "--suite", "clip")
    assert nothing.exit_code == 2 and "no records under" in nothing.stderr


def test_a_plot_is_one_device(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    frozen = made("zeroshot", trained=False, learned=0)
    paths = efficiency_plot(table(made(), frozen), tmp_path / "costs")
    assert [path.name for path in paths] == ["costs.png", "costs.svg"]
    assert all(path.stat().st_size > 10_000 for path in paths)
    half = [t.model_dump() for t in made().targets[:1]]
    with pytest.raises(UserError, match="no row of GPU A, 1 CPU thread has Target Average"):
        efficiency_plot(table(made(seed=1), made(seed=2, targets=half)), tmp_path / "none")


# --- the site -----------------------------------------------------------------------------------


def accepted(*found: Record) -> list[Verdict]:
    return [Verdict(Path("x") / store.RECORD, each, "consistent", ()) for each in found]


def test_the_page_has_a_table_and_plots_for_each_device() -> None:
    page = efficiency.efficiency_page(accepted(made(), made("mmrlpp", device="GPU B")))
    ((protocol),) = page["protocols_with_costs"]
    assert [t["device"] for t in protocol["tables"]] == [
        "GPU A, 1 CPU thread", "GPU B, 1 CPU thread",
    ]  # fmt: skip
    data = protocol["tables"][0]["data"]
    assert [(r["method"], r["seconds"], r["state"]) for r in data["rows"]] == [
        ("coop", 20.0, "consistent")
    ]
    assert data["rows"][0]["values"]["value"][0] == pytest.approx(61.5, abs=1)


@pytest.mark.parametrize(("devices", "drawn"), [(("GPU A", "GPU A"), 1), (("GPU A", "GPU B"), 0)])
def test_a_board_draws_no_times_of_two_devices(devices: tuple[str, str], drawn: int) -> None:
    found = made(device=devices[0]), made("mmrlpp", device=devices[1])
    boards = building.boards(accepted(*found))
    (own,) = [b for b in boards if b.protocol == "cross_dataset" and b.suite == known.suite("clip")]
    assert [plot["kind"] for plot in plots_of(own)["plots"]].count("time") == drawn

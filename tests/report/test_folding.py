"""What a terminal shows of a table: averages first, rows without numbers folded and counted."""

from __future__ import annotations

import io
from functools import cache

import pytest
from rich.console import Console

from promptbench.formats import rich
from promptbench.report import assemble, folding
from promptbench.report.table import Table
from tests.made_records import record


def shown(table: Table, width: int = 80, whole: bool = False) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    rich.show(table, console, whole)
    return console.export_text().splitlines()


@cache
def published(protocol: str = "cross_dataset") -> Table:
    return assemble.without_records(protocol, "clip", assemble.printed_methods(None))


def beside_a_record() -> Table:
    (table,) = assemble.of_records([record(method="coop")], assemble.printed_methods(None))
    return table


@pytest.mark.parametrize("protocol", ["cross_dataset", "few_shot", "base_to_new"])
def test_averages_come_first_and_tables_of_only_papers_are_short(protocol: str) -> None:
    lines, whole = shown(published(protocol)), shown(published(protocol), whole=True)
    assert "Average" in "".join(lines[:5])
    assert len(lines) < len(whole) / 2
    assert not [line for line in lines if "eurosat" in line]  # stands in the whole table
    assert [line for line in whole if "eurosat" in line]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_all_averages_are_in_front_of_single_datasets(width: int) -> None:
    heads = [line for line in shown(published("few_shot"), width, whole=True) if " method " in line]
    kinds = [word for line in heads for word in line.split() if word not in ("method", "n")]
    assert kinds[:5] == ["Average"] * 5
    assert "Average" not in kinds[5:]


def test_a_method_that_nobody_ran_has_its_name_in_its_published_row() -> None:
    lines = shown(published())
    assert [line for line in lines if line.startswith(" CoOp, original [")]
    assert [line for line in lines if line.startswith(" CoOp, re-run [")]
    assert not [line for line in lines if line.startswith(" CoOp ")]
    whole = shown(published(), whole=True)
    (own,) = [number for number, line in enumerate(whole) if line.startswith(" CoOp ")][:1]
    assert whole[own + 1].startswith("   published, original [")


def test_a_row_that_was_run_stands_in_front_and_where_it_has_numbers() -> None:
    lines = shown(beside_a_record())
    rows = [line for line in lines if line.startswith(" CoOp ")]
    assert rows[0].split()[1] == "—"  # incomplete: no average, which is not folded away
    assert len(rows) > 1
    assert [line for line in lines if line.startswith("   published, original [")]
    assert [line for line in lines if line.startswith(" CoCoOp, original [")]


def test_what_is_folded_is_counted() -> None:
    table = beside_a_record()
    empty = [row for row in table.rows if row.kind == "ours" and not folding.was_run(row)]
    (note,) = [line for line in shown(table) if line.startswith("folded: ")]
    assert f"{len(empty)} empty rows" in note
    others = {row.variant for row in empty}
    hidden = [row for row in table.rows if row.kind == "published" and row.variant in others]
    single = [i for i, heading in enumerate(table.headings) if not heading.summary]
    hidden = [row for row in hidden if any(row.entries[i] is not None for i in single)]
    assert f"single datasets in {len(hidden)} published rows" in note
    assert not [line for line in shown(table, whole=True) if line.startswith("folded: ")]


def test_a_table_that_fits_hides_no_number() -> None:
    (note,) = [line for line in shown(published(), 400) if line.startswith("folded: ")]
    assert "empty rows" in note
    assert "single datasets" not in note


def test_only_sources_of_rows_that_are_shown_are_listed() -> None:
    table = published()
    cited = {line.split()[0] for line in shown(table) if line.startswith("[")}
    named = {word.strip() for line in shown(table) for word in line.split() if word[0] == "["}
    assert cited == named & {f"[{n}]" for n in range(1, 99)}

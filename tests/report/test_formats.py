"""The formats of tables: the same numbers everywhere, and nothing that a name could break."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from rich.console import Console
from rich.measure import Measurement

from promptbench.errors import UserError
from promptbench.formats import rich
from promptbench.records import Record
from promptbench.report import assemble, plot
from promptbench.report.format import render
from promptbench.report.table import Table
from promptbench.report.text import parts
from promptbench.statistics import wilson
from tests.made_records import record

EVIL = r"=1+1|<b>&$x_1^2$ {\input{x}} #%~`a`*b*[c](d) 'q' ± Ж"


def tables(*found: Record) -> list[Table]:
    return assemble.of_records(found, printed=("coop",) if found[0].comparable else ())


def evil() -> list[Table]:
    info = record().method.model_copy(update={"title": EVIL})
    return tables(*(record(seed).model_copy(update={"method": info}) for seed in (1, 2, 3)))


def three() -> list[Table]:
    return tables(*(record(seed, 59 + seed, "coop") for seed in (1, 2, 3)), record(1))


def test_the_terminals_tables_are_as_wide_as_their_widest_cells() -> None:
    """Columns are chosen by the width of the whole table, of which only a part is measured."""
    printed = assemble.without_records("base_to_new", "clip", assemble.printed_methods(None))
    wide = record().method.model_copy(update={"title": "\u5e83\u3044\u8868 " * 3})
    wider = tables(*(record(n).model_copy(update={"method": wide}) for n in (1, 2)), record(3))
    console = Console(width=10_000)
    measured = []
    for table in (printed, *evil(), *three(), *wider):
        for first in range(0, len(table.headings), 3):
            columns = list(range(first, len(table.headings), 2))
            for width in (24, 40):
                around = (table, columns, table.rows, "utf-8", width)
                own, whole = (
                    Measurement.get(console, console.options, made(*around)).maximum
                    for made in (rich._widest, rich._view)
                )
                assert own == whole
                measured.append(own)
    assert len(set(measured)) > 20


def test_csv_has_one_row_per_cell_and_loads_in_pandas() -> None:
    frame = pandas.read_csv(io.StringIO(render("csv", three())))
    keys = ["table", "method", "kind", "source", "group", "column"]
    assert not frame.duplicated(keys).any()
    own = frame[(frame.kind == "ours") & (frame.method == "CoOp")]
    assert len(own) == len(three()[0].headings)
    source = own[own.column == "imagenet"].iloc[0]
    assert source["mean"] == pytest.approx(61) and source["n"] == 3
    printed = frame[(frame.kind == "published") & (frame.column == "imagenet")].iloc[0]
    assert printed["difference"] == pytest.approx(61 - 71.51)
    assert printed["origin"] == "original"
    empty = own[own.column == "caltech101"].iloc[0]
    assert pandas.isna(empty["mean"]) and empty["n"] == 0


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_start_of_a_formula_starts_a_cell(start: str) -> None:
    (made,) = three()
    rows = tuple(replace(row, title=f"{start}1+1", note=start) for row in made.rows)
    found = list(csv.DictReader(io.StringIO(render("csv", [replace(made, rows=rows)]))))
    assert found and {cell["method"] for cell in found} == {f"'{start}1+1".replace("\r", " ")}
    assert {cell["note"] for cell in found} == {f"'{start}".replace("\r", " ")}
    assert any(cell["difference"].startswith("-") for cell in found)  # numbers stay numbers


def test_csv_cells_are_no_formulas() -> None:
    frame = pandas.read_csv(io.StringIO(render("csv", evil())))
    assert not frame.method.str[0].isin(list("=+-@")).any()
    assert any(frame.method == "'" + EVIL + " w/o decoupling")


def test_json_holds_the_numbers_of_the_csv() -> None:
    (found,) = json.loads(render("json", three()))
    frame = pandas.read_csv(io.StringIO(render("csv", three())))
    cells = [cell["mean"] for row in found["rows"] for cell in row["cells"]]
    assert [None if pandas.isna(mean) else mean for mean in frame["mean"]] == pytest.approx(cells)


def test_markdown_rows_have_the_columns_of_their_head() -> None:
    text = render("markdown", evil())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows and len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "<b>" not in text and r"\*b\*" in text and r"\[c\]" in text


def test_markdown_marks() -> None:
    text = render("markdown", three())
    assert "61.00 ±2.48" in text and "60.00†" in text
    assert "published, original" in text and "-10.51" in text


def test_html_is_well_formed_and_escaped() -> None:
    text = render("html", evil())
    body = ET.fromstring(text.partition("</head>")[2].removesuffix("</html>\n").strip())
    assert EVIL + " w/o decoupling" in ["".join(th.itertext()) for th in body.iter("th")]
    assert body.find(".//b") is None
    widths = {sum(int(cell.get("colspan", "1")) for cell in row) for row in body.iter("tr")}
    assert len(widths) <= 2  # the second line of the head lacks the two cells that span it


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
@pytest.mark.parametrize("make", [evil, three])
def test_latex_compiles(make: object, tmp_path: Path) -> None:
    assert callable(make)
    text = render("latex", make())
    packages = re.findall(r"\\usepackage\S*?\}", text.splitlines()[0])
    document = ["\\documentclass{article}", *packages, "\\begin{document}", text, "\\end{document}"]
    (tmp_path / "table.tex").write_text("\n".join(document))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_latex_leaves_no_special_character_bare() -> None:
    line = next(
        row for row in render("latex", evil()).splitlines() if "textdollar" in row or "=1+1" in row
    )
    cell = line.partition(" & ")[0]
    for known in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}"):
        assert known in cell
    assert not re.search(r"(?<!\\)[%#_$&]", cell.replace(r"$\pm$", ""))
    assert r"\texttt{U+0416}" in cell


@pytest.mark.parametrize("width", [60, 80, 160, 400])
def test_terminal_table_fits_its_width(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    for found in three():
        rich.show(found, console)
    text = console.export_text()
    assert "imagenet" in text and "61.00" in text and "Average" in text
    rows = [line for line in text.splitlines() if line.startswith(" ")]
    assert rows and max(map(len, rows)) <= width


def test_a_terminal_says_a_banner_once_above_all_in_a_row_that_share_it() -> None:
    (one, *_) = three()
    of_demo, other = replace(one, banner="of the demo"), replace(one, banner="")
    text = render("rich", [of_demo, of_demo, of_demo, other, of_demo])
    lines = text.splitlines()
    assert lines.count("of the demo") == 2 and lines.count(one.title) == 5
    assert lines[0] == "of the demo" and lines[lines.index(one.title, 2) - 1] == ""


def test_markup_in_a_title_is_shown_not_obeyed() -> None:
    info = record().method.model_copy(update={"title": "[red]x[/]"})
    console = Console(width=120, record=True, file=io.StringIO())
    for found in tables(record().model_copy(update={"method": info})):
        rich.show(found, console)
    assert "[red]x[/]" in console.export_text()


def test_wide_tables_keep_groups_together() -> None:
    headings = three()[0].headings  # Source: 1 column, Target: 11
    assert parts(headings, lambda columns: len(columns) <= 20) == [list(range(12))]
    assert parts(headings, lambda columns: len(columns) <= 11) == [[0], list(range(1, 12))]
    assert all(len(part) == 1 for part in parts(headings, lambda columns: False))


def few_shot(*shots: int) -> list[Table]:
    protocol = {"name": "few_shot", "version": 1, "selection": "last epoch"}
    targets = record().model_dump()["targets"][:1]
    return tables(
        *(
            record(
                seed,
                50 + k + seed,
                suite="demo",
                comparable=False,
                protocol=protocol,
                targets=targets,
                source={"dataset": "imagenet", "classes": "all", "shots": k, "keys": []},
            )
            for k in shots
            for seed in (1, 2, 3)
        )
    )


def test_shots_plot_is_written_twice_and_the_same_each_time(tmp_path: Path) -> None:
    (found,) = few_shot(1, 2, 16)
    first = plot.shots_plot(found, tmp_path / "a")
    assert [path.name for path in first] == ["a.png", "a.svg"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert ET.parse(first[1]).getroot().tag.endswith("svg")
    second = plot.shots_plot(found, tmp_path / "b")
    assert first[1].read_bytes() == second[1].read_bytes()


def test_a_shots_plot_needs_several_numbers_of_shots(tmp_path: Path) -> None:
    (found,) = few_shot(4)
    with pytest.raises(UserError, match="at least two numbers of shots"):
        plot.shots_plot(found, tmp_path / "a")


def marked_table() -> list[Table]:
    rows = {"coop": (82, 81, 81), "mmrlpp": (70, 75, 72), "zeroshot": (60, 61, 62)}
    counted = [(method, pair) for method, own in rows.items() for pair in enumerate(own, 1)]
    return tables(
        *(record(*pair, method, suite="demo", comparable=False) for method, pair in counted)
    )


@pytest.mark.parametrize(
    ("form", "best", "second", "separated"),
    [
        ("markdown", "**81.33 ±1.43**", "<ins>72.33 ±6.25</ins>", "61.00 ±2.48‡"),
        ("latex", r"\textbf{81.33 $\pm$1.43}", r"\underline{72.33 $\pm$6.25}", r"\textdaggerdbl{}"),
        ("html", "<b>81.33 ±1.43</b>", "<u>72.33 ±6.25</u>", "61.00 ±2.48‡"),
    ],
)
def test_best_second_and_separated_in_every_format(
    form: str, best: str, second: str, separated: str
) -> None:
    text = render(form, marked_table())
    assert best in text and second in text and separated in text
    assert "bold: best, underlined: second best" in text and "Holm over the 12 pairs" in text


def test_the_terminal_and_the_flat_formats_have_the_marks_too() -> None:
    console = Console(width=100, record=True, file=io.StringIO(), force_terminal=True)
    rich.show(marked_table()[0], console)
    text = console.export_text(styles=True)
    assert re.search(r"\x1b\[1m *81.33", text) and re.search(r"\x1b\[4m *72.33", text)
    assert "61.00 ±2.48‡" in text
    frame = pandas.read_csv(io.StringIO(render("csv", marked_table())))
    first = frame.query("column == 'imagenet'").set_index("method")
    assert list(first.query("best").index) == ["CoOp"]
    assert list(first.query("separated").index) == ["CLIP (zero-shot)"]
    assert list(first.query("second").index) == ["MMRL++ w/o decoupling"]


def test_the_sampling_error_of_the_test_images_stands_below_and_in_each_row_of_the_csv() -> None:
    low, high = wilson(61.0, 100)
    for form in ("markdown", "html", "latex"):
        text = render(form, marked_table())
        assert f"{(high - low) / 2:.2f}" in text and "sampling error of the test images" in text
    frame = pandas.read_csv(io.StringIO(render("csv", marked_table())))
    cell = frame.query("column == 'imagenet' and method == 'CLIP (zero-shot)'").iloc[0]
    assert (cell["images_low"], cell["images_high"]) == pytest.approx((low, high))
    average = frame.query("column.str.startswith('Average') and method == 'CLIP (zero-shot)'").iloc[
        0
    ]
    width, single = average["images_high"] - average["images_low"], high - low
    assert width == pytest.approx(single / 2**0.5, rel=0.02)  # of two test sets

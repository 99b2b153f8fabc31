"""The audit: what contradicts itself is found, what rounding explains is not."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from promptbench.cli import main
from promptbench.leaderboard import audit
from promptbench.leaderboard.audit import Finding
from promptbench.leaderboard.audit.intervals import Interval, harmonic_mean, other_term, rounded
from promptbench.leaderboard.audit.lines import COLUMNS
from promptbench.leaderboard.audit.page import audit_page
from promptbench.leaderboard.web.folder import Templates

DATASETS = (
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101",
    "fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101",
)  # fmt: skip
CROSS = dict(
    zip(DATASETS, (71.7, 93.1, 90.2, 65.3, 71.9, 86.1, 24.7, 67.3, 46.3, 47.9, 68.6), strict=True)
)
Cells = dict[tuple[str, str], Any]


def written(folder: Path, protocol: str, *tables: Cells, **facts: str | list[str]) -> list[Path]:
    """A file of tables, whose facts are the same or listed one by one."""
    usual = {"method": "m", "shots": "16", "backbone": "ViT-B/16", "inference": "n/a"}
    usual |= {"origin": "original", "source": "a paper", "note": ""}
    path = folder / f"{protocol}.csv"
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        out.writeheader()
        for i, cells in enumerate(tables):
            own = {k: v if isinstance(v, str) else v[i] for k, v in facts.items()}
            for (dataset, split), value in cells.items():
                text = value if isinstance(value, str) else f"{value:.2f}"
                line = usual | own | {"dataset": dataset, "split": split, "value": text}
                out.writerow(line)
    return [path]


def found(folder: Path, protocol: str, *tables: Cells, **facts: Any) -> list[Finding]:
    return list(audit.audit(audit.read(written(folder, protocol, *tables, **facts))).findings)


def cross(average: float, **changes: float | None) -> Cells:
    values = CROSS | changes
    cells: Cells = {(name, "test"): v for name, v in values.items() if v is not None}
    return cells | {("Average", "test"): average}


def hm(b: float, n: float) -> float:
    return 2 * b * n / (b + n)


# --- the numbers that promptbench holds ---------------------------------------------------------


def own() -> audit.Audit:
    return audit.audit(audit.read(audit.own_files()))


def test_every_slip_that_a_note_names_is_found() -> None:
    places = {(f.file, f.line) for f in own().findings}
    for path in audit.own_files():
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            for line in reader:
                if "does not follow" in line["note"] or "printed average" in line["note"]:
                    assert (path.name, reader.line_num) in places, line
    known = {("base_to_new", "mmrl", "dtd"), ("few_shot", "maple", "Average")}
    assert {(f.protocol, f.method, f.dataset) for f in own().findings} >= known


def test_every_contradiction_is_one_in_exact_arithmetic() -> None:
    """Recomputed from the files with fractions, apart from the audit's own code."""
    half = Fraction(1, 200)
    for finding in own().findings:
        if finding.kind not in ("harmonic mean", "average") or finding.dataset == "Average":
            continue
        (path,) = [p for p in audit.own_files() if p.name == finding.file]
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        of_row = [
            line
            for line in lines
            if all(line[k] == getattr(finding, k) for k in ("method", "source", "shots"))
            and (line["inference"], line["dataset"]) == (finding.inference, finding.dataset)
        ]
        value = {line["split"]: Fraction(line["value"]) for line in of_row}
        ends = [2 * b * n / (b + n) for d in (-half, half)
                for b, n in [(value["base"] + d, value["new"] + d)]]  # fmt: skip
        assert not ends[0] - half <= value["hm"] <= ends[1] + half


# --- rounding -----------------------------------------------------------------------------------

two_decimals = st.floats(5, 99.9)


@settings(max_examples=60)
@given(
    pairs=st.lists(st.tuples(two_decimals, two_decimals), min_size=11, max_size=11),
    rounded_first=st.booleans(),
    mean_of_hms=st.booleans(),
    decimals=st.sampled_from((1, 2)),
)
def test_a_table_that_follows_is_never_found(
    tmp_path_factory: pytest.TempPathFactory,
    pairs: list[tuple[float, float]],
    rounded_first: bool,
    mean_of_hms: bool,
    decimals: int,
) -> None:
    """Whether authors average true or rounded numbers, HMs or averages, one decimal or two."""
    shown = [tuple(round(v, decimals) for v in pair) for pair in pairs]
    used = shown if rounded_first else pairs
    cells: Cells = {}
    for name, (b, n), (base, new) in zip(DATASETS, shown, used, strict=True):
        cells |= {(name, "base"): b, (name, "new"): n}
        cells[name, "hm"] = round(hm(base, new), decimals)
    base, new = (sum(column) / 11 for column in zip(*used, strict=True))
    hms = [hm(*pair) for pair in used]
    average = sum(hms) / 11 if mean_of_hms else hm(base, new)
    cells |= {("Average", s): round(v, decimals) for s, v in (("base", base), ("new", new))}
    cells["Average", "hm"] = round(average, decimals)
    kinds = {f.kind for f in found(tmp_path_factory.mktemp("t"), "base_to_new", cells)}
    assert kinds <= ({"mean of HMs"} if mean_of_hms else set())


def test_one_hundredth_beyond_rounding_is_found(tmp_path: Path) -> None:
    """66.14 is the mean; what rounds to 66.13 to 66.15 can be it, since each term is rounded."""
    for average, kinds in ((66.13, []), (66.15, []), (66.12, ["average"]), (66.16, ["average"])):
        assert [f.kind for f in found(tmp_path, "cross_dataset", cross(average))] == kinds


def test_what_one_decimal_hides_is_not_found(tmp_path: Path) -> None:
    """Written with two decimals, a source with one is known by its zeros."""
    rough: Cells = {(d, s): v for d in DATASETS for s, v in (("base", 80.0), ("new", 70.0))}
    rough |= {(d, "hm"): "74.70" for d in DATASETS}  # of two decimals it would be 74.67
    assert found(tmp_path, "base_to_new", rough) == []
    sharp = rough | {("dtd", "base"): "80.01", ("dtd", "new"): "70.01", ("dtd", "hm"): "74.68"}
    own = found(tmp_path, "base_to_new", sharp)
    assert len(own) == 10 and {f.printed for f in own} == {"74.70"}


def test_the_terms_of_a_harmonic_mean() -> None:
    b, n = rounded(80, 0.01), rounded(60, 0.01)
    back = other_term(harmonic_mean(b, n), b)
    assert back is not None and back.low < 59.995 and back.high > 60.005
    assert other_term(rounded(90, 0.01), rounded(40, 0.01)) is None  # an HM is below 2 x 40
    assert Interval(1, 2).below(Interval(2.5, 3)) == pytest.approx(0.5)
    assert Interval(2.5, 3).below(Interval(1, 2)) == 0


# --- averages and the datasets behind them ------------------------------------------------------


def test_an_average_over_the_source_as_well_says_so(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "cross_dataset", cross(sum(CROSS.values()) / 11))
    assert finding.kind == "datasets"
    assert "the protocol averages 10 datasets" in finding.detail
    assert "it is the mean of 11, with imagenet" in finding.detail


def test_an_average_without_a_dataset_that_is_not_printed_says_so(tmp_path: Path) -> None:
    nine = [v for name, v in CROSS.items() if name not in ("imagenet", "eurosat")]
    table = cross(sum(nine) / 9, imagenet=None, eurosat=None)
    (finding,) = found(tmp_path, "cross_dataset", table)
    assert finding.kind == "datasets" and "mean of 9, without eurosat" in finding.detail


def test_an_average_of_columns_that_are_cut_is_left(tmp_path: Path) -> None:
    cut = cross(66.14, **dict.fromkeys(DATASETS[5:], None))
    (table,) = audit.audit(audit.read(written(tmp_path, "cross_dataset", cut))).tables
    assert (table.recomputed, table.left, table.findings) == (0, 1, 0)
    impossible = cross(99.0, **dict.fromkeys(DATASETS[10:], None))
    (finding,) = found(tmp_path, "cross_dataset", impossible)
    assert finding.kind == "average" and "whatever ucf101 may be" in finding.detail


def test_tables_say_over_how_many_datasets_their_averages_are(tmp_path: Path) -> None:
    tables = cross(66.14), cross(sum(CROSS.values()) / 11)
    paths = written(tmp_path, "cross_dataset", *tables, method=["a", "b"])
    (table,) = audit.audit(audit.read(paths)).tables
    assert table.over == ((10, 1), (11, 1)) and table.rows == 2


# --- harmonic means -----------------------------------------------------------------------------


def averages(b: float, n: float, h: float) -> Cells:
    return {("Average", "base"): b, ("Average", "new"): n, ("Average", "hm"): h}


def test_a_lower_hm_says_how_far_seeds_would_differ(tmp_path: Path) -> None:
    """b = 80 + d and n = 60 - d for d = ±s have HMs whose mean is 2 s² / (b + n) lower."""
    table: Cells = {("dtd", "base"): 80.0, ("dtd", "new"): 60.0, ("dtd", "hm"): 68.0}
    (finding,) = found(tmp_path, "base_to_new", table)
    assert finding.kind == "harmonic mean" and "±6.3 points" in finding.detail
    again = [hm(80 + d, 60 - d) for d in (6.35, -6.35)]
    assert sum(again) / 2 == pytest.approx(68.0, abs=0.02)
    (higher,) = found(tmp_path, "base_to_new", table | {("dtd", "hm"): 68.9})
    assert "no average over seeds explains" in higher.detail


def test_an_average_hm_below_cannot_be_decided_without_the_datasets(tmp_path: Path) -> None:
    for value, kind in ((70.0, "open"), (70.59, None), (71.0, "harmonic mean")):
        own = found(tmp_path, "base_to_new", averages(80.0, 63.16, value))
        assert [f.kind for f in own] == ([kind] if kind else [])


def test_one_number_behind_two_contradictions_is_named(tmp_path: Path) -> None:
    table: Cells = {}
    for name in DATASETS:
        table |= {(name, "base"): 80.25, (name, "new"): 70.31, (name, "hm"): hm(80.25, 70.31)}
    table |= averages(80.25, 70.31, hm(80.25, 70.31)) | {("ucf101", "new"): 71.81}
    own = found(tmp_path, "base_to_new", table)
    assert [f.kind for f in own] == ["harmonic mean", "average"]
    assert {f.cause for f in own} == {"both follow if ucf101 new is 70.31 rather than 71.81"}
    apart = table | {("ucf101", "new"): 70.31, ("ucf101", "hm"): 70.0, ("Average", "new"): 70.21}
    unrelated = found(tmp_path, "base_to_new", apart | {("Average", "hm"): hm(80.25, 70.21)})
    assert [(f.kind, f.cause) for f in unrelated] == [("harmonic mean", ""), ("average", "")]


# --- names --------------------------------------------------------------------------------------


def test_the_same_column_under_two_names_is_found_once(tmp_path: Path) -> None:
    second = {cell: value + 0.0 for cell, value in cross(66.14).items()}
    (finding,) = found(
        tmp_path, "cross_dataset", cross(66.14), second, method=["a", "a+b"], source=["x", "y"]
    )
    assert (finding.kind, finding.method) == ("two names", "a+b")
    assert "all 11 test numbers are those of a: cross_dataset.csv" in finding.detail
    assert finding.cause == "its name says that it builds on a"
    (other,) = found(tmp_path, "cross_dataset", second, second, method=["a+b", "a"])
    assert other.method == "a+b" and "are those of a:" in other.detail


def test_a_few_numbers_agree_by_chance(tmp_path: Path) -> None:
    other = {name: value + 0.37 for name, value in CROSS.items()}
    for n, kinds in ((4, []), (5, ["two names"])):
        same = dict(list(CROSS.items())[1 : n + 1])
        table = cross(0.0, **other | same)
        del table["Average", "test"]
        own = found(tmp_path, "cross_dataset", cross(66.14), table, method=["a", "b"])
        assert [f.kind for f in own] == kinds
        assert {f.method for f in own} <= {"b"}  # which stands second


def test_rows_of_one_method_may_agree(tmp_path: Path) -> None:
    tables = cross(66.14), cross(66.14)
    for facts in ({"source": ["x", "y"]}, {"inference": ["unified", "decoupled"]}):
        assert found(tmp_path, "cross_dataset", *tables, **facts) == []


# --- reading ------------------------------------------------------------------------------------


def test_a_cell_twice_is_found_and_rows_that_notes_tell_apart_are_not(tmp_path: Path) -> None:
    tables = averages(80.0, 63.16, 70.59), averages(81.0, 63.16, 70.98)
    (first, *_) = found(tmp_path, "base_to_new", *tables)
    assert first.kind == "twice" and "lines 2 (80.00) and 5: 81.00 here" in first.detail
    assert found(tmp_path, "base_to_new", *tables, note=["one template", "templates"]) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("table.csv", "", "unknown protocol 'table'"),
        ("few_shot.csv", "method,value\n", "lacks the columns dataset, split"),
        ("few_shot.csv", ",".join(COLUMNS) + "\nm,dtd,test,81.3 %,16,,,,,\n", "line 2"),
        ("few_shot.csv", ",".join(COLUMNS) + "\nm,dtd,test,nan,16,,,,,\n", "'nan' is not"),
        ("few_shot.csv", ",".join(COLUMNS) + "\n", "no published number"),
    ],
)
def test_files_that_are_no_tables_are_refused(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    refused = call(tmp_path / name)
    assert refused.exit_code == 2 and said in refused.stderr.replace("\n", " ")


# --- what it writes -----------------------------------------------------------------------------


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["leaderboard", "audit", *map(str, arguments)])


def test_the_command_writes_for_people_and_for_programs(tmp_path: Path) -> None:
    (path,) = written(tmp_path, "cross_dataset", cross(66.59), method="=m", note="as printed")
    told = call(tmp_path)
    assert told.exit_code == 0 and "1 finding (1 average)" in told.stderr
    for text in ("printed 66.59", "cross_dataset.csv, line 13: a paper", "note: as printed"):
        assert text in told.stdout
    (line,) = csv.DictReader(io.StringIO(call(path, "--format", "csv").stdout))
    assert (line["method"], line["printed"], line["line"]) == ("'=m", "66.59", "13")
    facts = json.loads(call(path, "--format", "json").stdout)
    assert facts["findings"][0]["low"] == pytest.approx(66.135)
    assert facts["tables"][0]["numbers"] == 12
    assert "no published number of few_shot" in call(path, "--protocol", "few_shot").stderr


def test_the_page_has_every_finding_as_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    paths = written(tmp_path, "cross_dataset", cross(66.59), method=hostile, source=hostile)
    page = audit_page(audit.audit(audit.read(paths)), {"coop"})
    ((kind, *_),) = [page["kinds"]]
    assert kind["findings"][0]["page"] == ""
    shared = {
        "protocols": [],
        "version": "1",
        "here": "",
        "alone": False,
        "feed": False,
        "links": [],
    }
    templates = Templates(tmp_path, shared)
    templates.write("audit.html", "audit.html", title="Audit", **page)
    text = (tmp_path / "audit.html").read_text()
    assert hostile not in text and text.count("&lt;script&gt;") == 3
    assert "66.135 to 66.145" in text and "cross_dataset.csv, line 13" in text

"""Tables of images as spreadsheets and scripts write them: read generously, or refused by line."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from promptbench.data import layouts
from promptbench.data.layouts import csv_rows
from promptbench.data.layouts.csv_rows import parse
from promptbench.support.progress import Reporter
from tests.data import toy
from tests.data.test_folders import Said
from tests.data.toy import images, refused

ROWS = [("a b.png", "ant", "train"), ("b.png", "bee", "test")]


def read(text: str) -> list[tuple[str, str, str]]:
    return [(row.path, row.label, row.split) for row in parse(text, "t.csv")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", ", " , ", " ; "])
@pytest.mark.parametrize("header", ["path label split", "Path LABEL Split", "split label path"])
@pytest.mark.parametrize("before", ["", "sep={}\n", "\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ways_to_write_a_table(delimiter: str, header: str, before: str, end: str) -> None:
    order = header.lower().split()
    table = [header.split()]
    for path, label, split in ROWS:
        value = {"path": path, "label": label, "split": split}
        table.append([value[column] for column in order])
    text = before.format(delimiter.strip(" ")) + end.join(delimiter.join(line) for line in table)
    assert read(text) == ROWS


def test_empty_lines_index_columns_and_commas_in_values() -> None:
    text = ',path,label\n0,"a,b.png",ant\n\n,,\n1,c.png,bee,\n'
    assert read(text) == [("a,b.png", "ant", "all"), ("c.png", "bee", "all")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("img/1.png,cat\n", "'path' and 'label' are missing, found are 'img/1.png', 'cat'"),
        ("filename,label\n1.png,cat\n", "'path' is missing, found are 'filename', 'label'"),
        ("path label\n1.png cat\n", "found are 'path label'"),
        ("path,label,Label\n1.png,a,b\n", "column 'label' occurs twice"),
        ("path,label\n\n1.png,nan\n", r"line 3: column 'label' is empty \(nan\)"),
        ('path,label\n"1\n2.png",a\n3.png,\n', "line 4: column 'label' is empty"),
        ("sep=;\npath;label\n1.png;\n", "line 3: column 'label' is empty"),
        ("path,label\n1.png,a,x\n", "line 2: more values than columns"),
    ],
)
def test_what_was_found_is_said(text: str, message: str) -> None:
    refused(f"t.csv.*{message}", parse, text, "t.csv")


# --- splits -------------------------------------------------------------------------------------


def test_splits_in_any_case_are_ours() -> None:
    text = "path,label,split\n1,a,Train\n2,a,TESTING\n3,a,valid\n4,a,validation\n5,a,extra\n"
    assert [split for _, _, split in read(text)] == ["train", "test", "val", "val", "extra"]


@pytest.mark.parametrize("empty", ["", "nan", "None", "<NA>"])
def test_rows_without_a_split_are_refused(empty: str) -> None:
    text = f"path,label,split\n1.png,a,train\n2.png,a,{empty}\n3.png,b,{empty}\n"
    refused(r"2 of 3 rows have no split, the first is line 3 \(2.png\)", parse, text, "t.csv")
    assert {split for _, _, split in read(f"path,label,split\n1.png,a,{empty}\n")} == {"all"}


def test_rows_of_other_splits_are_told_when_drafted_and_when_prepared(tmp_path: Path) -> None:
    images(tmp_path, *(f"{i}.png" for i in range(6)))
    rows = ["0.png,a,test", "1.png,b,test", "2.png,c,extra", "3.png,a,extra", "4.png,a,unused"]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["path,label,split", *rows]))
    said, again = Said(), Said()
    made = layouts.draft("csv", str(table), None, said)
    assert (made.classes, made.splits) == (["a", "b"], {"test": 2})
    assert said.text == (
        f"{table}: not read\n  3 rows (split 'extra' 2, split 'unused' 1), "
        "the first is line 4 (2.png)\n"
    )
    card = toy.card(
        classes=made.classes, splits=made.splits, source={"kind": "csv", "options": made.options}
    )
    assert len(layouts.open_source(card, str(table), again).samples("test")) == 2
    assert again.text == said.text


def test_cards_that_hold_a_tables_own_names_of_splits_are_read(tmp_path: Path) -> None:
    images(tmp_path, "0.png", "1.png", "2.png", "3.png")
    rows = ["0.png,a,validation", "1.png,b,Validation", "2.png,a,test", "3.png,b,test"]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,split", *rows]))
    options = {"labels": ["a", "b"], "splits": {"val": "validation", "test": "test"}}
    source = {"kind": "csv", "options": options}
    card = toy.card(classes=["a", "b"], splits={"val": 2, "test": 2}, source=source)
    opened = layouts.open_source(card, str(tmp_path / "t.csv"), Reporter())
    assert [s.name for s in opened.samples("val")] == ["0.png", "1.png"]


# --- the same image twice -----------------------------------------------------------------------


@pytest.mark.parametrize("again", ["1.png", "./1.png", "x/../1.png", "1.png "])
def test_a_row_that_repeats_another_names_both_lines(again: str) -> None:
    text = f"path,label,split\n1.png,a,train\n2.png,b,test\n{again},a,Train\n"
    refused(r"line 4 repeats line 2 \(.*1.png, a\); remove what", parse, text, "t.csv")
    text += "2.png,b,test\n"
    refused("and 1 more rows repeat others; remove", parse, text, "t.csv")


def test_compositions_of_one_path_are_one_image() -> None:
    nfc, nfd = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    refused("line 3 repeats line 2", parse, f"path,label\n{nfc},a\n{nfd},a\n", "t.csv")


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_with_two_labels_is_refused(split: str) -> None:
    text = f"path,label,split\n1.png,a,train\n1.png,b,{split}\n2.png,b,test\n"
    refused("1.png is 'a' in line 2 and 'b' in line 3; an image has one", parse, text, "t.csv")


def test_an_image_in_two_splits_is_told(tmp_path: Path) -> None:
    images(tmp_path, "1.png", "2.png", "3.png")
    rows = ["1.png,a,train", "2.png,b,train", "1.png,a,test", "3.png,b,test"]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,split", *rows]))
    said = Said()
    layouts.draft("csv", str(tmp_path / "t.csv"), None, said)
    assert "1 image in two splits (1 in train and test), the first is 1.png" in said.text
    assert "(line 2: train, line 4: test)" in said.text


# --- labels and files ---------------------------------------------------------------------------


def drafted(tmp_path: Path, *labels: str) -> list[str]:
    images(tmp_path, *(f"{i}-{place}.png" for i in range(len(labels)) for place in "xy"))
    rows = [f'{i}-{place}.png,"{label}"' for i, label in enumerate(labels) for place in "xy"]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    return layouts.draft("csv", str(tmp_path / "t.csv"), 0.5, Reporter()).classes


def test_labels_order_by_number(tmp_path: Path) -> None:
    assert drafted(tmp_path, "10.0", "2.0", "0.0") == ["0.0", "2.0", "10.0"]
    assert drafted(tmp_path, "class10", "class2") == ["class2", "class10"]
    refused("labels '0' and '0.0' are one number", drafted, tmp_path, "0", "0.0", "1")


def test_paths_are_found_in_another_composition(tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "été/né {}.png") for form in ("NFC", "NFD"))
    mixed = unicodedata.normalize("NFD", "été") + unicodedata.normalize("NFC", "/né {}.png")
    for number, (disk, table) in enumerate([(nfc, nfd), (nfd, nfc), (nfd, mixed), (nfc, nfc)]):
        folder = tmp_path / str(number)
        images(folder, *(disk.format(i) for i in range(4)))
        lines = [f"{table.format(i)},{'ab'[i % 2]}" for i in range(4)]
        (folder / "t.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
        made = layouts.draft("csv", str(folder / "t.csv"), 0.5, Reporter())
        source = {"kind": "csv", "options": made.options}
        card = toy.card(classes=made.classes, splits=made.splits, source=source)
        opened = layouts.open_source(card, str(folder / "t.csv"), Reporter())
        listed = opened.samples("train")
        assert all(sample.name in "".join(lines) for sample in listed)  # names are the table's
        assert len(list(opened.images(listed, 2))) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.png", "1 missing image: none.png; put"), ("empty.png", "1 empty image file: empty.png"),
     ("folder.png", "1 path to something else than a file"), ("é.png", "1 missing image: é.png")],
)  # fmt: skip
def test_rows_without_an_image_are_refused(tmp_path: Path, name: str, message: str) -> None:
    images(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    text = f"path,label\n1.png,a\n2.png,b\n3.png,b\n{name},a\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    refused(message, layouts.draft, "csv", str(tmp_path / "t.csv"), 0.5, Reporter())


def test_tables_in_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\né.png,a\n".encode("latin-1"))
    refused("not UTF-8 text .byte 11 is 0xe9.; save it", drafted_at, tmp_path)
    (tmp_path / "t.csv").write_bytes("path,label\n1.png,a\n".encode("utf-16"))
    refused("not UTF-8 text .*; save it as UTF-8", drafted_at, tmp_path)


def drafted_at(folder: Path) -> None:
    layouts.draft("csv", str(folder / "t.csv"), 0.5, Reporter())


def test_every_spelling_of_a_path_is_one_file() -> None:
    row = csv_rows.CsvRow("./a//b.png", "a", "all", "a", 2)
    assert row.file == "a/b.png"


def test_quotes_may_follow_a_space() -> None:
    assert read('path, label\n1.png, "ant, red"\n') == [("1.png", "ant, red", "all")]


def test_a_table_without_test_rows_is_told_what_helps(tmp_path: Path) -> None:
    images(tmp_path, "1.png", "2.png")
    table = tmp_path / "t.csv"
    table.write_text("path,label,split\n1.png,a,train\n2.png,b,dev\n")
    refused("it has train, dev: call one", layouts.draft, "csv", str(table), None, Said())
    table.write_text("path,label,split\n1.png,a,train\nsub\\2.png,b,test\n")
    refused("write paths with /", layouts.draft, "csv", str(table), None, Said())

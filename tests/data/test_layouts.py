"""Importers: what they read, and what they refuse, with file and place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.data import layouts
from promptbench.data.layouts import aircraft, coop, files
from promptbench.errors import UserError
from tests.data import toy
from tests.data.toy import SAY_NOTHING, images, refused

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
)


# --- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x.jpg", "a/../../x.jpg", "..", "", "C:/x.jpg", "..\\x.jpg", "//h/x"]
)
def test_paths_that_leave_their_folder_are_refused(name: str) -> None:
    refused("must stay below its folder", files.safe, name, "list.json")


@given(st.text(max_size=30))
def test_a_path_is_refused_or_stays_below(name: str) -> None:
    try:
        kept = files.safe(name, "here")
    except UserError:
        return
    below = Path("/srv/data").joinpath(kept)
    assert ".." not in below.parts and below.is_relative_to("/srv/data")


# --- coop ---------------------------------------------------------------------------------------


@given(anything)
def test_any_json_is_a_split_file_or_an_error(content: Any) -> None:
    try:
        rows = coop.parse(json.dumps(content), "split.json")
    except UserError as error:
        assert "split.json" in str(error)
        return
    assert all(isinstance(label, int) for found in rows.values() for _, label, _ in found)


@given(st.text(max_size=60))
def test_any_text_is_json_or_an_error(text: str) -> None:
    try:
        coop.parse(text, "split.json")
    except UserError as error:
        assert "split.json" in str(error)


def coop_set(tmp_path: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Any:
    """A card and a folder in CoOp's layout, with the split file changed by `change`."""
    classes = ["ant", "bee_keeper"]
    rows = {
        split: [[f"{c}/{split}_{i}.jpg", n, c] for n, c in enumerate(classes) for i in range(2)]
        for split in ("train", "test")
    }
    for part in rows.values():
        images(tmp_path / "root" / "images", *(path for path, _, _ in part))
    if change is not None:
        change(rows)
    (tmp_path / "root" / "split.json").write_text(json.dumps(rows))
    options = {"root": "root", "images": "images", "split_file": "split.json"}
    return toy.card(
        classes=["ant", "bee keeper"],
        splits={"train": 4, "test": 4},
        source={"kind": "coop", "options": options},
    )


def test_coop_reads_the_split_files_order_from_the_folder_or_the_one_above(tmp_path: Path) -> None:
    card = coop_set(tmp_path)
    for location in (tmp_path, tmp_path / "root"):
        source = layouts.open_source(card, str(location), SAY_NOTHING)
        names = [sample.name for sample in source.samples("test")]
        assert names == ["ant/test_0.jpg", "ant/test_1.jpg"] + [
            f"bee_keeper/test_{i}.jpg" for i in range(2)
        ]
        assert list(source.images(source.samples("test"), 2))[1] == toy.png(1)


def change_row(**new: Any) -> Callable[[dict[str, Any]], None]:
    def change(rows: dict[str, Any]) -> None:
        row = rows["test"][3]
        rows["test"][3] = [
            new.get("path", row[0]),
            new.get("label", row[1]),
            new.get("cls", row[2]),
        ]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            change_row(path="bee_keeper/gone.jpg"),
            r"json, test: 1 missing image: .*gone\.jpg",
        ),
        (
            change_row(path="../../secret.jpg"),
            r"1 image outside of the source: \.\./\.\./secret\.jpg \(",
        ),
        (change_row(label=2), r"label 2 of bee_keeper/test_1\.jpg is out of range.*2 classes"),
        (change_row(label=-1), "label -1 .* is out of range"),
        (change_row(cls="wasp"), "class name 'wasp'; the card calls this class 'bee keeper'"),
        (change_row(label="1"), r"row 3: .* not of the form \[path, label, class name\]"),
        (lambda rows: rows.pop("test"), "no split 'test'"),
    ],
)
def test_coop_names_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    card = coop_set(tmp_path, change)
    refused(message, layouts.open_source, card, str(tmp_path), SAY_NOTHING)


def test_other_few_shot_subsets_than_the_fields_are_refused(tmp_path: Path) -> None:
    from promptbench.data.shards import store

    card = coop_set(tmp_path).model_copy(update={"fingerprints": {"seed_1": "0" * 64}})
    source = layouts.open_source(card, str(tmp_path), SAY_NOTHING)
    refused("few-shot subset of seed 1 differs", store.check_fingerprints, card, source)


# --- aircraft -----------------------------------------------------------------------------------


def test_aircraft_lines(tmp_path: Path) -> None:
    labels = {"F-16A/B": 0, "Boeing 717": 1}
    rows = aircraft.parse("0817494 Boeing 717\n\n1025794 F-16A/B\n", labels, "list.txt")
    assert rows == [("0817494.jpg", 1), ("1025794.jpg", 0)]
    refused("line 2: 'Boeing 999'", aircraft.parse, "1 F-16A/B\n2 Boeing 999", labels, "list.txt")
    refused("line 1: refused", aircraft.parse, "../1 F-16A/B", labels, "list.txt")


@given(st.text(max_size=40))
def test_any_text_is_a_list_of_aircraft_or_an_error(text: str) -> None:
    try:
        rows = aircraft.parse(text, {"A": 0}, "list.txt")
    except UserError as error:
        assert "list.txt, line" in str(error)
        return
    assert all(label == 0 for _, label in rows)


def test_unknown_kinds_and_options_are_named() -> None:
    refused("unknown kind of source 'zip'", layouts.draft, "zip", "x", None, SAY_NOTHING)
    wrong = toy.card(source={"kind": "folder", "options": {"splits": {}, "folder": []}})
    refused("source.options.folders", layouts.open_source, wrong, "x", SAY_NOTHING)

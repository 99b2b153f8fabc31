"""Users' own datasets in the form of the CoOp family: a split file and a folder of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptbench.data import fewshot, layouts
from promptbench.data.cards.cards import DataCard
from tests.data.toy import FACTS, SAY_NOTHING, images, refused

NAMES = ["river", "beach", "football field"]  # label order is the file's, not the alphabet's
SPLITS = {"train": 4, "val": 1, "test": 2}


def rows(split: str) -> list[list[Any]]:
    """Rows of a split, classes in turn."""
    return [
        [f"{name}/{split}{number}.png", label, name]
        for number in range(SPLITS[split])
        for label, name in enumerate(NAMES)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """split.json beside a folder of images with a name of its own, and what does not belong."""
    content = {split: rows(split) for split in SPLITS}
    (tmp_path / "split.json").write_text(json.dumps(content))
    (tmp_path / "notes.json").write_text("{}")
    images(tmp_path / "2750", *(row[0] for listed in content.values() for row in listed))
    images(tmp_path / "previews", "river/other.png")
    return tmp_path


def changed(folder: Path, content: dict[str, list[list[Any]]]) -> str:
    (folder / "split.json").write_text(json.dumps(content))
    return str(folder)


@pytest.mark.parametrize("place", ["", "split.json"])
def test_order_labels_and_splits_are_the_files(folder: Path, place: str) -> None:
    made = layouts.draft("coop", str(folder / place), None, SAY_NOTHING)
    assert made.classes == NAMES
    assert made.splits == {"train": 12, "val": 3, "test": 6}
    assert made.location == str(folder)
    assert made.options["images"] == "2750"
    source = {"kind": "coop", "options": made.options}
    facts = {"classes": ["stream", "sand", "pitch"], "splits": made.splits, "source": source}
    opened = layouts.open_source(
        DataCard.model_validate(FACTS | facts), made.location, SAY_NOTHING
    )  # the card may call the classes by other names
    train = opened.samples("train")
    assert [(s.name, s.label) for s in train] == [(row[0], row[1]) for row in rows("train")]
    drawn = fewshot.sample([s.label for s in train], 2, 1)
    assert fewshot.sample([row[1] for row in rows("train")], 2, 1) == drawn


def test_a_file_with_one_list_is_divided(folder: Path) -> None:
    made = layouts.draft("coop", changed(folder, {"train": rows("train")}), 0.25, SAY_NOTHING)
    assert made.splits == {"train": 9, "test": 3}


def test_a_list_that_is_not_a_split_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(SAY_NOTHING, "message", said.append)
    place = changed(folder, {"train": rows("train"), "test": rows("test"), "extra": rows("val")})
    made = layouts.draft("coop", place, None, SAY_NOTHING)
    assert made.splits == {"train": 12, "test": 6}
    assert len(said) == 1 and "extra (3)" in said[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": [["river/x.png", 0, "river"]], "test": rows("test")}, "river/x.png is neither"),
        ({"train": [*rows("train"), ["river/train0.png", 1, "river"]], "test": rows("test")},
         "label 1 and class name 'river'; another row calls this class 'beach'"),
        ({"train": [[p, 2 * label, n] for p, label, n in rows("train")],
          "test": [[p, 2 * label, n] for p, label, n in rows("test")]},
         "labels must run from 0 without gaps; there are 3, from 0 to 4"),
        ({"train": rows("train")}, "--holdout"),
        ({"train": [*rows("train"), ["river/gone.png", 0, "river"]], "test": rows("test")},
         "1 missing image: river/gone.png; put"),
        ({"train": [*rows("train"), rows("train")[1]], "test": rows("test")},
         r"row 12 names the image of row 1 again \(beach/train0.png\)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    folder: Path, content: dict[str, list[list[Any]]], message: str
) -> None:
    refused(message, layouts.draft, "coop", changed(folder, content), None, SAY_NOTHING)


def test_an_empty_list_is_left_out_with_a_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(SAY_NOTHING, "message", said.append)
    place = changed(folder, {"train": rows("train"), "val": [], "test": rows("test")})
    made = layouts.draft("coop", place, None, SAY_NOTHING)
    assert made.splits == {"train": 12, "test": 6}
    assert len(said) == 1 and "empty: val" in said[0]


def test_several_split_files_or_image_folders_are_not_guessed(folder: Path) -> None:
    images(folder / "previews", *(listed[0][0] for listed in map(rows, SPLITS)))
    several = r"several folders \(2750, previews\)"
    refused(several, layouts.draft, "coop", str(folder), None, SAY_NOTHING)
    (folder / "split_zhou_Mine.json").write_text("{}")
    refused(
        "it holds split.json, split_zhou_Mine.json; name the one",
        layouts.draft,
        "coop",
        str(folder),
        None,
        SAY_NOTHING,
    )

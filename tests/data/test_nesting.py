"""Sub-folders of class folders: told where they are parts of a class, refused where they may be
classes themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.data import layouts
from tests.data import toy
from tests.data.test_folders import Said
from tests.data.toy import images, refused


def drafted(base: Path, holdout: float | None = None) -> tuple[layouts.Draft, str]:
    said = Said()
    return layouts.draft("folder", str(base), holdout, said), said.text


def tree(base: Path, *folders: str, splits: tuple[str, ...] = ("train", "test")) -> Path:
    images(base, *(f"{split}/{folder}/{n}.png" for split in splits for folder in folders
                   for n in "12"))  # fmt: skip
    return base


@pytest.mark.parametrize("splits", [("train", "test"), (".",)])
def test_classes_below_broader_ones_are_not_joined(tmp_path: Path, splits: tuple[str, ...]) -> None:
    folders = ("mammal/cat", "mammal/dog", "bird/owl", "bird/wren", "fish")
    base = tree(tmp_path, *folders, splits=splits)
    said = r"2 of 3 class folders hold no images, but folders of images \(in bird: owl, wren\)\."
    holdout = 0.5 if "." in splits else None
    refused(f"{said} If these are the classes, move them up", drafted, base, holdout)


@pytest.mark.parametrize(
    "folders",
    [
        ("ant/cam1", "ant/cam2", "bee/cam1", "bee/cam2"),  # parts have the same names everywhere
        ("ant/cam1", "ant/cam2", "bee", "cat"),  # few classes have any
        ("ant/images", "bee/pictures"),  # one folder in each
        ("ant", "ant/a", "ant/b", "bee", "bee/c", "bee/d"),  # beside images of the class
    ],
)
def test_parts_of_classes_are_read_and_told(tmp_path: Path, folders: tuple[str, ...]) -> None:
    made, said = drafted(tree(tmp_path, *folders))
    assert made.classes[:2] == ["ant", "bee"]
    deep = sum("/" in folder for folder in folders)
    assert f"{4 * deep} images in sub-folders of class folders, as images of that class" in said
    assert made.splits["train"] == 2 * len(folders)


def test_folders_without_sub_folders_are_told_nothing(tmp_path: Path) -> None:
    assert drafted(tree(tmp_path, "ant", "bee"))[1] == ""


def test_a_card_that_exists_is_read_as_it_is(tmp_path: Path) -> None:
    """It was written when the user accepted this, or its classes are known otherwise."""
    base = tree(tmp_path, "a/cat", "a/dog", "b/owl", "b/wren")
    options = {"splits": {"test": "test"}, "folders": ["a", "b"]}
    source = {"kind": "folder", "options": options}
    card = toy.card(classes=["a", "b"], splits={"test": 8}, source=source)
    said = Said()
    assert len(layouts.open_source(card, str(base), said).samples("test")) == 8
    assert "8 images in sub-folders of class folders" in said.text

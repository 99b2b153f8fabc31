"""Folders of images as users have them: leftovers, links, odd suffixes, and every file told."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from promptbench.data import layouts
from promptbench.data.layouts import Draft
from promptbench.data.layouts.walk import is_leftover
from promptbench.errors import UserError
from promptbench.support.progress import Reporter
from tests.data import toy
from tests.data.toy import images, refused

FILES = tuple(f"{s}/{c}/{i}.png" for s in ("train", "test") for c in ("ant", "bee") for i in "12")


class Said(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.text = ""

    def message(self, text: str) -> None:
        self.text += text + "\n"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    images(tmp_path / "set", *FILES)
    return tmp_path / "set"


def drafted(base: Path, holdout: float | None = None) -> tuple[Draft, str]:
    """The draft, and what was said; preparing must list the same and say the same."""
    said, again = Said(), Said()
    made = layouts.draft("folder", str(base), holdout, said)
    source = {"kind": "folder", "options": made.options}
    card = toy.card(classes=made.classes, splits=made.splits, source=source)
    opened = layouts.open_source(card, str(base), again)
    assert {split: len(opened.samples(split)) for split in made.splits} == made.splits
    assert again.text == said.text
    return made, said.text


PLAIN = {"train": 4, "test": 4}


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir", ".AppleDouble", "__MACOSX", "lost+found", "$RECYCLE.BIN", "#recycle", "@Recycle",
        "System Volume Information", ".ipynb_checkpoints", ".@__thumb", ".git", "#snapshot",
        "__pycache__", "Network Trash Folder", ".Trash-1000", "SYSTEM VOLUME INFORMATION",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "train", "train/ant", "test/bee/more"])
def test_leftovers_are_not_read_at_any_depth(base: Path, place: str, folder: str) -> None:
    images(base / place / folder / "0.jpg", "thumb.jpg", "large.jpg")
    made, said = drafted(base)
    assert (made.classes, made.splits) == (["ant", "bee"], PLAIN)
    shown = f"{place}/{folder}".lstrip("/")
    assert said == f"{base}: not read\n  1 leftover of systems and hidden names: {shown}\n"


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", "._1.png", ".DS_Store", ".x.jpg"])
def test_leftover_files_are_counted(base: Path, name: str) -> None:
    for place in ("train/ant", "train/bee", "test"):
        (base / place / name).write_bytes(toy.png(1))
    made, said = drafted(base)
    assert made.splits == PLAIN
    assert f"3 leftovers of systems and hidden names, the first is test/{name}\n" in said


def test_names_of_classes_are_not_leftovers() -> None:
    for name in ("recycled", "__background__", "eaDir", "trash", "a@b", "#1", "$100 bill", "found"):
        assert not is_leftover(name, is_folder=True)
    assert not is_leftover("@photo.jpg", is_folder=False)


def test_suffixes_and_contents(base: Path) -> None:
    place = base / "train" / "ant"
    for name in ("a.jfif", "b.jpe", "c.JPEG", "d.JFIF", "e.Png"):
        (place / name).write_bytes(toy.png(3))
    for name in ("noext", "img.2019-05-03", "f.jpg_large", "g.jpg?size=2"):
        (place / name).write_bytes(toy.png(4))
    made, said = drafted(base)
    assert made.splits == {"train": 13, "test": 4}
    assert said == (
        f"{base}: read as well\n  4 images known by content, without a suffix of images, "
        "the first is train/ant/f.jpg_large\n"
    )


def test_other_files_are_counted_by_suffix(base: Path) -> None:
    for name, text in (
        ("train/ant/README.txt", "BMW is not a bitmap"),
        ("train/ant/1.json", "{}"),
        ("test/bee/2.json", "{}"),
        ("test/bee/x.mat", "x"),
        ("test/bee/x.xml", "<a/>"),
        ("test/bee/Makefile", "x"),
        ("labels.csv", "x"),
    ):
        (base / name).write_text(text)
    made, said = drafted(base)
    assert made.splits == PLAIN
    assert said == (
        f"{base}: not read\n  7 files other than images "
        "(.json 2, no suffix 1, .mat 1, .xml 1, ...), the first is test/bee/2.json\n"
    )


def test_copies_of_editors_are_not_samples(base: Path) -> None:
    for name in ("1.png~", "1.png.bak", "2.png.crdownload", "3.THM"):
        (base / "train" / "ant" / name).write_bytes(toy.png(1))
    made, said = drafted(base)
    assert made.splits == PLAIN and "4 files of editors or unfinished downloads" in said


@pytest.mark.parametrize("suffix", [".heic", ".NEF", ".jxl", ".tga"])
def test_images_that_shards_do_not_hold_are_refused_by_name(base: Path, suffix: str) -> None:
    place = base / "train" / "ant" / f"x{suffix}"
    # a raw photograph begins as a TIFF does, and Pillow would read its thumbnail
    raw = toy.encoded(Image.new("RGB", (8, 8)), "TIFF")
    place.write_bytes(raw if suffix == ".NEF" else b"\0\0\0\x18ftypheic")
    refused(
        f"1 image in formats that shards do not hold: train/ant/x{suffix}; convert",
        drafted,
        base,
    )


def test_empty_images_are_refused(base: Path) -> None:
    for name in ("train/ant/8.jpg", "test/bee/9.png"):
        (base / name).write_bytes(b"")
    refused("2 empty image files, the first is test/bee/9.png; get the images again", drafted, base)


# --- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["train/ant/x.jpg", "train/ant/more", "train/cat", "val"])
def test_broken_links_are_refused(base: Path, place: str) -> None:
    (base / place).symlink_to("/nowhere/at/all")
    refused(rf"1 broken link: {place} \(to /nowhere/at/all\); restore", drafted, base)


def test_a_link_to_itself_is_broken(base: Path) -> None:
    (base / "train" / "ant" / "x").symlink_to(base / "train" / "ant" / "x")
    refused("1 broken link: train/ant/x", drafted, base)


def test_linked_folders_and_files_are_followed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path / "elsewhere"))
    images(tmp_path / "elsewhere", "1.png", "deep/2.png")
    (base / "train" / "ant" / "more").symlink_to(tmp_path / "elsewhere")
    (base / "train" / "bee" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    for split in ("train", "test"):
        (base / split / "cat").symlink_to(tmp_path / "elsewhere" / "deep")
    made, said = drafted(base)
    assert made.classes == ["ant", "bee", "cat"]
    inside = "2 images in sub-folders of class folders, as images of that class"
    assert said == f"{base}: read as well\n  {inside}, the first is train/ant/more/1.png\n"
    assert made.splits == {"train": 4 + 2 + 1 + 1, "test": 5}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (".", r"link train/ant/loop leads to .*, which holds train/ant itself"),
        ("..", "which holds train/ant itself"),
        ("/", "which holds train/ant itself"),
        ("more", "train/ant/loop and train/ant/more are the same folder"),
    ],
)
def test_links_that_list_images_twice_are_refused(
    base: Path, target: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_LINKS", "/")
    images(base / "train" / "ant" / "more", "5.png")
    (base / "train" / "ant" / "loop").symlink_to(base / "train" / "ant" / target)
    refused(message, drafted, base)


def test_a_loop_outside_of_the_class_ends(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path))
    images(tmp_path / "out" / "in", "1.png")
    (tmp_path / "out" / "in" / "back").symlink_to(tmp_path / "out")
    (base / "train" / "ant" / "more").symlink_to(tmp_path / "out" / "in")
    refused("are the same folder", drafted, base)


def test_pipes_are_not_opened(base: Path) -> None:
    os.mkfifo(base / "train" / "ant" / "pipe.jpg")
    refused("1 special file, such as a pipe, .*: train/ant/pipe.jpg; remove them", drafted, base)


def test_a_folder_that_cannot_be_read_is_not_passed_over(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(base, "train/ant/locked/1.png")
    scandir = os.scandir

    def guarded(place: str | Path) -> object:
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", guarded)
    refused("cannot read the folder .*locked: Permission denied", drafted, base)


# --- folders that are no classes ----------------------------------------------------------------


def test_a_folder_of_one_split_only_is_called_that(base: Path) -> None:
    images(base, "train/notes/1.png")
    refused("folder 'notes' is only in train, not in test; if it is a class", drafted, base)
    images(base, "test/extra/1.png")
    refused(r"folder 'extra' is only in test, not in train \(and 1 more like it\)", drafted, base)


def test_folders_without_images_and_beside_the_splits_are_told(base: Path) -> None:
    images(base, "unlabeled/1.png", "train/loose.png", "cover.png")
    for name in ("annotations/1.xml", "train/masks/1.mat"):
        (base / name).parent.mkdir()
        (base / name).write_text("x")
    made, said = drafted(base)
    assert (made.classes, made.splits) == (["ant", "bee"], PLAIN)
    assert "2 images outside of class folders, the first is train/loose.png" in said
    assert "2 folders beside those of the splits, the first is annotations" in said
    assert "1 folder without images: train/masks" in said


def test_an_empty_class_folder_is_refused(base: Path) -> None:
    for split in ("train", "test"):
        (base / split / "owl").mkdir()
    refused("class folder .*test/owl is empty; put its images there", drafted, base)


def test_a_class_of_which_a_split_has_other_files_only(base: Path) -> None:
    images(base, "train/owl/1.png")
    (base / "test" / "owl").mkdir()
    (base / "test" / "owl" / "1.txt").write_text("x")
    refused(r"class folder .*test/owl holds no image \(1 other files\)", drafted, base)


def test_splits_by_usual_names(tmp_path: Path) -> None:
    images(tmp_path, *(f"{s}/{c}/1.png" for s in ("Training", "TEST", "Valid") for c in "ab"))
    assert drafted(tmp_path)[0].options["splits"] == {
        "test": "TEST",
        "train": "Training",
        "val": "Valid",
    }
    images(tmp_path, "train/a/1.png")
    refused("has both 'Training' and 'train', which are one split", drafted, tmp_path)


def test_class_folders_order_by_their_numbers(tmp_path: Path) -> None:
    images(tmp_path, *(f"{s}/class{i}/1.png" for s in ("train", "test") for i in (1, 2, 10)))
    assert drafted(tmp_path)[0].classes == ["class1", "class2", "class10"]


def test_an_existing_cards_order_is_kept(tmp_path: Path) -> None:
    images(tmp_path, *(f"test/{i}/1.png" for i in (1, 2, 10)))
    options = {"splits": {"test": "test"}, "folders": ["1", "10", "2"]}
    source = {"kind": "folder", "options": options}
    card = toy.card(classes=["a", "b", "c"], splits={"test": 3}, source=source)
    listed = layouts.open_source(card, str(tmp_path), Reporter()).samples("test")
    assert [s.name for s in listed] == ["test/1/1.png", "test/10/1.png", "test/2/1.png"]


# --- Unicode compositions -----------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("on_card", ["NFC", "NFD"])
def test_folders_are_found_in_another_composition(
    tmp_path: Path, on_disk: str, on_card: str
) -> None:
    name = unicodedata.normalize(on_disk, "Crème brûlée")
    images(tmp_path, f"test/{name}/é.png", "test/ant/1.png")
    folders = ["ant", unicodedata.normalize(on_card, name)]
    options = {"splits": {"test": "test"}, "folders": folders}
    source = {"kind": "folder", "options": options}
    card = toy.card(classes=["a", "b"], splits={"test": 2}, source=source)
    opened = layouts.open_source(card, str(tmp_path), Reporter())
    assert [len(image) > 0 for image in opened.images(opened.samples("test"), 1)] == [True, True]
    images(tmp_path, "train/ant/1.png", f"train/{unicodedata.normalize('NFC', name)}/1.png")
    made = layouts.draft("folder", str(tmp_path), None, Reporter())
    assert made.classes == [unicodedata.normalize("NFC", name), "ant"]


def test_one_name_in_two_compositions_is_refused(tmp_path: Path) -> None:
    images(tmp_path, "a/1.png", *(f"{unicodedata.normalize(f, 'é')}/1.png" for f in ("NFC", "NFD")))
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system composes names itself")
    with pytest.raises(UserError, match="two folders that read 'é'"):
        drafted(tmp_path, 0.5)


def test_one_split_can_be_held_out_beside_other_folders(tmp_path: Path) -> None:
    images(tmp_path, *(f"train/{c}/{i}.png" for c in "ab" for i in range(4)), "plots/1.png")
    made, said = drafted(tmp_path, 0.5)
    assert made.splits == {"train": 4, "test": 4}
    assert "1 folder beside those of the splits: plots" in said


def test_a_class_that_is_called_as_a_split_is_refused_by_name(tmp_path: Path) -> None:
    images(tmp_path, "train/1.png", "train/2.png", "bus/1.png", "bus/2.png")
    refused("train holds 2 files and no class folders.*rename", drafted, tmp_path, 0.5)

"""A dataset of one's own, without touching code: card, shards, sheet, run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from promptbench import records
from promptbench.cli import main
from promptbench.data import layouts
from promptbench.data.cards import cards, new_card
from tests.data import toy
from tests.data.toy import encoded, images

NAMES = ["ice cream", "l'été", "naïve_Ünïcode 猫", "C-3PO {droid}"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PROMPTBENCH_CARDS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")  # tables fold at the terminal's width
    return tmp_path / "home"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders with large pictures; names with spaces, accents, braces and quotes."""
    for label, name in enumerate(NAMES):
        for split, count in (("train", 4), ("test", 3)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                noise = np.random.default_rng([label, number, len(split)]).integers(
                    0, 256, (350, 300, 3)
                )
                image = Image.fromarray(noise.astype(np.uint8))
                (folder / f"{number}.jpg").write_bytes(encoded(image, "JPEG"))
    return tmp_path / "photos"


def call(*arguments: str, code: int = 0) -> str:
    found = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert found.exit_code == code, found.output
    return str(found.stdout + found.stderr)


RUN = ("run", "--method", "coop", "--protocol", "base_to_new", "--datasets", "mine", "--shots", "2")
FEW = ("--set", "Recipe.epochs=1", "--set", "CoOp.n_ctx=4", "--seeds", "1")
TINY = ("--backbone", "promptbench-tiny", "--weights", "demo")


def test_from_folders_to_tables_under_both_suites(photos: Path, home: Path, tmp_path: Path) -> None:
    said = call("data", "new", "mine", "--source", f"folder:{photos}", "--template", "my {}.")
    assert "4 classes, train 16, test 12" in said and "next: promptbench data prepare mine" in said
    assert cards.load("mine").classes == sorted(NAMES)
    refused = call(*RUN, *FEW, "--out", str(tmp_path / "runs"), code=2)
    assert "promptbench data prepare mine`" in refused
    call("data", "prepare", "mine")
    assert (home / "promptbench" / "data" / "mine" / "card.toml").is_file()
    assert "mine" in call(*RUN, *FEW, "--out", str(tmp_path / "runs"))
    assert "mine" in call(*RUN, *FEW, "--suite", "clip", *TINY, "--out", str(tmp_path / "runs"))
    assert "mine" in call("report", str(tmp_path / "runs"), "--format", "markdown")
    assert "mine" in call("ls", "datasets") and "yes" in call("data", "ls")


def test_contact_sheet(photos: Path, tmp_path: Path) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    call("data", "prepare", "mine")
    sheet = tmp_path / "sheet.png"
    said = call("data", "info", "mine", "--contact-sheet", str(sheet))
    assert "ice cream" in said and str(sheet) in said.replace("\n", "")
    with Image.open(sheet) as image:
        assert image.size == (8 * 150 + 6, 2 * 168 + 6)  # 12 test images in rows of 8
        assert np.asarray(image).std() > 20
    assert "no split 'tset'; did you mean 'test'" in call(
        "data", "info", "mine", "--contact-sheet", str(sheet), "--split", "tset", code=2
    )


def test_resized_variant_is_marked_everywhere(photos: Path, tmp_path: Path) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    small = ("--data", str(tmp_path / "small"), "--suite", "demo")
    call("data", "prepare", "mine", "--out", str(tmp_path / "small"), "--resize-short", "288")
    call("data", "prepare", "mine")
    assert "resized to 288" in call("data", "ls", "--data", str(tmp_path / "small"))
    for given in ((), small):
        call(*RUN, *FEW, *given, "--out", str(tmp_path / "runs"))
    found = [records.read(path) for path in records.find([tmp_path / "runs"])]
    assert sorted(str(r.data["mine"].resize_short) for r in found) == ["288"] * 2 + ["None"] * 2
    assert len({r.cell_id for r in found}) == 4
    table = call("report", str(tmp_path / "runs"), "--format", "markdown")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert "\n".join(rows).count("images stored at 288 pixels") == 2  # a row of each method
    again = ("data", "prepare", "mine", "--resize-short", "288")
    assert "resize_short = None, asked for is 288" in call(*again, code=2)


def test_other_images_make_other_cells(photos: Path, tmp_path: Path, home: Path) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    ids = []
    for color in ("red", "blue"):
        Image.new("RGB", (40, 40), color).save(photos / "train" / NAMES[0] / "0.jpg")
        shutil.rmtree(home / "promptbench" / "data", ignore_errors=True)
        call("data", "prepare", "mine")
        out = tmp_path / color
        call(*RUN, *FEW, "--out", str(out))
        ids.append({json.loads(path.read_text())["cell_id"] for path in records.find([out])})
    assert ids[0].isdisjoint(ids[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("imagenet", "--source", "folder:{photos}"), "a card 'imagenet' exists already"),
        (("mine", "--source", "{photos}"), "must say what kind of source"),
        (("mine", "--source", "zip:{photos}"), "unknown kind of source 'zip'"),
        (("mine", "--source", "folder:{photos}/none"), "is not a folder"),
        (("My-Set", "--source", "folder:{photos}"), "'My-Set' cannot name a dataset: use"),
        (("mine", "--source", "folder:{photos}", "--template", "x"), "must have one"),
        (("mine", "--source", "folder:{photos}", "--classes", "{short}"), "names 1 classes"),
        (
            ("mine", "--source", "folder:{photos}", "--classes", "{twice}"),
            "are both called 'a b'; make",
        ),
        (("mine", "--source", "folder:{photos}", "--classes", "{none}"), "none names no class"),
    ],
)
def test_mistakes_of_new_are_named(
    arguments: tuple[str, ...], message: str, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "short").write_text("one\n")
    (tmp_path / "twice").write_text("a_b\na b\nc\nd\n")
    (tmp_path / "none").write_text("\n")
    places = {"photos": photos} | {name: tmp_path / name for name in ("short", "twice", "none")}
    given = [a if a == "x" else a.format(**places) for a in arguments]
    assert message in call("data", "new", *given, code=2)
    assert "mine" not in cards.names()


def test_class_names_can_be_given(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("droid\nice cream\nsummer\ncat\n", encoding="utf-8")
    call(
        "data", "new", "mine", "--source", f"folder:{photos}", "--classes", str(tmp_path / "names")
    )
    assert cards.load("mine").classes == ["droid", "ice cream", "summer", "cat"]
    assert cards.load("mine").source.options["folders"] == sorted(NAMES)


def test_pairs_are_shown_where_the_source_has_names(tmp_path: Path) -> None:
    rows = [[f"{name}{n}.png", label, name] for n in "12" for label, name in enumerate("xy")]
    images(tmp_path / "images", *(row[0] for row in rows))
    (tmp_path / "split.json").write_text(json.dumps({"train": rows[:2], "val": rows[2:]}))
    (tmp_path / "names").write_text("y\tbeach\nx\triver\n")
    names = ("--classes", str(tmp_path / "names"))
    said = call("data", "new", "mine", "--source", f"coop:{tmp_path}", *names)
    assert "0  x -> river" in said and "1  y -> beach" in said
    assert "has no test split; its split 'val' is the test split of mine" in said
    assert cards.load("mine").classes == ["river", "beach"]


def test_finished_shards_have_no_hold_out(photos: Path, tmp_path: Path) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    call("data", "prepare", "mine", "--out", str(tmp_path / "out"))
    source = f"wds:{tmp_path / 'out' / 'mine'}"
    said = call("data", "new", "other", "--source", source, "--holdout", "0.3", code=2)
    assert "splits are fixed; leave out --holdout" in said


# --- numbers, replacing, and what preparing would refuse ----------------------------------------


def digits(place: Path, numbers: range) -> Path:
    toy.images(
        place, *(f"{s}/{n}/{i}.png" for s in ("train", "test") for n in numbers for i in "12")
    )
    return place


def test_names_of_numbered_folders_are_shown_and_kept(tmp_path: Path) -> None:
    place = digits(tmp_path / "digits", range(12))
    new = ("data", "new", "mine", "--source", f"folder:{place}")
    refused = call(*new, code=2)
    assert "12 of 12 classes have no name but 0, 1, 2, 3, ..." in refused
    assert "'a photo of a 0.'; pass --classes FILE" in refused
    assert "mine" not in cards.names()
    names = [f"word {letter}" for letter in "abcdefghijkl"]
    (tmp_path / "names").write_text("\n".join(names))
    said = call(*new, "--classes", str(tmp_path / "names"))
    assert "    10  10 -> word k\n    11  11 -> word l\n" in said
    card = cards.load("mine")
    assert card.classes == names
    assert card.source.options["folders"] == [str(number) for number in range(12)]


def test_digits_may_be_names_if_a_file_says_so(tmp_path: Path) -> None:
    place = digits(tmp_path / "digits", range(10))
    (tmp_path / "names").write_text("\n".join("9876543210"))
    new = ("data", "new", "mine", "--source", f"folder:{place}")
    call(*new, "--classes", str(tmp_path / "names"))
    assert cards.load("mine").classes == list("9876543210")  # the file's order, by name
    assert cards.load("mine").source.options["folders"] == list("9876543210")


@pytest.mark.parametrize("labels", ["01", ["0.0", "1.0"], ["False", "True"], ["ant", "7"]])
def test_labels_that_name_nothing_are_refused(tmp_path: Path, labels: list[str]) -> None:
    toy.images(tmp_path, *(f"{s}{i}.png" for s in ("train", "test") for i in range(2)))
    rows = [f"{s}{i}.png,{labels[i]},{s}" for s in ("train", "test") for i in range(2)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,split", *rows]))
    new = ("data", "new", "mine", "--source", f"csv:{tmp_path / 't.csv'}")
    assert "classes have no name but" in call(*new, code=2)
    (tmp_path / "names").write_text("no\nyes\n" if "ant" not in labels else "7\tno\nant\tyes")
    call(*new, "--classes", str(tmp_path / "names"))
    assert cards.load("mine").classes == ["no", "yes"]
    call("data", "prepare", "mine")


def test_a_card_of_ones_own_can_be_replaced(photos: Path, home: Path) -> None:
    new = ("data", "new", "mine", "--source", f"folder:{photos}")
    call(*new)
    assert "--replace writes it again" in call(*new, code=2)
    call("data", "prepare", "mine")
    assert "holds the shards" not in call(*new, "--replace")
    assert "is prepared already" in call("data", "prepare", "mine")
    said = call(*new, "--template", "my {}.", "--replace")
    folder = home / "promptbench" / "data" / "mine"
    assert f"{folder} holds the shards of the card as it was before: delete that folder" in said
    assert cards.load("mine").template == "my {}."
    assert "another version of the card" in call("data", "prepare", "mine", code=2)
    shutil.rmtree(folder)
    call("data", "prepare", "mine")


def test_a_broken_card_can_be_replaced(photos: Path, home: Path) -> None:
    path = home / "promptbench" / "cards" / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text("name = ")
    call("data", "new", "mine", "--source", f"folder:{photos}", "--replace")
    assert cards.load("mine").classes == sorted(NAMES)


def test_a_card_of_the_package_is_never_replaced(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    packaged = tmp_path / "packaged" / "mine.toml"
    packaged.parent.mkdir()
    cards.path_of("mine").rename(packaged)
    before = packaged.read_bytes()
    monkeypatch.setattr(cards, "packaged", lambda: packaged.parent)
    new = ("data", "new", "mine", "--source", f"folder:{photos}", "--title", "M", "--replace")
    assert "a card 'mine' exists already, it comes with promptbench" in call(*new, code=2)
    assert packaged.read_bytes() == before


def test_a_card_is_replaced_where_it_lies(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    place = cards.path_of("mine")
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path / "first"))
    call("data", "new", "mine", "--source", f"folder:{photos}", "--title", "M", "--replace")
    assert cards.path_of("mine") == place and cards.load("mine").title == "M"


def test_no_card_is_written_that_preparing_would_refuse(photos: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    toy.images(one, "ant/1.png", "bee/1.png", "bee/2.png", "bee/3.png")
    new = ("data", "new", "mine", "--source", f"folder:{one}", "--holdout", "0.5")
    assert "mine/test: 1 class has no image, the first is 'ant'" in call(*new, code=2)
    tars = tmp_path / "tars"
    for split in ("train", "test"):
        members = [m for i in (1, 2) for m in toy.sample(f"s{i}", i)]
        toy.tar(tars / f"{split}-0.tar", members)
    (tars / "classnames.txt").write_text("ant\nbee\n")
    call("data", "new", "mine", "--source", f"wds:{tars}", code=2)
    odd = photos / "train" / NAMES[0] / "a\nb.jpg"
    odd.write_bytes(toy.png(1))
    said = call("data", "new", "mine", "--source", f"folder:{photos}", code=2)
    assert "mine/train: rename" in said
    assert "mine" not in cards.names()


def test_changed_images_ask_for_another_card(photos: Path) -> None:
    call("data", "new", "mine", "--source", f"folder:{photos}")
    (photos / "train" / NAMES[0] / "more.jfif").write_bytes(toy.png(1))
    said = call("data", "prepare", "mine", code=2)
    assert "has 17 samples, but its card says 16; if that is meant" in said and "--replace" in said


def test_a_source_that_lists_an_image_twice_gets_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = toy.Memory({"train": [*toy.rows(30), toy.rows(30)[-1]], "test": toy.rows(55)})
    monkeypatch.setattr(layouts, "open_source", lambda *_: twice)
    card = toy.card(splits={"train": 31, "test": 55})
    toy.refused("two samples have the key '00029%2epng'", new_card._check, card)

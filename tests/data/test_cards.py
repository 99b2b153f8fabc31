"""Cards: every one complete and consistent; wrong ones name file and key."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import tomli_w

from promptbench.data import layouts
from promptbench.data.cards import cards
from promptbench.data.layouts import aircraft, coop, folder
from promptbench.data.shards import store, writing
from promptbench.errors import UserError
from promptbench.planning import settings
from tests.data import toy

FINGERPRINTS = json.loads((Path(__file__).parent / "fewshot_fingerprints.json").read_text())
CLIP = [
    "caltech101", "dtd", "eurosat", "fgvc_aircraft", "food101", "imagenet", "imagenet_a",
    "imagenet_r", "imagenet_sketch", "imagenetv2", "oxford_flowers", "oxford_pets",
    "stanford_cars", "sun397", "ucf101",
]  # fmt: skip
VARIANTS = ["imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"]
N_CLASSES = {
    "imagenet": 1000, "caltech101": 100, "oxford_pets": 37, "stanford_cars": 196,
    "oxford_flowers": 102, "food101": 101, "fgvc_aircraft": 100, "sun397": 397, "dtd": 47,
    "eurosat": 10, "ucf101": 101, "imagenetv2": 1000, "imagenet_sketch": 1000, "imagenet_a": 200,
    "imagenet_r": 200,
}  # fmt: skip


def packaged() -> list[str]:
    return sorted(path.stem for path in cards.packaged().glob("**/*.toml"))


@pytest.mark.parametrize("name", packaged())
def test_every_card_holds(name: str) -> None:
    card = cards.load(name)
    assert card.name == name
    for text in (card.title, card.description, card.licence, card.licence_source, card.citation):
        assert text.strip()
    assert all(card.template.format(cls.replace("_", " ")).strip() for cls in card.classes)


def test_the_field_has_fifteen_cards_and_the_protocols_need_no_other() -> None:
    assert [name for name in packaged() if cards.load(name).suite == "clip"] == CLIP
    assert set(settings.datasets_of("clip")) <= set(CLIP)


@pytest.mark.parametrize("name", CLIP)
def test_cards_of_the_field_are_complete(name: str) -> None:
    card = cards.load(name)
    assert len(card.classes) == N_CLASSES[name]
    assert card.obtain and card.layout and card.notes and card.archives
    assert re.search(r"\b(19|20)\d\d\. \[.+\]$", card.citation)
    assert (card.licence == "no licence source found") == (card.licence_source == "unknown")
    assert any(note.startswith("Sizes: ") for note in card.notes)
    splits = {"train", "val", "test"}
    if name in VARIANTS:
        splits = {"test"}
    elif name == "imagenet":
        splits = {"train", "test"}
    assert set(card.splits) == splits


@pytest.mark.parametrize("name", CLIP)
def test_options_of_cards_fit_their_layouts(name: str) -> None:
    card = cards.load(name)
    model = {"coop": coop.CoopOptions, "aircraft": aircraft.AircraftOptions}
    options = layouts.options_of(card, model.get(card.source.kind, folder.FolderOptions))
    if isinstance(options, folder.FolderOptions):
        assert len(options.folders) == len(card.classes) and set(options.splits) == set(card.splits)
    if isinstance(options, coop.CoopOptions):
        assert options.split_file in {archive.file for archive in card.archives}


@pytest.mark.parametrize("name", sorted(FINGERPRINTS["fingerprints"]))
def test_fingerprints_on_cards_are_the_fields(name: str) -> None:
    expected = {
        f"seed_{seed}": FINGERPRINTS["fingerprints"][name][f"shot_16-seed_{seed}"]["train_sha256"]
        for seed in (1, 2, 3)
    }
    assert cards.load(name).fingerprints == expected


def test_imagenets_repeated_names_are_kept_apart_by_label() -> None:
    classes = cards.load("imagenet").classes
    assert [i for i, name in enumerate(classes) if name == "missile"] == [657, 744]
    assert [i for i, name in enumerate(classes) if name == "sunglasses"] == [836, 837]
    assert any("not reproducible" in note for note in cards.load("imagenet").notes)


def test_variants_of_imagenet_name_the_same_classes() -> None:
    imagenet = cards.load("imagenet")
    named = dict(zip(imagenet.source.options["folders"], imagenet.classes, strict=True))
    for variant in ("imagenet_a", "imagenet_r", "imagenet_sketch"):
        card = cards.load(variant)
        folders = card.source.options["folders"]
        assert folders == sorted(folders)
        assert card.classes == [named[wnid] for wnid in folders]
    second = cards.load("imagenetv2")
    assert second.source.options["folders"] == [str(number) for number in range(1000)]
    assert second.classes == imagenet.classes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "a photo."}, "template"),
        ({"template": "a {} of a {}."}, "template"),
        ({"template": "a {name}."}, "template"),
        ({"template": "a {0}."}, "template"),
        ({"template": "a {} }."}, "template"),
        ({"classes": ["ice_cream", "ice cream", "c", "d", "e"]}, "read the same: ice cream"),
        ({"classes": ["", "b", "c", "d", "e"]}, "class 0"),
        ({"classes": ["a", " b", "c", "d", "e"]}, "class 1"),
        ({"classes": ["a", "b\n", "c", "d", "e"]}, "class 1"),
        ({"classes": ["_", "b", "c", "d", "e"]}, "class 0"),
        ({"repeated_names": ["ant"]}, "repeated_names must list"),
        ({"splits": {"train": 30}}, "test split"),
        ({"splits": {"train": 30, "test": 4}}, "4 images in test cannot cover 5 classes"),
        ({"splits": {"test": 30, "holdout": 4}}, "splits are train, val and test"),
        ({"source": {"kind": "zip"}}, "source.kind"),
        ({"name": "My Set"}, "name"),
    ],
)
def test_cards_that_do_not_hold_are_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(tomli_w.dumps(toy.FACTS | change))
    with pytest.raises(UserError, match=f"wrong.toml: .*{re.escape(message)}"):
        cards.read(path)


def test_wrong_cards_name_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('name = "wrong"\ntemplate = "a {}"\n')
    with pytest.raises(UserError, match=r"wrong\.toml: title, suite, version, .*: Field required"):
        cards.read(path)
    path.write_text("name = ")
    with pytest.raises(UserError, match="not valid TOML"):
        cards.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot read the data card"):
        cards.read(path)


def test_repeated_names_that_are_declared_are_fine() -> None:
    card = toy.card(classes=["a", "b", "a", "c", "d"], repeated_names=["a"])
    assert Counter(card.classes)["a"] == 2


def test_the_digest_covers_what_determines_numbers_and_not_where_images_lie() -> None:
    plain = toy.card().digest
    moved = {"kind": "folder", "location": "/elsewhere", "options": {}}
    assert toy.card(source=moved).digest == plain
    assert toy.card(title="Another", licence="MIT", notes=["x"]).digest == plain
    for change in (
        {"template": "a {}"},
        {"version": 2},
        {"splits": {"train": 31, "test": 55}},
        {"source": {"kind": "folder", "options": {"root": "x"}}},
    ):
        assert toy.card(**change).digest != plain


def test_own_cards_are_found_and_may_not_clash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    monkeypatch.setenv("PROMPTBENCH_CARDS", f"{first}:{second}")
    (second / "toy.toml").write_text(tomli_w.dumps(toy.FACTS))
    assert "toy" in cards.names() and cards.load("toy").classes == toy.FACTS["classes"]
    (first / "toy.toml").write_text(tomli_w.dumps(toy.FACTS))
    with pytest.raises(UserError, match="two cards describe a dataset 'toy'"):
        cards.names()
    (first / "toy.toml").rename(first / "other.toml")
    with pytest.raises(UserError, match="its file says 'other'"):
        cards.load("other")
    with pytest.raises(UserError, match="did you mean 'toy'"):
        cards.load("tyo")


def test_what_a_card_says_of_getting_its_parts_can_be_followed() -> None:
    """Every line has a link with a scheme, and no host stands without one."""
    bare = re.compile(r"(?<![/.\w@-])(?:[\w-]+\.)+(?:com|org|edu|de|ch|co|uk)/")
    for name in cards.names():
        for line in cards.load(name).obtain:
            assert "https://" in line and not bare.search(line), f"{name}: {line}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "is not valid TOML: it is nested too deeply"),
        ("x = " + "{a=" * 5000, "is not valid TOML: it is nested too deeply"),
        ("version = " + "9" * 5000, "is not valid TOML: Exceeds the limit"),
        ("x = 2021-13-45T00:00:00", "is not valid TOML"),
        ("version = inf", "name, title, .* and 2 more: Field required"),
        ("x" * (16 * 2**20 + 1), "it is larger than 16 MiB"),
    ],
    ids=["lists", "tables", "digits", "date", "infinite", "size"],
)
def test_a_card_that_means_harm_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "harm.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"data card {path}.*{reason}|card {path}: {reason}"):
        cards.read(path)


@pytest.mark.parametrize("name", ["../counts", "/etc/passwd", "", "a\0b", "x" * 5000, "\u202e"])
def test_a_data_set_is_looked_up_not_opened(name: str) -> None:
    with pytest.raises(UserError, match="unknown dataset") as found:
        cards.load(name)
    assert len(str(found.value)) < 700


def test_a_card_that_says_neither_place_nor_layout_asks_for_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path))
    facts = toy.card().model_dump(exclude_defaults=True)
    facts["source"].pop("location", None)
    facts.pop("layout", None)
    (tmp_path / "toy.toml").write_text(tomli_w.dumps(facts))
    with pytest.raises(UserError, match=r"where are the images of 'toy'\? pass --source DIR$"):
        store.prepare("toy", None, tmp_path, writing.WritingOptions(), toy.SAY_NOTHING)

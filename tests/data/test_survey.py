"""Duplicates, deep and blank images: found whatever the encoding, the order or an interruption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptbench.cli import main
from promptbench.data.cards import cards, checking, new_card
from promptbench.data.cards.survey import SeenImage, survey
from promptbench.data.images.pictures import Picture
from promptbench.data.shards import shards, store, writing
from promptbench.data.shards.index import Duplicates
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.support.progress import Reporter
from tests.data import toy
from tests.data.toy import encoded, rows

Rows = list[tuple[str, int, bytes]]
ALLOWED = writing.WritingOptions(allow_duplicates=True)


class Ears(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def message(self, text: str) -> None:
        self.heard.append(text)


def noise(seed: int, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), form)


def write(
    folder: Path,
    train: Rows,
    test: Rows,
    options: writing.WritingOptions | None = None,
    **changes: object,
) -> tuple[ShardSet, list[str]]:
    """A prepared toy dataset, and what was said meanwhile."""
    ears = Ears()
    card = toy.card(splits={"train": len(train), "test": len(test)}, **changes)
    source = toy.Memory({"train": train, "test": test})
    return writing.write(
        card, folder, source, options or writing.WritingOptions(), ears
    ), ears.heard


def with_image(given: Rows, at: int, image: bytes) -> Rows:
    return [(n, label, image if i == at else old) for i, (n, label, old) in enumerate(given)]


def differences(data: ShardSet, **options: bool) -> list[str]:
    return list(checking.differences(data, Reporter(), **options))


TRAIN, TEST = rows(30, first=100), rows(55)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_an_image_in_two_splits_is_refused_with_both_places(tmp_path: Path, form: str) -> None:
    train, test = with_image(TRAIN, 2, noise(1)), with_image(TEST, 0, noise(1, form))
    with pytest.raises(UserError) as caught:
        write(tmp_path / "toy", train, test)
    said = str(caught.value)
    assert "toy: 1 image lies in more than one split: 00002.png (train, ant) = 00000.png" in said
    assert "(test, ant)" in said and "--allow-duplicates" in said and "class" not in said
    assert not (tmp_path / "toy").exists()


def test_an_image_under_two_classes_is_refused(tmp_path: Path) -> None:
    test = with_image(with_image(TEST, 0, noise(1)), 54, noise(1))
    with pytest.raises(UserError, match=r"1 image lies under more than one class: .*ant.*emu"):
        write(tmp_path / "toy", TRAIN, test)


def test_many_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        write(tmp_path / "toy", rows(30), TEST)
    said = str(caught.value)
    assert "30 images lie in more than one split and 23 images lie under more than one" in said
    assert said.count(" = ") == 3 and "; and 27 more" in said


def test_allowed_duplicates_are_counted_in_the_index(tmp_path: Path) -> None:
    train = with_image(with_image(with_image(TRAIN, 0, noise(1)), 1, noise(1)), 29, noise(1))
    test = with_image(TEST, 0, noise(1))
    data, heard = write(tmp_path / "toy", train, test, ALLOWED)
    assert data.index.duplicates == Duplicates(splits=1, classes=1, copies=1)
    assert any("1 image lies in more than one split" in line and "kept" in line for line in heard)
    assert any("1 image repeat" in line for line in heard)
    assert not differences(data)
    for decode in (True, False):
        unsaid = replace(data, index=data.index.model_copy(update={"duplicates": None}))
        (problem,) = differences(unsaid, decode=decode)
        assert "1 image lies in more than one split and 1 image lies under" in problem
        assert problem.endswith("(train, ant) = 00029 (train, emu); its index does not say so")


def test_copies_within_a_class_are_said_once_and_harmless(tmp_path: Path) -> None:
    data, heard = write(tmp_path / "toy", with_image(TRAIN, 1, TRAIN[0][2]), TEST)
    assert data.index.duplicates == Duplicates(copies=1) and len(heard) == 1
    assert not differences(data)


def test_clean_datasets_keep_their_index(tmp_path: Path) -> None:
    data, heard = write(tmp_path / "toy", TRAIN, TEST)
    text = (data.folder / "index.json").read_text(encoding="utf-8")
    assert not heard and "duplicates" not in text and "deep" not in text
    assert data.index.digest.startswith("f48ad4a670796075")  # as before any of this was counted


def test_a_resumed_run_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 10)
    train = with_image(TRAIN, 2, TEST[0][2])
    messages = []
    for workers in (0, 1, 3):  # the second and third run find all shards written
        with pytest.raises(UserError) as caught:
            write(tmp_path / "toy", train, TEST, writing.WritingOptions(workers=workers))
        messages.append(str(caught.value))
    monkeypatch.setattr(writing, "write_shard", lambda *_: pytest.fail("nothing is written again"))
    assert len(set(messages)) == 1
    resumed, _ = write(tmp_path / "toy", train, TEST, ALLOWED)
    monkeypatch.undo()
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 10)
    straight, _ = write(tmp_path / "straight", train, TEST, ALLOWED)
    assert toy.digests(resumed.folder) == toy.digests(straight.folder)


def test_shards_that_were_not_looked_at_are_written_again(tmp_path: Path) -> None:
    train = with_image(with_image(TRAIN, 0, noise(1)), 1, noise(2))
    test = with_image(with_image(TEST, 0, noise(1)), 1, noise(2, "BMP"))
    with pytest.raises(UserError, match=r"1 image lies in more than one split"):  # bytes only
        write(tmp_path / "toy", train, test, writing.WritingOptions(check=False))
    with pytest.raises(UserError, match=r"2 images lie in more than one split"):
        write(tmp_path / "toy", train, test)
    blind, _ = write(tmp_path / "blind", TRAIN, TEST, writing.WritingOptions(check=False))
    assert not differences(blind)


def test_each_count_of_the_index_is_compared(tmp_path: Path) -> None:
    test = with_image(with_image(TEST, 0, noise(1)), 54, noise(1))
    data, _ = write(tmp_path / "toy", with_image(TRAIN, 0, noise(1)), test, ALLOWED)
    for kept in ({"splits": 1}, {"classes": 1}):
        part = data.index.model_copy(update={"duplicates": Duplicates(**kept)})
        assert len(differences(replace(data, index=part))) == 1


@pytest.fixture
def leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A card of class folders whose training images are the test's as well."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PROMPTBENCH_CARDS", raising=False)
    for split in ("train", "test"):
        for label, name in enumerate(("ant", "bee")):
            path = tmp_path / "photos" / split / name / "1.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(noise(label))
    new_card.write("leak", f"folder:{tmp_path / 'photos'}", new_card.Facts(), Reporter())
    return "leak"


def call(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    return found.exit_code, found.stdout + found.stderr


def test_the_command_refuses_allows_and_shows(leak: str) -> None:
    code, said = call("data", "prepare", leak)
    assert code == 2 and "2 images lie in more than one split: train/ant/1.png (train, ant)" in said
    code, said = call("data", "prepare", leak, "--allow-duplicates")
    assert code == 0 and "they are kept" in said
    assert "2 images in more than one split" in call("data", "info", leak)[1]
    code, said = call("data", "verify", leak)
    assert code == 0 and "2 images lie in more than one split" in said


def test_published_splits_need_no_flag(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "is_packaged", lambda name: name == leak)
    ears = Ears()
    data = store.prepare(leak, None, None, writing.WritingOptions(), ears)
    assert data.index.duplicates == Duplicates(splits=2)
    assert any("they are kept" in line for line in ears.heard)


def test_splits_of_packaged_cards_are_kept_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cards.is_packaged("caltech101") and cards.is_packaged("shapes")
    assert not cards.is_packaged("toy")
    data, _ = write(tmp_path / "toy", with_image(TRAIN, 2, TEST[0][2]), TEST, ALLOWED)
    old = replace(data, index=data.index.model_copy(update={"duplicates": None}))
    assert differences(old)
    monkeypatch.setattr(cards, "is_packaged", lambda name: name == "toy")
    assert not differences(old)


# --- deep and blank -----------------------------------------------------------------------------


def deep(top: int) -> bytes:
    values = np.random.default_rng(top).integers(0, top + 1, (16, 16)).astype(np.uint16)
    values[0, 0] = top
    return encoded(Image.fromarray(values), "PNG")


def test_deep_images_are_counted_and_dark_ones_said(tmp_path: Path) -> None:
    test = with_image(with_image(TEST, 0, deep(65535)), 1, deep(4095))
    data, heard = write(tmp_path / "toy", TRAIN, test)
    assert data.index.deep == 2 and len(heard) == 1
    assert "2 images hold more than 8 bits of grey" in heard[0] and "dark" not in heard[0]
    _, heard = write(tmp_path / "dark", TRAIN, with_image(TEST, 1, deep(4095)))
    assert "none uses more than 6.2% of its range, so that all are dark" in heard[0]


def test_results_of_deep_images_are_kept_apart_from_older_ones(tmp_path: Path) -> None:
    data, _ = write(tmp_path / "toy", TRAIN, with_image(TEST, 0, deep(65535)))
    old = replace(data, index=data.index.model_copy(update={"deep": None}))
    assert old.index.digest != data.index.digest
    assert not differences(data) and not differences(data, decode=False)
    (problem,) = differences(old)
    assert "1 images hold more than 8 bits" in problem and "were white" in problem


def test_deep_images_that_were_made_smaller_count_too(tmp_path: Path) -> None:
    large = np.zeros((300, 260), np.uint16)
    large[:150] = 4095
    test = with_image(TEST, 0, encoded(Image.fromarray(large), "PNG"))
    data, heard = write(tmp_path / "toy", TRAIN, test, writing.WritingOptions(resize_short=224))
    assert data.index.deep == 1 and "1 image" in heard[0] and "dark" in heard[0]
    assert not differences(data)


def test_verify_refuses_what_prepare_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floats = [encoded(Image.new("F", (8, 8 + i), 0.5), "TIFF") for i in range(7)]
    test = [(n, label, floats[i] if i < 7 else old) for i, (n, label, old) in enumerate(TEST)]
    with pytest.raises(UserError, match=r"7 images \(00000\.png, .* its pixels are floats"):
        write(tmp_path / "toy", TRAIN, test)
    with monkeypatch.context() as old:  # shards of a version that took them
        old.setattr("promptbench.data.images.pictures.look", lambda data: Picture(str(hash(data))))
        data, _ = write(tmp_path / "old", TRAIN, test)
    for decode in (True, False):
        problems = differences(data, decode=decode)
        assert len(problems) == 6 and problems[-1].endswith("2 more images that cannot be used")
        assert all("floats" in problem for problem in problems[:-1])


def test_a_class_that_is_all_white_is_named(tmp_path: Path) -> None:
    white = [encoded(Image.new("RGB", (8 + i, 8), "white"), "PNG") for i in range(11)]
    test = [(n, label, white[i] if label == 0 else old) for i, (n, label, old) in enumerate(TEST)]
    data, heard = write(tmp_path / "toy", TRAIN, test)
    assert heard == ["toy: test: all images of class 'ant' are one and the same plain colour"]
    assert differences(data) == [
        "test: all images of class 'ant' are one and the same plain colour"
    ]


# --- counting -----------------------------------------------------------------------------------

places = st.tuples(st.sampled_from(["train", "test"]), st.integers(0, 2), st.sampled_from("abcd"))


@given(st.lists(places, max_size=12))
def test_counts_follow_from_their_definition(found: list[tuple[str, int, str]]) -> None:
    images = [SeenImage(split, label, "n", Picture(identity)) for split, label, identity in found]
    counts = survey(images).duplicates
    assert counts == survey(images[::-1]).duplicates
    groups = [{(s, k) for s, k, identity in found if identity == each} for each in "abcd"]
    assert counts.splits == sum(len({s for s, _ in group}) == 2 for group in groups)
    assert counts.classes == sum(len({k for _, k in group}) > 1 for group in groups)
    assert counts.copies == len(found) - len(set(found))
    assert len(survey(images).pairs) == sum(len(group) > 1 for group in groups)

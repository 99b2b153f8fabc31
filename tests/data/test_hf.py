"""Local Hugging Face datasets: every row has one image and one label, by name, or is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.data import layouts
from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts import Draft, hf_files
from tests.data import toy
from tests.data.test_remote import Messages
from tests.data.test_tars import LFS
from tests.data.toy import SAY_NOTHING, images, refused

hf = pytest.importorskip("datasets")
NAMES = ["cat", "dog", "fox"]


def rows(labels: list[Any], feature: Any, **columns: tuple[list[Any], Any]) -> Any:
    """A split with one picture per label; `columns` are further ones, or others of these names."""
    pictures = [{"bytes": toy.png(i), "path": None} for i in range(len(labels))]
    content = {"image": (pictures, hf.Image()), "label": (labels, feature), **columns}
    return hf.Dataset.from_dict(
        {name: values for name, (values, _) in content.items()},
        features=hf.Features({name: kind for name, (_, kind) in content.items()}),
    )


def named(labels: list[Any], names: list[str] = NAMES) -> Any:
    return rows(labels, hf.ClassLabel(names=names))


def save(folder: Path, form: str = "saved", **splits: Any) -> Path:
    if form == "saved":
        hf.DatasetDict(splits).save_to_disk(folder)
    else:
        for split, table in splits.items():
            table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    return folder


def draft(folder: Path, heard: Messages | None = None, holdout: float | None = None) -> Draft:
    return layouts.draft("hf", str(folder), holdout, heard or SAY_NOTHING)


def card_of(made: Draft, classes: list[str] | None = None) -> DataCard:
    return toy.card(
        classes=classes or made.classes,
        splits=made.splits,
        source={"kind": "hf", "options": made.options},
    )


def labels_of(folder: Path, card: DataCard, split: str) -> list[int]:
    source = layouts.open_source(card, str(folder), SAY_NOTHING)
    return [sample.label for sample in source.samples(split)]


# --- where it lies ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["saved", "parquet", "imagefolder"])
def test_each_form_is_read(tmp_path: Path, form: str) -> None:
    root = tmp_path / "set"
    if form == "imagefolder":
        images(root, *(f"{s}/{c}/{i}.png" for s in ("train", "test") for c in NAMES for i in "12"))
    else:
        save(root, form, train=named([0, 0, 1, 1, 2, 2]), test=named([0, 0, 1, 1, 2, 2]))
    made = draft(root)
    assert made.classes == NAMES and made.splits == {"train": 6, "test": 6}
    assert "labels" not in made.options  # as cards have always been: their digests stay
    source = layouts.open_source(card_of(made), str(root), SAY_NOTHING)
    found = source.samples("test")
    assert [s.label for s in found] == [0, 0, 1, 1, 2, 2]
    assert all(image.startswith(b"\x89PNG") for image in source.images(found, 1))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("train-00000-of-00001.parquet", (".", "train")),
        ("data/validation.parquet", ("data", "validation")),
        ("default/train/0000.parquet", ("default", "train")),
        ("test/part-0.parquet", (".", "test")),
        ("train/train-00000.parquet", ("train", "train")),
        ("0000.parquet", (".", "all")),
        ("a/unsupervised-0.parquet", ("a", "unsupervised")),
    ],
)
def test_parquet_files_have_a_configuration_and_a_split(name: str, place: tuple[str, str]) -> None:
    config, split = hf_files._place_of(Path(name))
    assert (config.as_posix(), split) == place


@pytest.mark.parametrize("form", ["saved", "parquet", "imagefolder"])
def test_several_configurations_are_refused_and_one_is_taken(tmp_path: Path, form: str) -> None:
    for config in ("a", "b"):
        folder = tmp_path / config
        if form == "imagefolder":
            images(folder, *(f"{s}/{c}/1.png" for s in ("train", "test") for c in NAMES))
        else:
            save(folder, form, train=named([0, 1, 2]), test=named([0, 1, 2]))
    refused(rf"2 .*a.*b.*; name one: hf:{tmp_path}/a$", draft, tmp_path)
    assert draft(tmp_path / "b").splits == {"train": 3, "test": 3}


def test_files_that_are_something_else_are_named(tmp_path: Path) -> None:
    refused("is not a folder", draft, tmp_path / "no")
    (tmp_path / "empty").mkdir()
    refused("cannot be read as a Hugging Face dataset: ", draft, tmp_path / "empty")
    lies = save(tmp_path / "p", "parquet", train=named([0, 1, 2]), test=named([0, 1, 2]))
    file = lies / "train-00000-of-00001.parquet"
    file.write_bytes(LFS)
    refused(rf"{file} is not a file of this kind \(parquet\), it is a Git LFS pointer", draft, lies)
    file.write_bytes(b"PAR1" + bytes(100))
    refused("cannot be read as a Hugging Face dataset: .*[Pp]arquet", draft, lies)
    stored = save(tmp_path / "s", train=named([0, 1, 2]), test=named([0, 1, 2]))
    (stored / "test" / "data-00000-of-00001.arrow").write_bytes(LFS)
    refused(r"\(arrow\), it is a Git LFS pointer", draft, stored)
    (stored / "dataset_dict.json").write_text(json.dumps({"splitz": []}))
    refused(
        r"cannot be read as a Hugging Face dataset: KeyError: 'splits'|\(arrow\)", draft, stored
    )
    (stored / "dataset_dict.json").unlink()
    refused(r"2 datasets \(test, train\) saved one by one; put them together", draft, stored)


@pytest.mark.parametrize(
    "names", [["00000-of-00002"], ["00000-of-00001", "00000-of-00002", "00001-of-00002"]]
)
def test_parts_that_are_missing_or_of_another_dataset_are_named(
    tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        named([0, 1, 2]).to_parquet(tmp_path / f"test-{name}.parquet")
    refused(f"split test has the parts {', '.join(names)}, which are not all", draft, tmp_path)


def test_splits_that_are_not_used_are_said(tmp_path: Path) -> None:
    three = named([0, 1, 2])
    save(tmp_path / "s", train=three, test=three, extra=named([0, 1]))
    heard = Messages()
    made = draft(tmp_path / "s", heard)
    assert made.notes == ["Splits that are not used: extra (2 rows)."]
    assert heard.texts == [f"{tmp_path}/s: splits that are not used: extra (2 rows)"]
    save(tmp_path / "odd", train=three, eval_all=three)
    refused("its splits are train, eval_all; one must be called test", draft, tmp_path / "odd")
    made = draft(save(tmp_path / "t", "parquet", train=named([0, 0, 1, 1, 2, 2])), None, 0.5)
    save(tmp_path / "other", "parquet", test=three)
    other = (labels_of, tmp_path / "other", card_of(made), "train")
    refused("has no split 'train', it has test", *other)


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["saved", "parquet"])
def test_label_names_in_another_order_are_one_class_each(tmp_path: Path, form: str) -> None:
    save(tmp_path / "s", form, train=named([0, 1, 2]), test=named([0, 1, 1, 2], NAMES[::-1]))
    made = draft(tmp_path / "s")
    assert made.classes == NAMES and made.options["labels"] == NAMES
    assert labels_of(tmp_path / "s", card_of(made), "train") == [0, 1, 2]
    assert labels_of(tmp_path / "s", card_of(made), "test") == [2, 1, 1, 0]


def test_label_names_that_moved_since_the_card_was_written_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "s", train=named([0, 1, 2]), test=named([0, 1, 2]))
    card = card_of(draft(tmp_path / "s"))
    save(tmp_path / "one", train=named([0, 1, 2]), test=named([0, 1, 2], NAMES[::-1]))
    save(tmp_path / "all", **dict.fromkeys(("train", "test"), named([0, 1, 2], NAMES[::-1])))
    save(tmp_path / "four", **dict.fromkeys(("train", "test"), named([0, 1, 2], [*NAMES, "x"])))
    for changed in ("one", "all"):
        refused("label names in another order; write the card again",
                labels_of, tmp_path / changed, card, "test")  # fmt: skip
    refused("4 labels, 3 classes", labels_of, tmp_path / "four", card, "test")


def test_splits_with_other_names_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "s", train=named([0, 1, 2]), test=named([0, 1, 2], ["cat", "dog", "owl"]))
    refused("train and test name other classes .*only in train: fox; only in test: owl",
            draft, tmp_path / "s")  # fmt: skip
    save(
        tmp_path / "k", train=named([0, 1, 2]), test=rows(["cat", "dog", "fox"], hf.Value("string"))
    )
    refused("not of one kind in all splits: ClassLabel in train, string in test",
            draft, tmp_path / "k")  # fmt: skip
    folder = tmp_path / "p"
    named([0, 1, 2]).to_parquet(folder / "test-00000-of-00002.parquet")
    named([0, 1, 2], NAMES[::-1]).to_parquet(folder / "test-00001-of-00002.parquet")
    refused("names of the column 'label' differ within a split", draft, folder)


@pytest.mark.parametrize(
    ("labels", "kind", "texts"),
    [
        ([2, 0, 1, 10, *range(3, 10)], "int64", [str(i) for i in range(11)]),
        ([1.0, 0.0, 2.0], "float32", ["0.0", "1.0", "2.0"]),
        ([True, False], "bool", ["False", "True"]),
        (["1", "0", "2"], "string", ["0", "1", "2"]),
    ],
)
def test_numbers_are_not_names(
    tmp_path: Path, labels: list[Any], kind: str, texts: list[str]
) -> None:
    save(tmp_path / "s", test=rows(labels, hf.Value(kind)))
    heard = Messages()
    made = draft(tmp_path / "s", heard)
    assert made.classes == [] and made.options["labels"] == texts
    assert f"holds numbers, which are not class names; pass --classes FILE with the {len(texts)} " \
        f"names, one a line, in the order {', '.join(texts)}" in heard.texts[0]  # fmt: skip
    card = card_of(made, [f"class {text}" for text in texts])
    expected = [texts.index(str(label)) for label in labels]
    assert labels_of(tmp_path / "s", card, "test") == expected
    one_more = card.model_copy(update={"classes": [*card.classes, "one more"]})
    refused(f"{len(texts)} labels, {len(texts) + 1} classes", labels_of, tmp_path / "s", one_more,
            "test")  # fmt: skip


def test_texts_are_names(tmp_path: Path) -> None:
    save(tmp_path / "s", test=rows(["fox", "cat", "dog", "cat"], hf.Value("string")))
    made = draft(tmp_path / "s")
    assert made.classes == made.options["labels"] == NAMES
    assert labels_of(tmp_path / "s", card_of(made), "test") == [2, 0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([1, 2, 3], "int64", "holds the numbers 1, 2, 3, but .* from 0 without gaps"),
        ([0, 2], "int64", "holds the numbers 0, 2,"),
        ([0.0, 0.5], "float64", r"holds the numbers 0\.0, 0\.5,"),
        (["0", "00"], "string", "holds the numbers 0, 00,"),
        (
            [0, 1, None],
            "int64",
            r"1 of 3 rows of split test have no label \(None\), .* row 2; correct",
        ),
        (["a", "b", " "], "string", r"have no label \(' '\)"),
        ([0, -1, -1], "int64", r"2 of 3 rows .* have no label \(-1\), the first is row 1"),
        ([0.0, math.nan], "float64", r"1 of 2 rows .* have no label \(nan\)"),
        ([None, None], "string", r"2 of 2 rows .*; leave the split out: `del dataset\['test'\]`"),
    ],
)
def test_rows_without_a_class_are_refused(
    tmp_path: Path, labels: list[Any], kind: str, message: str
) -> None:
    save(tmp_path / "s", test=rows(labels, hf.Value(kind)))
    refused(message, draft, tmp_path / "s")


@pytest.mark.parametrize("label", [None, -1])
def test_class_labels_that_are_missing_are_refused(tmp_path: Path, label: int | None) -> None:
    save(tmp_path / "s", train=named([0, 1, 2]), test=named([0, 1, 2, label]))
    refused(rf"1 of 4 rows of split test have no label \({label}\), the first is row 3",
            draft, tmp_path / "s")  # fmt: skip


def test_every_class_has_an_image_in_every_split(tmp_path: Path) -> None:
    save(tmp_path / "s", train=named([0, 1, 2]), test=named([0, 2]))
    refused(r"in split test no sample has label 1 \('dog'\), of 3 classes", draft, tmp_path / "s")


# --- columns ------------------------------------------------------------------------------------


def test_columns_of_other_kinds_are_named(tmp_path: Path) -> None:
    classes, text = hf.ClassLabel(names=NAMES), hf.Value("string")
    several = rows([[0, 1], [1], [2]], hf.Sequence(classes))
    refused("'label' is a list of ClassLabel; these are several labels per row",
            draft, save(tmp_path / "multi", test=several))  # fmt: skip
    nested = rows([{"id": 0}, {"id": 1}], {"id": classes})
    refused("the column 'label' is a struct of id", draft, save(tmp_path / "nested", test=nested))
    two = rows([0, 1, 2], classes).rename_column("label", "fine").add_column("coarse", [0, 1, 2])
    two = two.cast_column("coarse", classes)
    refused(r"2 label columns \(fine, coarse\)", draft, save(tmp_path / "two", test=two))
    unclear = rows(["a", "b", "c"], text, artist=([0, 1, 2], classes))
    refused(r"2 label columns \(artist, label\) among image \(Image\), label \(string\)",
            draft, save(tmp_path / "unclear", test=unclear))  # fmt: skip
    pictures = [[{"bytes": toy.png(i), "path": None}] for i in range(3)]
    lists = rows([0, 1, 2], classes, image=(pictures, hf.Sequence(hf.Image())))
    refused(r"0 image columns \(none\) among image \(list of Image\)",
            draft, save(tmp_path / "lists", test=lists))  # fmt: skip
    numbers = rows([0, 1, 2], classes, image=([1, 2, 3], hf.Value("int64")))
    refused(r"0 image columns .* image \(int64\)", draft, save(tmp_path / "ints", test=numbers))


@pytest.mark.parametrize("form", ["bytes", "struct", "paths"])
def test_a_column_called_image_may_hold_bytes_or_paths(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "paths":
        monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path))
    images(tmp_path, "0.png", "1.png", "2.png")
    binary, text = hf.Value("binary"), hf.Value("string")
    values, kind = {
        "bytes": ([toy.png(i) for i in range(3)], binary),
        "struct": (
            [{"bytes": toy.png(i), "path": f"{i}.png"} for i in range(3)],
            {"bytes": binary, "path": text},
        ),
        "paths": ([str(tmp_path / f"{i}.png") for i in range(3)], text),
    }[form]
    table = rows([0, 1, 2], hf.ClassLabel(names=NAMES), image=(values, kind))
    made = draft(save(tmp_path / "s", test=table))
    source = layouts.open_source(card_of(made), str(tmp_path / "s"), SAY_NOTHING)
    assert list(source.images(source.samples("test"), 1)) == [toy.png(i) for i in range(3)]


@pytest.mark.parametrize("relative", [False, True])
def test_image_files_outside_of_the_dataset_are_refused(
    tmp_path: Path, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is looked for in the current folder too, which is as much outside."""
    images(tmp_path, "0.png")
    monkeypatch.chdir(tmp_path)
    path = "0.png" if relative else str(tmp_path / "0.png")
    kind = {"bytes": hf.Value("binary"), "path": hf.Value("string")}
    values = [{"bytes": None, "path": path}] * 3
    folder = save(
        tmp_path / "s", test=rows([0, 1, 2], hf.ClassLabel(names=NAMES), image=(values, kind))
    )
    refused(r"3 of 3 image files of split test lie outside .*0\.png' of row 0.*PROMPTBENCH_LINKS=",
            draft, folder)  # fmt: skip
    (folder / "0.png").symlink_to(tmp_path / "0.png")
    refused(r"1 link out of the source: 0\.png", draft, folder)
    (folder / "0.png").unlink()
    images(folder, "0.png")
    if relative:
        assert draft(folder).splits == {"test": 3}


def test_rows_without_an_image_are_refused(tmp_path: Path) -> None:
    pictures = [{"bytes": toy.png(1), "path": None}, None, {"bytes": b"", "path": None}]
    table = rows([0, 1, 2], hf.ClassLabel(names=NAMES), image=(pictures, hf.Image()))
    refused("2 of 3 rows of split test have no image in column 'image', the first is row 1",
            draft, save(tmp_path / "s", test=table))  # fmt: skip


def test_image_files_that_are_gone_are_named_with_their_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"img/{i}.png" for i in range(3)]
    pictures = [{"bytes": None, "path": name} for name in names]
    table = rows([0, 1, 2], hf.ClassLabel(names=NAMES), image=(pictures, hf.Image()))
    monkeypatch.chdir(tmp_path)
    images(tmp_path, *names)  # the library wants them while it saves
    folder = save(tmp_path / "s", "parquet", test=table)
    for name in names:
        (tmp_path / name).unlink()
    refused(r"3 of 3 image files of split test cannot be found, the first is 'img/0\.png' of row 0",
            draft, folder)  # fmt: skip
    images(folder, *names)  # relative to the dataset
    made = draft(folder)
    source = layouts.open_source(card_of(made), str(folder), SAY_NOTHING)
    (folder / names[1]).unlink()
    found = source.images(source.samples("test"), 1)
    assert next(found) == toy.png(0)
    refused(r"1 image file of split test cannot be found, the first is 'img/1\.png' of row 1",
            lambda: next(found))  # fmt: skip
    images(tmp_path, "x.png")
    monkeypatch.chdir(folder)
    struct = {"bytes": hf.Value("binary"), "path": hf.Value("string")}
    values = [{"bytes": None, "path": "../x.png"}] * 3
    outside = rows([0, 1, 2], hf.ClassLabel(names=NAMES), image=(values, struct))
    refused(r"3 of 3 image files of split test lie outside of it, the first is '\.\./x\.png'",
            draft, save(tmp_path / "o", test=outside))  # fmt: skip


def test_missing_labels_end_in_one_sentence(tmp_path: Path) -> None:
    save(tmp_path / "s", train=named([0, 1, 2]), test=named([0, 1, 2, None]))
    said = CliRunner().invoke(main, ["data", "new", "x", "--source", f"hf:{tmp_path / 's'}"])
    assert said.exit_code == 2 and "Traceback" not in said.output
    assert said.stderr.startswith("error: ") and said.stderr.count("\n") == 1

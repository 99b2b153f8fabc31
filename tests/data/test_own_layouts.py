"""Importers of users' own data: tables, folders, tars, Hugging Face datasets."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.data import layouts
from promptbench.data.layouts import Sample, csv_rows, divided, tars
from promptbench.errors import UserError
from tests.data import toy
from tests.data.toy import SAY_NOTHING, clip_benchmark, images, refused, sample, tar

# --- csv ----------------------------------------------------------------------------------------


@given(st.text(max_size=80))
def test_any_text_is_a_table_or_an_error(text: str) -> None:
    try:
        rows = csv_rows.parse(f"path,label,split\n{text}", "t.csv")
    except UserError as error:
        assert "t.csv" in str(error)
        return
    assert all(row.path and row.label for row in rows)


def table(tmp_path: Path, text: str) -> str:
    images(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "c,d.png")
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return str(tmp_path / "t.csv")


def test_csv_with_names_and_splits(tmp_path: Path) -> None:
    text = "path,label,split\nb/1.png,Zebra,train\na/1.png,ant,train\n"
    text += 'a/2.png,ant,test\n"c,d.png",Zebra,validation\nb/2.png,Zebra,test\n'
    made = layouts.draft("csv", table(tmp_path, text), None, SAY_NOTHING)
    assert made.classes == ["Zebra", "ant"]  # sorted, capitals first
    assert made.splits == {"train": 2, "val": 1, "test": 2}


def test_csv_with_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"t\.csv, line 3: refused the path 'b\\x00\.png'"):
        csv_rows.parse("path,label\na.png,x\nb\0.png,y\n", "t.csv")


@pytest.mark.parametrize("place", ["/dev/zero", "fifo"])
def test_csv_of_something_else_than_a_file_is_not_read(place: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match=r"cannot read the list .*, not a file"):
        layouts.draft("csv", str(tmp_path / place), None, SAY_NOTHING)


def test_csv_with_numbers_and_class_names(tmp_path: Path) -> None:
    images(tmp_path, *(f"{place}/{i}.png" for place in "xy" for i in range(11)))
    lines = [f"{place}/{i}.png,{i},name {i}" for place in "xy" for i in range(11)]
    text = "\n".join(["path,label,classname", *lines])
    made = layouts.draft("csv", table(tmp_path, text), 0.5, SAY_NOTHING)
    assert made.classes == [f"name {i}" for i in range(11)]  # 10 after 9, not after 1
    assert made.splits == {"train": 11, "test": 11}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na/1.png,ant\n", "'path' is missing, found are 'file', 'label'"),
        ("path,label\na/1.png,\n", "line 2: column 'label' is empty"),
        ("path,label\n", "no rows"),
        ("path,label\nc,d.png,ant\n", "line 2: more values than columns"),
        (
            "path,label\n../x.png,ant\n",
            r"1 image outside of the source: \.\./x\.png \(",
        ),
        ("path,label\na/9.png,ant\nb/1.png,bee\n", "1 missing image: a/9.png; put them below"),
        ("path,label\na/1.png,0\na/2.png,0.0\n", "'0' and '0.0' are one number"),
        ("path,label,classname\na/1.png,0,ant\na/2.png,0,bee\n", "label '0' has two class names"),
    ],
)
def test_csv_names_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    refused(message, layouts.draft, "csv", table(tmp_path, text), 0.5, SAY_NOTHING)


def test_csv_without_a_test_split_asks_for_a_holdout(tmp_path: Path) -> None:
    text = "path,label\na/1.png,ant\nb/1.png,bee\n"
    refused("--holdout", layouts.draft, "csv", table(tmp_path, text), None, SAY_NOTHING)


# --- folder -------------------------------------------------------------------------------------


def test_folder_with_splits(tmp_path: Path) -> None:
    images(tmp_path, "train/b/2.jpg", "train/b/1.jpg", "train/a/x/1.PNG", "test/a/1.jpg")
    images(tmp_path, "test/b/1.jpg", "test/.hidden/1.jpg", "test/b/.1.jpg", "__MACOSX/1.jpg")
    (tmp_path / "train" / "b" / "Thumbs.db").write_bytes(b"")
    made = layouts.draft("folder", str(tmp_path), None, SAY_NOTHING)
    assert made.classes == ["a", "b"] and made.splits == {"train": 3, "test": 2}
    card = toy.card(
        classes=made.classes, splits=made.splits, source={"kind": "folder", "options": made.options}
    )
    listed = layouts.open_source(card, str(tmp_path), SAY_NOTHING).samples("train")
    assert [(s.name, s.label) for s in listed] == [
        ("train/a/x/1.PNG", 0),
        ("train/b/1.jpg", 1),
        ("train/b/2.jpg", 1),
    ]


def test_folder_names_what_is_wrong(tmp_path: Path) -> None:
    images(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg")
    (tmp_path / "test" / "b").mkdir()
    draft = (layouts.draft, "folder", str(tmp_path), None, SAY_NOTHING)
    refused(r"class folder .*test/b holds no image", *draft)
    images(tmp_path, "test/b/1.jpg")
    made = layouts.draft(*draft[1:])
    source = {"kind": "folder", "options": made.options}
    card = toy.card(classes=made.classes, splits=made.splits, source=source)
    images(tmp_path, "test/c/1.jpg")
    opened = (layouts.open_source, card, str(tmp_path), SAY_NOTHING)
    refused("1 folders that are not classes of the card .*'c'", *opened)
    wrong = toy.card(classes=["a", "b", "c"], splits={"test": 3}, source=source)
    refused("2 folders, 3 classes", layouts.open_source, wrong, str(tmp_path), SAY_NOTHING)
    refused("is not a folder", layouts.draft, "folder", str(tmp_path / "no"), None, SAY_NOTHING)


def test_folder_without_splits_draws_a_test_split(tmp_path: Path) -> None:
    images(tmp_path, *(f"{c}/{i}.jpg" for c in "ab" for i in range(10)))
    refused("--holdout", layouts.draft, "folder", str(tmp_path), None, SAY_NOTHING)
    made = layouts.draft("folder", str(tmp_path), 0.3, SAY_NOTHING)
    assert made.splits == {"train": 14, "test": 6}
    images(tmp_path, "test/a/1.jpg")
    refused("a test split of its own", layouts.draft, "folder", str(tmp_path), 0.3, SAY_NOTHING)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_holdout_divides_every_class(labels: list[int], fraction: float) -> None:
    samples = [Sample(str(i), label) for i, label in enumerate(labels)]
    parts = divided(samples, fraction)
    assert sorted([*parts["train"], *parts["test"]], key=lambda s: int(s.name)) == samples
    for label in set(labels):
        n = labels.count(label)
        held = sum(s.label == label for s in parts["test"])
        assert held == min(max(round(n * fraction), 1), n - 1)
    assert parts == divided(samples, fraction)


# --- wds ----------------------------------------------------------------------------------------


def test_wds_reads_clip_benchmarks_folders(tmp_path: Path) -> None:
    clip_benchmark(tmp_path)
    made = layouts.draft("wds", str(tmp_path), None, SAY_NOTHING)
    assert (made.classes, made.template) == (["ant", "bee", "cat"], "a blurry {}.")
    assert made.splits == {"train": 6, "test": 3}
    card = toy.card(
        classes=made.classes, splits=made.splits, source={"kind": "wds", "options": made.options}
    )
    source = layouts.open_source(card, str(tmp_path), SAY_NOTHING)
    found = source.samples("train")
    assert [s.label for s in found] == [0, 1, 2, 0, 1, 2] and len({s.name for s in found}) == 6
    assert list(source.images(found, 2)) == [toy.png(100 + i) for i in range(6)]


@pytest.mark.parametrize("count", ["many", "-1", "9" * 12, "²"])
def test_wds_wants_a_number_of_tars(tmp_path: Path, count: str) -> None:
    clip_benchmark(tmp_path)
    (tmp_path / "test" / "nshards.txt").write_text(count, encoding="utf-8")
    refused("not a small number", layouts.draft, "wds", str(tmp_path), None, SAY_NOTHING)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([*sample("a", 0), *sample("a", 1)], "key a occurs twice"),
        ([("../a.png", b"x"), ("../a.cls", b"0")], r"refused the path '\.\./a\.png'"),
        ([("/a.png", b"x")], "refused the path '/a.png'"),
        ([("a.png", b"x")], r"1 image without a label, .* the first is a\.png"),
        ([("a.png", b"x"), ("a.cls", b"cat")], r"a\.cls says 'cat', but a class index"),
    ],
)
def test_wds_names_what_is_wrong(
    tmp_path: Path, members: list[tuple[str, bytes]], message: str
) -> None:
    path = tar(tmp_path / "test-000000.tar", members)
    refused(f"test-000000.tar.*{message}", lambda: tars.read(path))


def test_wds_refuses_links_truncated_tars_and_labels_out_of_range(tmp_path: Path) -> None:
    path = tar(tmp_path / "test-0.tar", [m for i in range(4) for m in sample(f"{i}", i)])
    card = toy.card(
        classes=["a", "b"],
        splits={"test": 4},
        source={"kind": "wds", "options": {"splits": {"test": ["test-0.tar"]}}},
    )
    opened = (layouts.open_source, card, str(tmp_path), SAY_NOTHING)
    refused(r"test-0\.tar: label 2 of sample 2 is out of range", *opened)
    path.write_bytes(path.read_bytes()[:1800])
    refused(r"test-0\.tar is damaged after sample 0", *opened)
    with tarfile.open(path, "w") as file:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    refused("links, devices", *opened)
    path.unlink()
    refused("test-0.tar does not exist", *opened)


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_tar_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("tars") / "junk.tar"
    path.write_bytes(junk)
    try:
        tars.read(path)
    except UserError as error:
        assert "junk.tar" in str(error)

"""Webdataset tars of others: each member is read, counted or refused, none is dropped silently."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.data import layouts
from promptbench.data.layouts import Draft, tars, wds
from promptbench.errors import UserError
from tests.data import toy
from tests.data.test_remote import Messages
from tests.data.toy import SAY_NOTHING, clip_benchmark, refused, sample, tar

Members = list[tuple[str, bytes]]


def read(tmp_path: Path, members: Members) -> tars.TarContents:
    return tars.read(tar(tmp_path / "test-0.tar", members))


def keys(contents: tars.TarContents) -> list[tuple[str, int]]:
    return [(member.key, member.label) for member in contents.samples]


def test_keys_with_dots_are_samples(tmp_path: Path) -> None:
    dotted = [m for i in range(3) for m in sample(f"img.v2.{i:03d}", i)]
    found = read(tmp_path, [*dotted, *sample("plain", 3)])
    assert keys(found) == [("img.v2.000", 0), ("img.v2.001", 1), ("img.v2.002", 2), ("plain", 3)]


def test_suffixes_folders_and_spaces_around_labels_are_as_they_come(tmp_path: Path) -> None:
    members = [("./a/1.JPEG", b"x"), ("a/1.CLS", b" 2\n"), ("b/1.jpg", b"x"), ("./b/1.cls", b"0")]
    members += [("c/x.jfif", b"x"), ("c/x.cls", b"+1")]
    assert keys(read(tmp_path, members)) == [("a/1", 2), ("b/1", 0), ("c/x", 1)]


def test_other_members_are_counted_by_suffix(tmp_path: Path) -> None:
    members = [*sample("a", 0), ("a.json", b"{}"), ("a.TXT", b""), ("b.json", b""), ("README", b"")]
    members += [
        ("._a.png", b"x"),
        ("._a.cls", b"?"),
        ("__MACOSX/a.png", b"x"),
        ("x/.DS_Store", b""),
    ]
    found = read(tmp_path, members)
    assert keys(found) == [("a", 0)]
    leftovers = "4 leftovers of systems and hidden names"
    assert tars.summary(found.unread) == f"1 .TXT, 2 .json, {leftovers}, 1 no suffix"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("0.left.jpg", b"x"), ("0.right.jpg", b"x"), ("0.cls", b"0")],
            r"holds 0 samples, but also 2 images without a label.*first is 0\.left\.jpg; "
            r"1 label \(\.cls\) without an image.*0\.cls",
        ),
        (
            [*sample("a", 0), ("a.mask.png", b"x")],
            r"holds 1 samples, but also 1 image without a label, .* a\.mask\.png",
        ),
        (
            [("a.png", b"x"), ("a.json", b'{"label": 0}')],
            r"1 image without a label, .* \(1 \.json are not read\)",
        ),
        ([*sample("a", 0), ("b.cls", b"0")], r"1 label \(\.cls\) without an image"),
        (
            [*sample("a", 0), ("b.heic", b"x"), ("b.cls", b"0")],
            r"1 image of a kind that shards do not hold .* b\.heic",
        ),
        ([*sample("a", 0), ("a.jpg", b"x")], r"a occurs twice, as a\.png and as a\.jpg"),
        ([*sample("a", 0), ("a.CLS", b"0")], r"a occurs twice, as a\.cls and as a\.CLS"),
        ([("a.png", b"x"), ("a.cls", b"2.0")], r"a\.cls says '2\.0', but a class index"),
        ([("a.png", b"x"), ("a.cls", b"1_0")], r"a\.cls says '1_0'"),
        ([("a.png", b"x"), ("a.cls", b"")], r"a\.cls says ''"),
        ([("a.png", b"x"), ("a.cls", b"1" + b" " * 63 + b"2")], r"a\.cls says '1 "),
        ([("a.png", b"x"), ("a.cls", b"-1")], r"'-1', which is the mark of a sample without label"),
    ],
)
def test_what_cannot_be_paired_or_read_is_refused(
    tmp_path: Path, members: Members, message: str
) -> None:
    refused(rf"test-0\.tar.*{message}", read, tmp_path, members)


@given(st.binary(max_size=80) | st.text("0123456789 +-_.\n\t", max_size=12).map(str.encode))
def test_any_label_is_a_class_index_or_an_error(text: bytes) -> None:
    try:
        label = tars._label(io.BytesIO(text), PurePosixPath("a.cls"), Path("t.tar"))
    except UserError as error:
        assert str(error).startswith("t.tar: a.cls says ")
        return
    assert label == int(text) and text.strip().lstrip(b"+").isdigit()


def _zip(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", data)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (gzip.compress, r"it is a gzip file; unpack it first \(gunzip\)"),
        (bz2.compress, r"a bzip2 file; unpack it first \(bunzip2\)"),
        (lzma.compress, r"an xz file; unpack it first \(unxz\)"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, r"a zstd file; unpack it first \(unzstd\)"),
        (_zip, r"a zip archive; unpack it first \(unzip\)"),
        (lambda _: b"\n<!DOCTYPE HTML><p>Sign in", r"a web page .*; fetch the file itself"),
        (lambda _: LFS, r"a Git LFS pointer, not the content; fetch the content \(git lfs pull\)"),
        (lambda _: b"Not Found", "a text that begins with 'Not Found'"),
        (lambda _: "é".encode() * 400, "a text that begins with 'é"),
        (lambda _: b"", r"it is empty \(0 bytes\)"),
        (
            lambda data: data[:1024],
            r"damaged after .*: it has no end mark, so it may have been cut",
        ),
        (lambda data: data + data, r"damaged after sample a: \d+ bytes follow .* joined by `cat`"),
        (lambda data: data[:1024] + b"\xff" * 512 + data[1024:], r"damaged after .* bytes follow"),
    ],
)
def test_what_is_not_a_whole_tar_is_named(
    tmp_path: Path, packed: Callable[[bytes], bytes], message: str
) -> None:
    path = tar(tmp_path / "test-0.tar", [("a.json", b"{}"), *sample("a", 0)])
    path.write_bytes(packed(path.read_bytes()))
    refused(rf"test-0\.tar is .*{message}", tars.read, path)


# --- whole folders ------------------------------------------------------------------------------


def draft(folder: Path, heard: Messages | None = None, holdout: float | None = None) -> Draft:
    return layouts.draft("wds", str(folder), holdout, heard or SAY_NOTHING)


def split(folder: Path, name: str, labels: list[int], stem: str = "k") -> None:
    tar(folder / name, [m for i, label in enumerate(labels) for m in sample(f"{stem}{i}", label)])


def test_samples_with_dots_are_prepared_with_their_own_keys(tmp_path: Path) -> None:
    rows = ["a", "a.b", "a.b.c", "a.q"]
    tar(tmp_path / "test-0.tar", [m for i, key in enumerate(rows) for m in sample(key, i)])
    made = draft(tmp_path)
    card = toy.card(
        classes=["a", "b", "c", "d"],
        splits=made.splits,
        source={"kind": "wds", "options": made.options},
    )
    source = wds.open_source(card, str(tmp_path), SAY_NOTHING)
    names = [s.name for s in source.samples("test")]
    assert names == ["test-0/a", "test-0/a.b.png", "test-0/a.b.c.png", "test-0/a.q.png"]
    data = toy.write(tmp_path / "out", source, **card.model_dump())
    found = {(item.key, item.label) for item in data.stream("test")}
    assert {label for _, label in found} == {0, 1, 2, 3} and len(found) == 4


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        ([1, 2, 3], [1, 2, 3], "", r"labels run from 1 to 3, .* begin at 0; subtract 1 from each$"),
        ([1, 2, 3], [1, 2, 3], "a\nb\nc", r"subtract 1 from each \(classnames\.txt names 3"),
        ([0, 1, 2], [0, 1, 2], "a\nb", r"run from 0 to 2, but classnames\.txt names 2 classes"),
        ([0, 1], [0, 1], "a\nb\nc", r"no sample has label 2 \('c'\), of 3 classes"),
        ([0, 2, 5], [0, 2, 5], "", r"no sample has label 1 and 2 more, of 6 classes"),
        ([0, 1, 2], [0, 2], "a\nb\nc", r"in split test no sample has label 1 \('b'\), of 3"),
        ([0, 999_999_999], [0], "", r"no sample has label 1 and 999999997 more"),
    ],
)
def test_labels_are_class_indices_without_gaps(
    tmp_path: Path, train: list[int], test: list[int], names: str, message: str
) -> None:
    split(tmp_path, "train-0.tar", train)
    split(tmp_path, "test-0.tar", test)
    if names:
        (tmp_path / "classnames.txt").write_text(names, encoding="utf-8-sig")
    refused(message, draft, tmp_path)


def test_what_a_folder_holds_beside_its_samples_is_said(tmp_path: Path) -> None:
    split(tmp_path, "valid-0.tar", [0, 1])
    split(tmp_path, "extra-0.tar", [0, 1])
    tar(tmp_path / "test-0.tar", [*sample("a", 0), *sample("b", 1), ("a.json", b"{}")])
    tar(tmp_path / "test-1.tar", [])
    heard = Messages()
    made = draft(tmp_path, heard)
    assert made.splits == {"val": 2, "test": 2}
    assert made.notes == ["Members of the tars that were not read: 1 .json."]
    said = "\n".join(heard.texts)
    assert "1 tars are part of no split and not read, the first is extra-0.tar" in said
    assert "test-1.tar holds no samples" in said and "not read: 1 .json" in said


def test_folders_that_could_mean_two_things_are_refused(tmp_path: Path) -> None:
    split(tmp_path, "test-0.tar", [0, 1])
    split(tmp_path, "val-0.tar", [0, 1])
    split(tmp_path, "validation-0.tar", [0, 1])
    refused("has tars of val and of validation; which is val?", draft, tmp_path)
    (tmp_path / "validation-0.tar").unlink()
    split(tmp_path, "test/0.tar", [0, 1])
    refused(r"holds 1 tars test-\*\.tar and 1 in test/", draft, tmp_path)
    (tmp_path / "test" / "0.tar").rename(tmp_path / "test-1.tar.gz")
    refused(r"1 packed tars, the first is test-1\.tar\.gz; unpack", draft, tmp_path)
    refused("the tar test-0.tar is named twice", draft, tmp_path / "test-{0,0}.tar")
    refused("is not a folder of tars, and not a tar", draft, tmp_path / "test-1.tar.gz")
    empty = tar(tmp_path / "e" / "test-0.tar", [])
    refused("the 1 tars of split test hold no samples", draft, empty.parent)


def test_tars_with_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    split(tmp_path, "a/0.tar", [0, 1])
    split(tmp_path, "b/0.tar", [0, 1])
    card = toy.card(
        classes=["x", "y"],
        splits={"test": 4},
        source={"kind": "wds", "options": {"splits": {"test": ["a/0.tar", "b/0.tar"]}}},
    )
    source = wds.open_source(card, str(tmp_path), SAY_NOTHING)
    assert [s.name for s in source.samples("test")] == ["a/0/k0", "a/0/k1", "b/0/k0", "b/0/k1"]


def test_texts_beside_the_tars_are_texts(tmp_path: Path) -> None:
    clip_benchmark(tmp_path)
    (tmp_path / "classnames.txt").write_bytes(b"\xef\xbb\xbfant\n\nbee\r\ncat\n")
    assert draft(tmp_path).classes == ["ant", "bee", "cat"]  # a byte order mark is not a letter
    (tmp_path / "classnames.txt").write_bytes(LFS)
    refused(r"classnames\.txt is a Git LFS pointer", draft, tmp_path)


def test_an_image_whose_tar_has_gone_is_named(tmp_path: Path) -> None:
    split(tmp_path, "test-0.tar", [0, 1])
    card = toy.card(
        classes=["x", "y"],
        splits={"test": 2},
        source={"kind": "wds", "options": {"splits": {"test": ["test-0.tar"]}}},
    )
    source = wds.open_source(card, str(tmp_path), SAY_NOTHING)
    (tmp_path / "test-0.tar").unlink()
    listed = source.samples("test")
    refused(r"cannot read .*test-0\.tar: No such file", lambda: list(source.images(listed, 1)))


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "test-0.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as file:
        info = tarfile.TarInfo("a.png")
        info.type = tarfile.GNUTYPE_SPARSE
        file.addfile(info)
    refused("refused .a.png.: links, devices and sparse files", tars.read, path)

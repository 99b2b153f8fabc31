"""Files that sources lead to: pipes, devices, paths of lists, tars; read where they may be."""

from __future__ import annotations

import json
import os
import socket
import tarfile
from pathlib import Path

import pytest

from promptbench.data import layouts
from promptbench.data.cards import new_card
from promptbench.data.layouts import fence
from promptbench.data.layouts.fence import Fence
from promptbench.data.shards import store, writing
from promptbench.errors import UserError
from tests.data import toy
from tests.data.toy import SAY_NOTHING, images, refused

FILES = tuple(f"{s}/{c}/{i}.png" for s in ("train", "test") for c in ("ant", "bee") for i in "12")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROMPTBENCH_CARDS", "PROMPTBENCH_DATA", "PROMPTBENCH_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    images(tmp_path / "set", *FILES)
    images(tmp_path / "store", "9.png", "deep/8.png")
    return tmp_path / "set"


def link(place: Path, to: str | Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(to)


def draft(kind: str, location: Path) -> layouts.Draft:
    return layouts.draft(kind, str(location), None, SAY_NOTHING)


def halved(location: Path) -> layouts.Draft:
    """The draft of a table without splits."""
    return layouts.draft("csv", str(location), 0.5, SAY_NOTHING)


# --- folders -------------------------------------------------------------------------------------


def test_a_file_that_became_a_link_later_is_not_read(base: Path, tmp_path: Path) -> None:
    made = draft("folder", base)
    source = {"kind": "folder", "options": made.options}
    card = toy.card(classes=made.classes, splits=made.splits, source=source)
    opened = layouts.open_source(card, str(base), SAY_NOTHING)
    listed = opened.samples("train")
    (base / "train/ant/1.png").unlink()
    link(base / "train/ant/1.png", tmp_path / "store/9.png")
    refused(r"refused the image .*ant/1\.png, which lies outside", list, opened.images(listed, 1))
    (base / "train/ant/1.png").unlink()
    os.mkfifo(base / "train/ant/1.png")
    refused(r"cannot read the image .*it is a pipe", list, opened.images(listed, 0))


def test_an_image_of_any_size_is_not_read(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "MOST_IMAGE", 2**20)
    with (base / "train/ant/1.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="it is larger than 1 MiB"):
        Fence(base).image(base / "train/ant/1.png")


@pytest.mark.parametrize("place", ["train/ant/x.png", "train/ant/x", "train/x.txt", "x"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_special_files_are_refused_unopened(
    base: Path, place: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "pipe":
        os.mkfifo(base / place)
    else:
        monkeypatch.chdir(base)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place)
    refused(rf"1 special file, such as a pipe.*: {place}; remove them", draft, "folder", base)


def test_a_snapshot_of_the_hubs_cache_holds_its_blobs(tmp_path: Path) -> None:
    home = tmp_path / "datasets--me--birds"
    images(home / "blobs", "0", "1")
    for at, name in enumerate(("ant/0.png", "bee/1.png")):
        for split in ("train", "test"):
            link(home / "snapshots/abc" / split / name, home / "blobs" / str(at))
    assert draft("folder", home / "snapshots/abc").splits == {"train": 2, "test": 2}
    link(home / "snapshots/abc/train/ant/x.png", tmp_path / "datasets--me--birds-2")
    (tmp_path / "datasets--me--birds-2").write_bytes(toy.png(1))
    refused("1 link out of the source", draft, "folder", home / "snapshots/abc")


# --- paths of lists -----------------------------------------------------------------------------


def table(folder: Path, *paths: object) -> Path:
    folder.mkdir(exist_ok=True)
    images(folder, "0.png", "1.png", "2.png", "3.png")
    rows = [f"{number}.png,{'ab'[number % 2]}" for number in range(4)]
    rows += [f"{path},a" for path in paths]
    (folder / "t.csv").write_text("\n".join(["path,label", *rows]))
    return folder / "t.csv"


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../store/9.png", "/dev/zero", "way/9.png", "link.png", "/nowhere"]
)
def test_a_table_reads_no_file_elsewhere(base: Path, path: str) -> None:
    given = table(base, path)
    link(base / "way", base.parent / "store")
    link(base / "link.png", base.parent / "store/9.png")
    said = (
        rf"t\.csv: 1 image outside of the source: {path}( \(to /.*\))?; copy .*PROMPTBENCH_LINKS=/"
    )
    refused(said, halved, given)


@pytest.mark.parametrize("place", ["pipe", "/dev/zero"])
def test_a_table_of_special_files_is_refused_unopened(
    base: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_LINKS", "/dev")
    os.mkfifo(base / "pipe")
    said = "1 path to something else than a file"
    refused(said, halved, table(base, place))


def test_absolute_paths_inside_are_as_good_as_relative_ones(base: Path) -> None:
    (base / "4.png").write_bytes(toy.png(7))
    (base / "5.png").write_bytes(toy.png(8))
    up = f"../{base.name}/5.png"
    made = halved(table(base, base / "4.png", up))
    card = toy.card(
        classes=["a", "b"], splits=made.splits, source={"kind": "csv", "options": made.options}
    )
    opened = layouts.open_source(card, str(base / "t.csv"), SAY_NOTHING)
    listed = [*opened.samples("train"), *opened.samples("test")]
    found = dict(zip((s.name for s in listed), opened.images(listed, 1), strict=True))
    assert found["4.png"] == toy.png(7) and found["5.png"] == toy.png(8)


def test_a_table_may_name_images_in_an_allowed_place(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "store"
    for number in range(4, 7):
        (photos / f"{number}.png").write_bytes(toy.png(40 + number))
    given = table(base, photos / "4.png", "../store/5.png", photos / "6.png")
    refused("3 images outside of the source", halved, given)
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(photos))
    new_card.write("mine", f"csv:{given}", new_card.Facts(holdout=0.5), SAY_NOTHING)
    done = store.prepare("mine", None, None, writing.WritingOptions(), SAY_NOTHING)
    kept = {item.image for split in ("train", "test") for item in done.stream(split)}
    assert {toy.png(40 + number) for number in range(4, 7)} <= kept


def test_two_images_of_one_name_are_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path / "store", "0.png")
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path / "store"))
    said = r"1 path of different images with one name: .*store/0\.png \(.*set/0\.png\)"
    refused(said, halved, table(base, tmp_path / "store" / "0.png"))


@pytest.mark.parametrize("path", ["/etc/hostname", "../../store/9.png", "link.png"])
def test_a_split_file_reads_no_file_elsewhere(base: Path, path: str) -> None:
    link(base / "link.png", base.parent / "store/9.png")
    rows = {"train": [["train/ant/1.png", 0, "ant"], ["train/bee/1.png", 1, "bee"]]}
    rows |= {"test": [["test/ant/1.png", 0, "ant"], ["test/bee/1.png", 1, "bee"]]}
    rows["test"].append([path, 0, "ant"])
    (base / "split.json").write_text(json.dumps(rows))
    refused(
        r"split\.json, test: 1 image outside of the source: .*PROMPTBENCH_LINKS=/",
        draft,
        "coop",
        base,
    )


def test_lists_are_files_of_the_source(base: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("{}")
    link(base / "split.json", tmp_path / "split.json")
    refused("refused the list .*outside of the source", draft, "coop", base)
    (base / "split.json").unlink()
    os.mkfifo(base / "split.json")
    refused("cannot read the list .*it is a pipe", draft, "coop", base)


# --- tars ---------------------------------------------------------------------------------------


def test_tars_and_texts_elsewhere_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "wds"
    toy.clip_benchmark(folder)
    (folder / "train/1.tar").rename(tmp_path / "1.tar")
    link(folder / "train/1.tar", tmp_path / "1.tar")
    refused(r"refused the file .*1\.tar, which lies outside", draft, "wds", folder)
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path))
    assert draft("wds", folder).splits == {"train": 6, "test": 3}
    (folder / "train/1.tar").unlink()
    os.mkfifo(folder / "train/1.tar")
    refused(r"cannot read the file .*1\.tar: it is a pipe", draft, "wds", folder)


@pytest.mark.parametrize("name", ["classnames.txt", "test/nshards.txt"])
def test_texts_beside_tars_are_files_of_the_folder(tmp_path: Path, name: str) -> None:
    toy.clip_benchmark(tmp_path / "wds")
    (tmp_path / "wds" / name).unlink()
    os.mkfifo(tmp_path / "wds" / name)
    refused("cannot read the file .*: it is a pipe", draft, "wds", tmp_path / "wds")
    (tmp_path / "wds" / name).unlink()
    link(tmp_path / "wds" / name, "/dev/zero")
    refused("cannot read the file .*: it is a device", draft, "wds", tmp_path / "wds")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_members_of_tars_are_files(tmp_path: Path, kind: bytes) -> None:
    path = toy.tar(tmp_path / "test-0.tar", toy.sample("a", 0))
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("b.png")
        info.type, info.linkname = kind, "/etc/hostname"
        file.addfile(info)
    refused("refused 'b.png': links, devices and sparse", draft, "wds", tmp_path)


def test_a_pipe_among_shards_does_not_block(tmp_path: Path) -> None:
    made = toy.write(tmp_path / "toy")
    (tmp_path / "toy/test-000000.tar").unlink()
    os.mkfifo(tmp_path / "toy/test-000000.tar")
    refused(r"shard .*test-000000\.tar is missing", lambda: list(made.stream("test")))

"""Images that links lead to outside of their source: refused, unless the user allows the place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.data import layouts
from promptbench.data.layouts import Draft
from promptbench.errors import UserError
from promptbench.support.progress import Reporter
from tests.data.toy import images, refused

FILES = tuple(f"{s}/{c}/{i}.png" for s in ("train", "test") for c in ("ant", "bee") for i in "12")


def drafted(kind: str, place: Path) -> Draft:
    return layouts.draft(kind, str(place), None, Reporter())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    images(tmp_path / "set", *FILES)
    images(tmp_path / "store", "1.png", "deep/2.png")
    return tmp_path / "set"


def a_file(base: Path, store: Path) -> None:
    (base / "train/ant/3.png").symlink_to(store / "1.png")


def relatively(base: Path, store: Path) -> None:
    (base / "train/ant/3.png").symlink_to(os.path.relpath(store / "1.png", base / "train/ant"))


def through_a_chain(base: Path, store: Path) -> None:
    (base / "train/ant/.hidden").symlink_to(store / "1.png")
    (base / "train/ant/3.png").symlink_to(".hidden")


def a_folder(base: Path, store: Path) -> None:
    (base / "train/ant/more").symlink_to(store)


def a_class(base: Path, store: Path) -> None:
    for split in ("train", "test"):
        (base / split / "cat").symlink_to(store)


def a_split(base: Path, store: Path) -> None:
    (base / "train").rename(store / "train")
    (base / "train").symlink_to(store / "train")


def a_device(base: Path, store: Path) -> None:
    (base / "train/ant/3.png").symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "link", [a_file, relatively, through_a_chain, a_folder, a_class, a_split, a_device]
)
def test_a_link_out_of_a_folder_is_refused_by_name(
    link: Callable[[Path, Path], None], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = base.with_name("store")
    link(base, store)
    refused(r"links? out of the source.* \(to /.*PROMPTBENCH_LINKS=/", drafted, "folder", base)
    monkeypatch.setenv("PROMPTBENCH_LINKS", os.pathsep.join(["/nowhere", str(store)]))
    if link is a_device:
        refused("out of the source", drafted, "folder", base)
    else:
        assert drafted("folder", base).splits["train"] >= 4


def several(base: Path, store: Path) -> None:
    (base / "train/ant/3.png").symlink_to(store / "1.png")
    (base / "train/ant/4.png").symlink_to(store / "deep/2.png")
    (base / "train/bee/deep").symlink_to(store / "deep")


def rows_of_several(base: Path, store: Path) -> None:
    lines = (f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in FILES)
    more = (f"{store / name},ant,train" for name in ("deep/2.png", "1.png"))
    base.joinpath("t.csv").write_text("\n".join(["path,label,split", *lines, *more]))


@pytest.mark.parametrize(
    ("kind", "change", "place", "more"),
    [
        ("folder", a_file, "", 1),
        ("folder", several, "", 3),
        ("folder", a_folder, "", 2),
        ("csv", rows_of_several, "t.csv", 2),
    ],
)
def test_what_the_message_allows_is_enough(
    kind: str,
    change: Callable[[Path, Path], None],
    place: str,
    more: int,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(base, base.with_name("store"))
    with pytest.raises(UserError, match="allow the folder: PROMPTBENCH_LINKS=") as caught:
        drafted(kind, base / place)
    allowed = str(caught.value).rpartition("=")[2]
    assert allowed.startswith(str(base.with_name("store")))
    monkeypatch.setenv("PROMPTBENCH_LINKS", allowed)
    assert drafted(kind, base / place).splits == {"train": 4 + more, "test": 4}


def test_everything_is_not_advised_to_be_allowed(base: Path) -> None:
    a_file(base, base.with_name("store"))
    (base / "train/ant/9.png").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"2 links out.*PROMPTBENCH_LINKS=/.+"):
        drafted("folder", base)


def test_the_next_command_names_what_this_one_was_allowed(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(base, base.with_name("store"))
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(base.with_name("cards")))
    monkeypatch.setenv("PROMPTBENCH_LINKS", f"{base.with_name('store')}:/my photos")
    said = CliRunner().invoke(main, ["data", "new", "mine", "--source", f"folder:{base}"])
    command = f"PROMPTBENCH_LINKS='{base.with_name('store')}:/my photos' promptbench data prepare"
    assert said.exit_code == 0 and f"next: {command} mine" in said.output


def test_links_inside_and_a_source_that_is_a_link_are_followed(base: Path) -> None:
    (base / "train/ant/more.png").symlink_to("1.png")
    (base / "train/bee/sub").symlink_to("../../test/bee")
    base.with_name("link").symlink_to(base)
    assert drafted("folder", base.with_name("link")).splits["train"] == 4 + 1 + 2


def table(base: Path) -> Path:
    lines = [f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in FILES]
    base.joinpath("t.csv").write_text("\n".join(["path,label,split", *lines]))
    return base / "t.csv"


def split_file(base: Path) -> Path:
    rows = {
        split: [
            [name, ("ant", "bee").index(name.split("/")[1]), name.split("/")[1]]
            for name in FILES
            if name.startswith(split)
        ]
        for split in ("train", "test")
    }
    base.joinpath("split_zhou_x.json").write_text(json.dumps({**rows, "val": []}))
    return base


@pytest.mark.parametrize(("kind", "listed"), [("csv", table), ("coop", split_file)])
@pytest.mark.parametrize("part", ["train/ant/1.png", "train/ant", "train"])
def test_a_listed_image_that_lies_elsewhere_is_refused(
    kind: str,
    listed: Callable[[Path], Path],
    part: str,
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = base.with_name("store")
    (base / part).rename(store / "moved")
    (base / part).symlink_to(store / "moved")
    place = listed(base)
    refused(r"images? outside of the source.* train/ant/1.png \(to .*store", drafted, kind, place)
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(store))
    assert drafted(kind, place).splits == {"train": 4, "test": 4}


def test_a_listed_pipe_is_not_opened(base: Path) -> None:
    (base / "train/ant/1.png").unlink()
    os.mkfifo(base / "train/ant/1.png")
    refused("1 path to something else than a file: train/ant/1.png", drafted, "csv", table(base))

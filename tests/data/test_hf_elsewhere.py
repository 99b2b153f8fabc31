"""Hugging Face datasets that would read files outside of their folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from promptbench.data import layouts
from tests.data import toy
from tests.data.test_hf import NAMES, card_of, hf, rows, save
from tests.data.toy import SAY_NOTHING, images, refused


def with_paths(folder: Path, *paths: str | Path) -> Path:
    """A dataset of three rows whose images are these files."""
    struct = {"bytes": hf.Value("binary"), "path": hf.Value("string")}
    values = [{"bytes": None, "path": str(path)} for path in paths]
    return save(folder, test=rows([0, 1, 2], hf.ClassLabel(names=NAMES), image=(values, struct)))


def draft(folder: Path) -> layouts.Draft:
    return layouts.draft("hf", str(folder), None, SAY_NOTHING)


def test_rows_that_name_files_elsewhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path / "store", "0.png", "1.png", "2.png")
    paths = [tmp_path / "store" / f"{i}.png" for i in range(2)]
    given = with_paths(tmp_path / "s", "/etc/hostname", *paths)
    refused("3 of 3 image files of split test lie outside of it, the first is '/etc/hostname' of "
            "row 0; save it with .*PROMPTBENCH_LINKS=/etc", draft, given)  # fmt: skip
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path / "store"))
    refused("1 of 3 image files .* '/etc/hostname'", draft, given)


def test_rows_that_name_files_inside_or_allowed_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(tmp_path / "store", "0.png", "1.png")
    given = with_paths(
        tmp_path / "s", "1.png", tmp_path / "store" / "0.png", tmp_path / "s" / "2.png"
    )
    (given / "1.png").write_bytes(toy.png(1))
    (given / "2.png").write_bytes(toy.png(9))
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(tmp_path / "store"))
    made = draft(given)
    opened = layouts.open_source(card_of(made), str(given), SAY_NOTHING)
    assert list(opened.images(opened.samples("test"), 1)) == [toy.png(1), toy.png(0), toy.png(9)]


def test_a_row_that_leads_out_by_a_link_is_refused(tmp_path: Path) -> None:
    given = with_paths(tmp_path / "s", "a.png", "b.png", "c.png")
    images(given, "a.png", "b.png")
    (given / "c.png").symlink_to("/etc/hostname")
    refused(r"1 link out of the source: c\.png \(to /etc/hostname\)", draft, given)
    (given / "c.png").unlink()
    (given / "c.png").write_bytes(toy.png(3))
    made = draft(given)
    opened = layouts.open_source(card_of(made), str(given), SAY_NOTHING)
    (given / "c.png").unlink()
    (given / "c.png").symlink_to("/etc/hostname")
    refused("refused the image .*outside", list, opened.images(opened.samples("test"), 1))


@pytest.mark.parametrize("name", ["x.parquet", "test/dataset_info.json", "deep/x.png"])
def test_a_pipe_in_a_dataset_is_refused_unopened(tmp_path: Path, name: str) -> None:
    given = with_paths(tmp_path / "s", "a.png", "b.png", "c.png")
    (given / name).parent.mkdir(exist_ok=True)
    (given / name).unlink(missing_ok=True)
    os.mkfifo(given / name)
    refused(rf"1 special file, such as a pipe, .*: {name}; remove them", draft, given)


@pytest.mark.parametrize("part", ["/dev/zero", "../../x.arrow"])
def test_a_split_whose_parts_lie_elsewhere_is_refused(tmp_path: Path, part: str) -> None:
    given = with_paths(tmp_path / "s", "a.png", "b.png", "c.png")
    path = given / "test" / "state.json"
    state = json.loads(path.read_text())
    state["_data_files"] = [{"filename": part}]
    path.write_text(json.dumps(state))
    refused(f"refused the path '{part}': it must stay below", draft, given)


def test_parquet_files_elsewhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows([0, 1, 2], hf.ClassLabel(names=NAMES))
    (tmp_path / "s").mkdir()
    made = save(tmp_path / "s", "parquet", test=table)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "test.parquet").symlink_to(next(made.glob("*.parquet")))
    refused("1 link out of the source: test.parquet", draft, tmp_path / "t")
    monkeypatch.setenv("PROMPTBENCH_LINKS", str(made))
    assert draft(tmp_path / "t").splits == {"test": 3}

"""Pages of records of which nothing has changed are taken from the site before; no others are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench import records
from promptbench.cli import main
from promptbench.leaderboard.checking import verdicts
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import error_pages, folder, record_pages, site
from promptbench.leaderboard.web.folder import Templates, fresh
from promptbench.leaderboard.web.kept_pages import KeptPages
from promptbench.leaderboard.web.thumbnails import MOST, Thumbnails
from promptbench.records.scores import folders_of
from promptbench.storage.remembered import Remembered, opened

SHARED = {"protocols": [], "version": "1", "here": "", "alone": False, "links": [], "feed": False}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with opened(tmp_path / "memory") as found:
        yield found


@pytest.fixture
def accepted(runs: Path, memory: Remembered) -> list[Verdict]:
    return judged(runs, memory)


def judged(runs: Path, memory: Remembered) -> list[Verdict]:
    return verdicts.judge_all(records.find([runs]), None, memory)


def written(
    accepted: list[Verdict],
    out: Path,
    memory: Remembered | None,
    most: int = MOST,
    **shared: Any,
) -> dict[str, bytes]:
    """The pages of records, and pictures, of a site that replaces the one at `out`."""
    with fresh(out) as made:
        thumbnails = Thumbnails(made, "errors/pictures", None, most)
        folders = folders_of((v.record, v.path.parent) for v in accepted if v.record)
        facts = partial(record_pages.whole_page, folders=folders, thumbnails=thumbnails)
        templates = Templates(made, SHARED | shared)
        site.write_errors(accepted, KeptPages(out, templates, thumbnails, folders, facts, memory))
    return files(out / "errors")


def files(under: Path) -> dict[str, bytes]:
    found = (path for path in under.rglob("*") if path.is_file())
    return {path.relative_to(under).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of records whose pages are made, in order."""
    found: list[str] = []
    make = error_pages.error_page

    def noted(record: records.Record, *rest: Any) -> dict[str, Any]:
        found.append(record.method.name)
        return make(record, *rest)

    monkeypatch.setattr(error_pages, "error_page", noted)
    return found


def test_a_site_is_built_again_without_making_its_pages(
    runs: Path, tmp_path: Path, made: list[str]
) -> None:
    def build(out: Path, *more: str) -> dict[str, bytes]:
        command = ["leaderboard", "build", str(runs), "--out", str(out), *more]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        return files(out)

    first = build(tmp_path / "site")
    assert sorted(made) == ["coop", "zeroshot"]
    made.clear()
    assert build(tmp_path / "site") == first and not made
    assert build(tmp_path / "site", "--all") == first
    assert sorted(made) == ["coop", "zeroshot"]  # which --all does not take over


def test_pictures_are_taken_over_too(
    accepted: list[Verdict], tmp_path: Path, memory: Remembered, made: list[str]
) -> None:
    first = written(accepted, tmp_path / "site", memory)
    assert any(name.endswith(".jpg") for name in first)
    made.clear()
    assert written(accepted, tmp_path / "site", memory) == first and not made


@pytest.mark.parametrize("what", ["links", "no links", "other rights"])
def test_pages_are_taken_over_as_they_lie_there(
    what: str,
    accepted: list[Verdict],
    tmp_path: Path,
    memory: Remembered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("this file system has no second names")

    out = tmp_path / "site"
    first = written(accepted, out, memory)
    pages = sorted((out / "errors").glob("*.html"))
    before = [page.stat().st_ino for page in pages]
    rights = pages[0].stat().st_mode
    if what == "no links":
        monkeypatch.setattr(os, "link", refuse)
    if what == "other rights":
        for page in pages:
            page.chmod(0o600)
    assert written(accepted, out, memory) == first
    assert ([page.stat().st_ino for page in pages] == before) is (what == "links")
    assert all((page.stat().st_nlink, page.stat().st_mode) == (1, rights) for page in pages)


def test_a_damaged_page_or_picture_is_written_again(
    accepted: list[Verdict], tmp_path: Path, memory: Remembered, made: list[str]
) -> None:
    out = tmp_path / "site"
    first = written(accepted, out, memory)
    (page,) = (out / "errors").glob("*-coop-*.html")
    page.write_text("something else")
    made.clear()
    assert written(accepted, out, memory) == first
    assert made == ["coop"]
    picture = next((out / "errors" / "pictures").iterdir())
    picture.write_bytes(b"something else")
    assert written(accepted, out, memory) == first
    page.unlink()
    made.clear()
    assert written(accepted, out, memory) == first
    assert made == ["coop"]


@pytest.mark.parametrize("what", ["template", "frame", "state", "notes", "seen"])
def test_whatever_a_page_says_makes_it_anew(
    what: str,
    accepted: list[Verdict],
    tmp_path: Path,
    memory: Remembered,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "site"
    before = written(accepted, out, memory)
    shared: dict[str, Any] = {}
    if what == "template":
        templates = shutil.copytree(folder._here("templates"), tmp_path / "here" / "templates")
        (templates / "record.html").write_text("another record\n")
        shutil.copytree(folder._here("assets"), tmp_path / "here" / "assets")
        monkeypatch.setattr(folder, "_here", lambda name: tmp_path / "here" / name)
    elif what == "frame":
        shared = {"protocols": [{"name": "other", "short": "Another"}]}
    elif what == "state":
        accepted = [replace(v, state="recomputed") for v in accepted]
    elif what == "notes":
        accepted = [replace(v, notes=("something is to be known",)) for v in accepted]
    else:
        accepted = [replace(v, seen="0" * 64) for v in accepted]
    made.clear()
    found = written(accepted, out, memory, **shared)
    assert sorted(made) == ["coop", "zeroshot"]
    assert found == written(accepted, tmp_path / "afresh", None, **shared)
    assert (found == before) == (what == "seen")


def test_predictions_that_are_gone_make_a_page_anew_and_a_removed_record_has_none(
    runs: Path, accepted: list[Verdict], tmp_path: Path, memory: Remembered, made: list[str]
) -> None:
    out = tmp_path / "site"
    first = written(accepted, out, memory)
    (coop,) = (v for v in accepted if v.record and v.record.method.name == "coop")
    assert coop.record is not None
    (coop.path.parent / coop.record.targets[0].predictions).unlink()
    made.clear()
    found = written(judged(runs, memory), out, memory)
    assert found != first and made == ["coop"]
    shutil.rmtree(coop.path.parent)
    made.clear()
    rest = written(judged(runs, memory), out, memory)
    assert [name for name in rest if name.endswith(".html")] == [
        name for name in first if "-zeroshot-" in name
    ]
    assert rest == written(judged(runs, memory), tmp_path / "afresh", None) and made == ["zeroshot"]


@pytest.mark.parametrize("most", [1, 8, 9, 12])
def test_pictures_end_where_they_end_in_a_fresh_site(
    most: int, accepted: list[Verdict], tmp_path: Path, memory: Remembered
) -> None:
    out = tmp_path / "site"
    written(accepted, out, memory)
    for _ in range(2):
        found = written(accepted, out, memory, most)
        assert found == written(accepted, tmp_path / "afresh", None, most)
    assert sum(name.endswith(".jpg") for name in found) <= most


def test_pages_of_somebody_elses_code_are_written_each_time(
    accepted: list[Verdict], tmp_path: Path, memory: Remembered, made: list[str]
) -> None:
    unknown = [replace(v, seen=None) for v in accepted]
    for _ in range(2):
        made.clear()
        written(unknown, tmp_path / "site", memory)
        assert sorted(made) == ["coop", "zeroshot"]


def test_other_seeds_come_and_go_without_making_a_page_again(
    accepted: list[Verdict],
    tmp_path: Path,
    memory: Remembered,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def site_of(*seeds: int) -> dict[str, bytes]:
        links = [(f"seed {n}", f"errors/{n}.html") for n in seeds]
        monkeypatch.setattr(error_pages, "with_all_seeds", lambda own: [(r, links) for r in own])
        found = written(accepted, tmp_path / "site", memory)
        taken = list(made)
        made.clear()
        assert found == written(accepted, tmp_path / "afresh", None)
        made[:] = taken
        return found

    first = site_of(7)
    made.clear()
    both = site_of(7, 8)
    assert not made and both != first
    assert site_of(7) == first and not made
    site_of()
    assert not made
    assert site_of(7) == first and sorted(made) == ["coop", "zeroshot"]  # its place is not known

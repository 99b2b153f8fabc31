"""Replacing a site: a kill at any moment leaves the old one or the new one, no litter for good."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from promptbench.errors import UserError
from promptbench.leaderboard.web import replacing, site
from promptbench.leaderboard.web.folder import MARK
from tests.faults import driver


def killed(out: Path, moment: str) -> None:
    """Replace a site and end by SIGKILL at a moment of it, in a process of its own."""

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    rename, calls = Path.rename, []

    def renamed(self: Path, target: Path) -> Path:
        calls.append(target)
        if moment == f"before rename {len(calls)}":
            die()
        return rename(self, target)

    mock.patch.object(Path, "rename", renamed).start()
    if moment == "before removing":
        mock.patch.object(shutil, "rmtree", die).start()
    with replacing.replaced(out) as made:
        (made / "index.html").write_text("new")
        if moment == "within":
            die()


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "place" / "site"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("old")
    return folder


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("within", "old"),
        ("before rename 1", "old"),
        ("before rename 2", "old"),
        ("before removing", "new"),
    ],
)
def test_after_a_kill_the_next_one_finds_a_whole_site(out: Path, moment: str, left: str) -> None:
    child = driver.child(killed, out, moment)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(list(out.parent.iterdir())) > (0 if moment == "before rename 2" else 1)
    replacing.recover(out)
    assert [path.name for path in out.parent.iterdir()] == ["site"]
    assert files(out) == {"index.html": left}


def test_what_others_are_writing_stays(out: Path) -> None:
    theirs = out.parent / f".site-site-{replacing._host()}-{os.getppid()}.new"
    away = out.parent / ".site-site-elsewhere-1.new"
    unlike = out.parent / ".site-site-mine.new"
    for folder in (theirs, away, unlike):
        folder.mkdir()
    replacing.recover(out)
    assert theirs.is_dir() and away.is_dir() and unlike.is_dir()
    os.utime(away, (0, 0))
    replacing.recover(out)
    assert theirs.is_dir() and not away.exists()


def test_an_error_leaves_the_old_site(out: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing.replaced(out) as made:
        (made / "index.html").write_text("half")
        raise ZeroDivisionError
    assert files(out) == {"index.html": "old"} and len(list(out.parent.iterdir())) == 1


def test_a_site_killed_while_it_is_replaced_is_built_again(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(out)
    old = out.parent / f".site-site-{replacing._host()}-999999999.old"
    old.mkdir()
    (old / MARK).touch()
    site.build([], out)
    assert (out / "index.html").is_file() and [p.name for p in out.parent.iterdir()] == ["site"]


def test_a_folder_of_somebody_elses_is_refused(out: Path) -> None:
    with pytest.raises(UserError, match="is not a site of promptbench"):
        site.build([], out)
    assert files(out) == {"index.html": "old"}

"""What was verified before: it saves time, and nothing that befalls its file changes an answer."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptbench.storage import database, remembered
from promptbench.storage.remembered import Remembered, opened


def keep(cache: Path, **facts: str) -> None:
    with opened(cache) as memory:
        for key, value in facts.items():
            memory.put(key, value)


def kept(cache: Path, key: str, again: bool = False) -> str | None:
    with opened(cache, again) as memory:
        return memory.get(key)


def test_a_fact_is_found_by_the_next_process_and_not_when_all_is_asked_again(
    tmp_path: Path,
) -> None:
    keep(tmp_path, a="1")
    assert kept(tmp_path, "a") == "1"
    assert kept(tmp_path, "b") is None
    assert kept(tmp_path, "a", again=True) is None


def test_what_is_found_out_again_replaces_what_was_kept(tmp_path: Path) -> None:
    keep(tmp_path, a="1")
    with opened(tmp_path, again=True) as memory:
        memory.put("a", "2")
    assert kept(tmp_path, "a") == "2"


def store(cache: Path) -> Path:
    (path,) = cache.glob("*.sqlite")
    return path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE facts (name TEXT)")


def in_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def rewritten(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("UPDATE facts SET value = '9'")


def of_another_kind(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:44] + b"\0\0\0\x09" + path.read_bytes()[48:])


def within(path: Path) -> None:
    """The tables are there, and what they hold is not."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"?" * (len(data) - 4096))


@pytest.mark.parametrize(
    "harm",
    [
        cut,
        foreign,
        of_another_kind,
        within,
        lambda path: path.write_bytes(b"no database" * 999),
    ],
)
def test_a_damaged_or_foreign_store_is_set_aside_and_begun_again(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    keep(tmp_path, a="1")
    harm(store(tmp_path))
    damaged = store(tmp_path).read_bytes()
    with pytest.warns(UserWarning, match="is damaged .*; it was moved to verified.sqlite.damaged"):
        assert kept(tmp_path, "a") is None
    assert (tmp_path / "verified.sqlite.damaged").read_bytes() == damaged
    keep(tmp_path, a="1")
    assert kept(tmp_path, "a") == "1"


@pytest.mark.parametrize("harm", [in_a_folder, rewritten])
def test_a_store_that_is_none_or_was_edited_raises_nothing(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    keep(tmp_path, a="1")
    harm(store(tmp_path))
    assert kept(tmp_path, "a") is None
    keep(tmp_path, a="1")
    assert [path.name for path in tmp_path.iterdir()] == ["verified.sqlite"]


def test_a_store_that_is_damaged_while_it_is_open_is_begun_again_by_the_first_only(
    tmp_path: Path,
) -> None:
    keep(tmp_path, a="1")
    with opened(tmp_path) as memory, opened(tmp_path) as other:
        cut(store(tmp_path))
        with pytest.warns(UserWarning, match="is damaged"):
            assert memory.get("a") is None
        memory.put("a", "2")
        assert memory.flush()
        assert other.get("a") is None  # it meets the damage in the file that was moved
        assert other.get("a") == "2"
    assert kept(tmp_path, "a") == "2"


def test_what_is_written_into_a_damaged_store_is_kept_in_the_next_one(tmp_path: Path) -> None:
    keep(tmp_path, a="1")
    with opened(tmp_path) as memory:
        store(tmp_path).write_bytes(b"no database" * 999)
        with pytest.warns(UserWarning, match="is damaged"):
            memory.put("b", "2")
            assert memory.flush()
    assert kept(tmp_path, "b") == "2"


def test_a_store_that_cannot_be_made_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(tmp_path / "file") as memory:
        memory.put("a", "1")
        assert memory.get("a") == "1"
        memory.flush()
        assert memory.get("a") is None


@contextmanager
def locked(cache: Path, kind: str) -> Iterator[None]:
    other = sqlite3.connect(store(cache), isolation_level=None)
    other.execute(f"BEGIN {kind}")
    yield
    other.execute("COMMIT")
    other.close()


def test_a_locked_store_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, a="1")
    monkeypatch.setattr(database, "_WAIT", 0.4)
    said: list[str] = []
    with opened(tmp_path, tell=said.append) as memory, locked(tmp_path, "EXCLUSIVE"):
        since = time.monotonic()
        for number in range(9):
            assert memory.get(f"{number}") is None
            memory.put(f"{number}", "1")
            memory.flush()
            Remembered(store(tmp_path), tell=said.append).close()
        assert time.monotonic() - since < 3 * 0.4
    assert len(said) == 1 and "locked by another process; it is not used" in said[0]
    assert kept(tmp_path, "a") == "1"  # nothing of it is set aside


def test_a_store_that_another_process_writes_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, a="1")
    monkeypatch.setattr(database, "_WAIT", 0.4)
    said: list[str] = []
    with opened(tmp_path, tell=said.append) as memory, locked(tmp_path, "IMMEDIATE"):
        since = time.monotonic()
        for number in range(9):
            memory.put(f"{number}", "1")
            assert not memory.flush()
            assert memory.get("a") == "1"
        assert time.monotonic() - since < 3 * 0.4
    assert len(said) == 1 and "what is found out now is not kept" in said[0]
    assert kept(tmp_path, "0") is None


def test_the_oldest_facts_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 2)
    keep(tmp_path, a="1", b="2", c="3")
    assert [kept(tmp_path, key) for key in "abc"] == [None, "2", "3"]


def test_keys_hang_on_kind_facts_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    own = remembered.key_of("counts", {"a": 1, "b": [2]})
    assert own == remembered.key_of("counts", {"b": [2], "a": 1})
    others = [remembered.key_of("verdict", {"a": 1, "b": [2]}), remembered.key_of("counts", {})]
    monkeypatch.setattr(remembered, "version_of_code", lambda: "another")
    assert own not in [*others, remembered.key_of("counts", {"a": 1, "b": [2]})]


def test_the_version_covers_every_source_that_decides() -> None:
    package = remembered.version.PACKAGE
    files = set(remembered._sources(package))
    assert {package / "records" / "verify.py", package / "core" / "answers.py"} <= files

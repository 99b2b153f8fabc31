"""What was verified before: it saves time, and nothing that befalls its file changes an answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from promptbench.storage import remembered
from promptbench.storage.remembered import opened


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


@pytest.mark.parametrize(
    "harm",
    [cut, foreign, in_a_folder, rewritten, lambda path: path.write_bytes(b"no database" * 999)],
)
def test_a_damaged_or_foreign_store_is_as_none(
    tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    keep(tmp_path, a="1")
    harm(store(tmp_path))
    assert kept(tmp_path, "a") is None
    keep(tmp_path, a="1")  # and raises nothing


def test_a_store_that_cannot_be_made_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(tmp_path / "file") as memory:
        memory.put("a", "1")
        assert memory.get("a") == "1"
        memory.flush()
        assert memory.get("a") is None


def test_another_process_that_writes_costs_facts_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, a="1")
    monkeypatch.setattr(remembered, "_WAIT", 0.0)
    other = sqlite3.connect(store(tmp_path), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    keep(tmp_path, b="2")
    other.execute("COMMIT")
    other.close()
    assert (kept(tmp_path, "a"), kept(tmp_path, "b")) == ("1", None)


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

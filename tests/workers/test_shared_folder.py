"""A folder counts as shared once a token was read there and the answer arrived here."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.workers.handing_out import shared_folder
from promptbench.workers.handing_out.shared_folder import Token


def test_an_answer_is_read_where_the_token_was_written(tmp_path: Path) -> None:
    token = Token(tmp_path)
    assert not token.is_answered("a", patience=0)
    assert shared_folder.answer(tmp_path, token.text, "a")
    assert token.is_answered("a", patience=0) and not token.is_answered("b", patience=0)


def test_a_folder_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    here, there = Token(tmp_path / "here"), Token(tmp_path / "there")
    assert not shared_folder.answer(there.folder, here.text, "a", patience=0)
    assert not shared_folder.answer(tmp_path / "nowhere", here.text, "a", patience=0)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_cannot_be_written_there_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Token(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert not shared_folder.answer(tmp_path, token.text, "a", patience=0)


def test_an_answer_of_another_run_does_not_count(tmp_path: Path) -> None:
    old = Token(tmp_path)
    assert shared_folder.answer(tmp_path, old.text, "a")
    assert not Token(tmp_path).is_answered("a", patience=0)

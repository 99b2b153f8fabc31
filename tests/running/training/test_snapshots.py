"""Checkpoints of trainings that others have written: moved aside with a sentence, never a bomb."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from promptbench.running.training import snapshot
from promptbench.storage import integrity
from promptbench.support.progress import Reporter

WHOLE = {name: {} for name in snapshot._PARTS}


class Heard(Reporter):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def changed(change: Callable[[str, bytes], bytes]) -> bytes:
    """A whole checkpoint, its parts changed and compressed."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved({**WHOLE, "method": torch.zeros(9)}))) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return file.getvalue()


def large(name: str, data: bytes) -> bytes:
    return bytes(300 * 2**20) if name.endswith("data/0") else data


def numbering(name: str, data: bytes) -> bytes:
    return b"\x80\x02}r\xff\xff\xff\x0f." if name.endswith("data.pkl") else data


def test_a_whole_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(integrity.sealed(saved(WHOLE)))
    assert snapshot.read(tmp_path / "c.pt", Reporter()) == WHOLE
    assert snapshot.read(tmp_path / "none.pt", Reporter()) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: changed(large), "its compressed parts would unpack to 300 MiB"),
        (lambda: changed(numbering), "it numbers an object 268,435,455"),
        (lambda: saved([1]), "it is not a checkpoint of a training"),
        (lambda: saved({"progress": {}}), "it is not a checkpoint of a training"),
        (lambda: saved({**WHOLE, "method": Path("x")}), "Weights only load failed"),
        (lambda: b"no archive", "File is not a zip file"),
    ],
)
def test_what_no_training_has_written_is_moved_aside(
    content: Callable[[], bytes], why: str, tmp_path: Path
) -> None:
    (tmp_path / "c.pt").write_bytes(integrity.sealed(content()))
    heard = Heard()
    tracemalloc.start()
    try:
        assert snapshot.read(tmp_path / "c.pt", heard) is None
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    (text,) = heard.texts
    assert f"c.pt is damaged: {why}" in text and "moved to c.pt.damaged-1" in text
    assert "\n" not in text and not (tmp_path / "c.pt").exists()

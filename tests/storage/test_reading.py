"""Files of strangers: only regular ones are opened, up to a size; JSON means one thing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.support.safe_text import shown_path


def refused(path: Path, most: int = 10) -> str:
    with pytest.raises(UserError) as found:
        reading.read_bytes(path, most, "the list")
    said = str(found.value)
    assert said.startswith(f"cannot read the list {shown_path(path)}: ")
    return said.removeprefix(f"cannot read the list {shown_path(path)}: ")


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"0123456789")
    assert reading.read_bytes(path, 10, "the list") == b"0123456789"
    (tmp_path / "link").symlink_to(path)
    assert reading.read_bytes(tmp_path / "link", 10, "the list") == b"0123456789"
    assert refused(path, 9) == "it is larger than 9 bytes"
    with path.open("wb") as file:
        file.truncate(2**40)  # nothing of it is on the disk, nothing of it is read
    assert refused(path, 2**20) == "it is larger than 1 MiB"


def test_what_is_not_a_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "fifo-link").symlink_to(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refused(tmp_path / "fifo") == "it is a pipe (FIFO), not a file"
    assert refused(tmp_path / "fifo-link") == "it is a pipe (FIFO), not a file"
    assert refused(tmp_path / "zero") == "it is a device, not a file"
    assert refused(Path("/dev/zero")) == "it is a device, not a file"
    assert refused(tmp_path) == "it is a folder, not a file"
    assert refused(tmp_path / "nothing") == "No such file or directory"
    assert refused(tmp_path / "loop") == "Too many levels of symbolic links"
    assert refused(tmp_path / ("x" * 5000)) == "File name too long"
    assert refused(tmp_path / "a\0b") == "embedded null byte"


def test_a_file_that_became_a_fifo_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"")
    before = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda _: before)
    assert refused(path) == "it is a pipe (FIFO), not a file"


def test_a_file_without_a_size_is_read_up_to_the_limit() -> None:
    """As those of /proc are: their size is 0, whatever is in them."""
    if not Path("/proc/version").is_file():
        pytest.skip("no /proc")
    path = Path("/proc/version")
    assert refused(path) == "it is larger than 10 bytes"
    data = path.read_bytes()
    assert len(data) > 1
    assert reading.read_bytes(path, len(data), "the list") == data
    assert refused(path, len(data) - 1) == f"it is larger than {len(data) - 1} bytes"


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"0123")
    before = path.stat()
    data = bytes(range(256)) * 1000
    path.write_bytes(data)
    monkeypatch.setattr(os, "fstat", lambda _: before)
    assert reading.read_bytes(path, len(data), "the list") == data
    assert refused(path, len(data) - 1).startswith("it is larger than 255999 bytes")


def test_text_that_is_not_utf8_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"ab\xff")
    with pytest.raises(UserError, match=r"it is not UTF-8 text \(byte 2 is 0xff\)"):
        reading.read_text(path, 10, "the list")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": NaN}', "NaN is not a number of JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is not a number of JSON"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": ' + b"9" * 250 + b"}", r"the number 9+\.\.\.9+ \(250 characters\) is too large"),
        (b'{"a": -9223372036854775808}', "the number -9223372036854775808 is too large"),
        (b'{"a": "\xc3\xa9", "b": [1, 9223372036854775808]}', "the number 9223372036854775808 is"),
        (b'{"a": ' + b"1" * 10_000_000 + b"}", "10000000 characters"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice in an object"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        (b'{"a": "\xff"}', r"not UTF-8 text \(byte 7 is 0xff\)"),
        (b'{"a": 1', "Expecting"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_readers_understand_differently_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reading.parse_json(text)


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.text()
    | st.integers(-reading.LARGEST, reading.LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(_plain)
def test_what_was_written_is_read(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    assert reading.parse_json(text.encode()) == value


def test_toml_may_begin_as_some_editors_let_it() -> None:
    assert reading.parse_toml('\ufeffon = "slurm"\r\n') == {"on": "slurm"}

"""Reading what strangers may have written: regular files up to a size, JSON that means one thing.

A file's name says nothing of what it is: a device never ends, a FIFO never begins, and a few bytes
of JSON can stand for numbers and depths that no parser survives.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import string
import tomllib
from collections import Counter
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

from promptbench.errors import UserError
from promptbench.support.safe_text import shortened, shown_path

LARGEST = 2**63 - 1  # of whole numbers in JSON, as most of its readers have it
# Without so many digits in a row, of which most JSON has none, no whole number is too large.
_LONG = b"0" * len(str(LARGEST))
_TO_ZEROS = bytes(ord("0" if chr(byte) in string.digits else " ") for byte in range(256))
_FURTHER = 2**16  # bytes, read at a time beyond the size that a file says it has
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Unreadable(UserError):
    """A file or folder that this process may not read, or that cannot be read for another reason of
    its machine."""


def read_bytes(path: Path, most: int, what: str) -> bytes:
    """Read a regular file of at most `most` bytes, or the one that a symbolic link leads to.

    `what` names it in messages, such as "the record". Nothing else is opened: a FIFO or a device
    would block or never end.

    Raises:
        UserError: it is not there, cannot be read, is something else or larger; with its path.
    """
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            _refuse_unlistable(path)
        _refuse_other_kinds(state)
        with open(path, "rb", buffering=0, opener=_without_waiting) as file:
            state = os.fstat(file.fileno())
            _refuse_other_kinds(state)  # another may have taken its place
            data = _read(file, state.st_size, most)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {what} {shown_path(path)}: {reason}") from error
    return data


def refuse_other_kinds(path: Path, what: str) -> None:
    """Refuse what is not a regular file, without opening it, for readers that open it themselves.

    Raises:
        UserError: it is not there or is something else; with its path.
    """
    try:
        _refuse_other_kinds(path.stat())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {what} {shown_path(path)}: {reason}") from error


def is_file(path: Path, what: str) -> bool:
    """Whether a regular file, or a link to one, lies at a path.

    Raises:
        Unreadable: that cannot be seen, such as in a folder without permission; with its path.
        OSError: a name that is too long.
    """
    state = _state(path, what)
    return state is not None and stat.S_ISREG(state.st_mode)


def exists(path: Path) -> bool:
    """Whether anything lies at a path, or where a link there leads to.

    Raises:
        Unreadable, OSError: as `is_file`.
    """
    return _state(path, "what lies at") is not None


def _state(path: Path, what: str) -> os.stat_result | None:
    """What a path leads to; None without anything."""
    try:
        return path.stat()
    except ValueError:  # a NUL
        return None
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        if error.errno == errno.ENAMETOOLONG:  # a command says so of any name, shortened
            raise
        raise unreadable(path, what, error) from error


def unreadable(path: object, what: str, error: OSError) -> Unreadable:
    """The error for what is there and cannot be read; `what` names it in messages."""
    return Unreadable(f"cannot read {what} {shown_path(path)}: {error.strerror or error}")


def read_text(path: Path, most: int, what: str) -> str:
    """Read a regular file of UTF-8 text, as `read_bytes`.

    Raises:
        UserError: as `read_bytes`, or other text.
    """
    try:
        return read_bytes(path, most, what).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {what} {shown_path(path)}: {_not_text(error)}") from error


def parse_json(data: bytes) -> Any:
    """Parse JSON that every reader understands in the same way.

    Raises:
        ValueError: text that is not UTF-8 or begins with a byte order mark, a key that occurs twice
            in an object, numbers that are not finite or beyond 64 bits, nesting too deep to parse.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(_not_text(error)) from error
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark; save it as UTF-8 without one")
    try:
        return json.loads(
            text,
            object_pairs_hook=_each_key_once,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole if _LONG in data.translate(_TO_ZEROS) else None,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: not TOML, a number of thousands of digits, nesting too deep to parse.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))  # some editors begin with it
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _refuse_other_kinds(state: os.stat_result) -> None:
    kind = stat.S_IFMT(state.st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"it is {_KINDS.get(kind, 'something else')}, not a file")


def _refuse_unlistable(folder: Path) -> None:
    """Say of a folder that nobody can see what is in it, if that is so."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise ValueError(f"it is a folder that cannot be read ({error.strerror})") from error


def _read(file: FileIO, size: int, most: int) -> bytes:
    """Read a file that had this size to its end, wherever that is now."""
    parts: list[bytes] = []
    there = size
    while there <= most and (part := file.read(size + 1 if not parts else _FURTHER)):
        parts.append(part)
        there = sum(map(len, parts))
    if there > most:
        raise ValueError(f"it is larger than {_size(most)}")
    return b"".join(parts)


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; one that turns out to be a FIFO does not wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _size(count: int) -> str:
    return f"{count // 2**20} MiB" if count >= 2**20 else f"{count} bytes"


def _not_text(error: UnicodeDecodeError) -> str:
    return f"it is not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x})"


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {shortened(twice)!r} occurs twice in an object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shortened(text, 24)} is too large")
    return value


def _whole(text: str) -> int:
    # Digits are counted first: converting millions of them takes minutes.
    if len(text) > len(str(LARGEST)) + 1 or abs(value := int(text)) > LARGEST:
        raise ValueError(f"the number {shortened(text, 24)} is too large")
    return value

"""Whether another machine sees an output folder: tried out with a token, not assumed.

Here a token is written, there it is read and answered, and the answer must arrive here.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path

from promptbench.storage.files import write_whole

_TOKEN, _ANSWERS = "token", "answers"
_PATIENCE = 10.0  # seconds until network file systems show a new file


class Token:
    """A token in a folder, for machines that may or may not see it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.text = folder, secrets.token_hex(16)
        write_whole(folder / _TOKEN, self.text.encode())

    def is_answered(self, name: str, patience: float = _PATIENCE) -> bool:
        """Whether the answer of that name is here, or comes in time."""
        path, limit = self.folder / _ANSWERS / name, time.monotonic() + patience
        while not _holds(path, _answer(self.text, name)):
            if time.monotonic() > limit:
                return False
            time.sleep(0.2)
        return True


def answer(folder: Path, text: str, name: str, patience: float = 2.0) -> bool:
    """Answer a token under a name of one's own, if it can be read here and the folder written."""
    limit = time.monotonic() + patience
    while not _holds(folder / _TOKEN, text):
        if time.monotonic() > limit:
            return False
        time.sleep(0.2)
    try:
        (folder / _ANSWERS).mkdir(exist_ok=True)  # not its parents: the folder is there or not
        (folder / _ANSWERS / name).write_text(_answer(text, name), encoding="utf-8")
    except OSError:
        return False
    return True


def _answer(text: str, name: str) -> str:
    return hashlib.sha256(f"{text} {name}".encode()).hexdigest()


def _holds(path: Path, text: str) -> bool:
    try:
        list(path.parent.iterdir())  # network file systems look again
        return path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        return False

"""Standard output and error as they are found: in an encoding that lacks characters, or with a
reader that has gone away.

What an encoding lacks is spelled otherwise, so that output degrades and nothing ends because of it.
Documents, which are made to be saved, are UTF-8 wherever they do not go to a terminal.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from promptbench.support.progress import Reporter, Task
from promptbench.support.safe_text import plain

_NAME = "promptbench.spelled"
_MANY = 500  # records, of which fewer take no time worth a bar


@contextmanager
def ready() -> Iterator[None]:
    """Run a block with both streams taking any text; what it has written is then on its way."""
    codecs.register_error(_NAME, _spell)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # replaced streams, such as a notebook's, need not have
            stream.reconfigure(errors=_NAME)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)


def _flush(stream: Any) -> None:
    """Write what is still to be written; a reader that has gone away is not an error."""
    try:
        if stream is not None:
            stream.flush()
    except BrokenPipeError:
        forget(stream)


def forget(stream: Any) -> None:
    """Let nothing more be written to a stream: the interpreter would try again at its end."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def document(text: str) -> None:
    """Print a document; to a file or a pipe as UTF-8, whatever the locale's encoding."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None or sys.stdout.isatty():
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    binary.write(text.encode(errors="replace"))
    binary.flush()


def shown(form: str, text: str) -> None:
    """Print what the report format `form` has made: a document, or lines for a terminal."""
    from promptbench.core.registry import FORMATS

    if FORMATS.load(form).cls.suffix:
        document(text)
    else:
        sys.stdout.write(text)


def progress() -> Reporter:
    """Show how far work on many records is, at the foot of a terminal on stderr; elsewhere only
    what is worth a line."""
    return _OfMany() if sys.stderr.isatty() else _Notes()


class _Notes(Reporter):
    def message(self, text: str) -> None:
        sys.stderr.write(f"note: {text}\n")


class _OfMany(_Notes):
    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        if total < _MANY:
            yield Task()
            return
        from rich.console import Console
        from rich.progress import Progress

        bars = Progress(console=Console(stderr=True), transient=True, refresh_per_second=4)
        with bars:
            yield _Bar(bars, bars.add_task(f"{label} {total:,} {unit}", total=total))


class _Bar(Task):
    def __init__(self, bars: Any, number: Any) -> None:
        self._bars, self._number = bars, number

    def advance(self, count: int = 1, note: str = "") -> None:
        self._bars.advance(self._number, count)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end

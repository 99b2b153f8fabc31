"""One download of a web server's file, which may be slow, endless, elsewhere or a liar.

Nothing is written beyond what is expected, a server that redirects to another place is refused
unless the user allows that place, and one that only drips is given up.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from promptbench.data.web.connecting import SLOW, Answer, BrokenOff, answer_of
from promptbench.data.web.redirects import RefusedDownload, Within
from promptbench.errors import UserError
from promptbench.storage.files import write_atomically
from promptbench.support.progress import Reporter, Task

LARGEST = 16 * 2**30  # bytes of one file
UNANNOUNCED = 64 * 2**20  # bytes of a file whose size neither the server nor an index says
BLOCK = 1 << 20
_FEW_BLOCKS = 2**14  # beyond which they have SMALLEST bytes each: a chunk of one byte may come in
_SMALLEST = 64  # 64 KiB, which no bound counts
_MOST_DIGITS = 15  # of a Content-Length


class NotThere(UserError):
    """The server has no such file."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand: its hash and size in bytes, or only a bound."""

    sha256: str | None = None
    size: int | None = None
    at_most: int = LARGEST


def download(url: str, path: Path, expected: Expected, listener: Reporter) -> None:
    """Fetch a file and put it at `path` when it is complete and as expected.

    Raises:
        BrokenOff, OSError, http.client.HTTPException: it did not work this time.
        RefusedDownload: a redirect to another place, an absurd length, more bytes than the bound.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "promptbench"})
    with answer_of(request, Within()) as answer:
        response = answer.response
        if response.status != http.HTTPStatus.OK:  # such as a part that nobody has asked for
            raise BrokenOff(f"the server answers HTTP {response.status}, not with the whole file")
        announced = announced_length(url, response.headers.get_all("Content-Length", []))
        bound = _bound(url, expected, announced)
        total = round((announced or expected.size or 0) / BLOCK)
        with listener.task(f"fetch {url.rpartition('/')[2]}", total, "MiB") as task:
            body = _Body(answer, task, announced, bound)
            write_atomically(path, partial(body.receive, url, expected))


def announced_length(url: str, lengths: list[str]) -> int | None:
    """The bytes that a server announces, None if it does not say.

    Raises:
        RefusedDownload: several lengths that differ, or one that is not a number of bytes.
    """
    said = {part.strip() for length in lengths for part in length.split(",")}
    if not said:
        return None
    length = said.pop()
    if said or not (length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS):
        what = ", ".join(lengths)
        raise RefusedDownload(
            f"{url}: the server announces a length that cannot be (Content-Length: "
            f"{what[:40]}{'...' if len(what) > 40 else ''}); it is not set up well"
        )
    return int(length)


def _bound(url: str, expected: Expected, announced: int | None) -> int:
    """The bytes that may come."""
    if expected.size is not None:
        if announced not in (None, expected.size):
            raise BrokenOff(
                f"the server has a file of {announced} bytes, its index says {expected.size}"
            )
        return expected.size
    if announced is not None and announced > expected.at_most:
        raise _too_large(url, expected.at_most)
    return expected.at_most if announced is not None else min(expected.at_most, UNANNOUNCED)


def _too_large(url: str, bound: int) -> RefusedDownload:
    why = (
        "the server does not say how large it is; fetch it with another program and pass its folder"
        if bound == UNANNOUNCED
        else "is this the right address?"
    )
    return RefusedDownload(
        f"{url} is larger than the {size_said(bound)} that such a file may have; {why}"
    )


def size_said(count: int) -> str:
    for unit, bytes_each in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= bytes_each:
            return f"{count / bytes_each:.4g} {unit}"
    return f"{count} bytes"


@dataclass(frozen=True)
class _Body:
    """The bytes of a response on their way to a file, of which at most `bound` may come."""

    answer: Answer
    task: Task
    announced: int | None
    bound: int

    def receive(self, url: str, expected: Expected, file: IO[bytes]) -> None:
        digest, received, blocks = hashlib.sha256(), 0, 0
        while block := self.answer.block(BLOCK):
            received, blocks = received + len(block), blocks + 1
            if blocks > _FEW_BLOCKS and received < blocks * _SMALLEST:
                raise RefusedDownload(
                    f"{url} comes in parts of a few bytes, which no server needs to do"
                )
            if received > self.bound and expected.size is not None:
                raise BrokenOff(
                    f"the server sends more than the {expected.size} bytes of its index"
                )
            if received > self.bound:
                raise _too_large(url, self.bound)
            digest.update(block)
            file.write(block)
            self.task.advance(received // BLOCK - (received - len(block)) // BLOCK)
        whole = expected.size if expected.size is not None else self.announced
        if self.answer.was_slow:
            raise BrokenOff(SLOW)
        if whole not in (None, received):
            raise BrokenOff(f"the server stopped after {received} of {whole} bytes")
        if expected.sha256 is not None and digest.hexdigest() != expected.sha256:
            raise BrokenOff(
                f"the server sent other bytes than its index says (sha256 {expected.sha256[:12]}"
                "...)"
            )

"""Files of a web server, cached on disk: complete or not at all, with retries and limits."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from promptbench.data.places import cache_folder
from promptbench.errors import RunError, UserError
from promptbench.progress import Reporter, Task
from promptbench.storage.files import write_atomically

TRIES = 3
PAUSE = 1.0  # seconds before the second try, then twice as long each time
TIMEOUT = 30.0  # seconds without a byte
LARGEST = 16 * 2**30  # bytes of one file
_BLOCK = 1 << 20


class _Stopped(Exception):
    """The server sent less than it said, or something else than expected."""


class Unreachable(RunError):
    """The server cannot be reached, or breaks off every time."""


class NotThere(UserError):
    """The server has no such file."""


def is_url(location: str) -> bool:
    """Whether a location is on a web server."""
    return location.startswith(("http://", "https://"))


def cached_path(base: str, name: str) -> Path:
    """Where a file of a served folder is cached."""
    digest = hashlib.sha256(base.rstrip("/").encode()).hexdigest()[:16]
    return cache_folder() / "remote" / digest / name


def fetch(
    base: str, name: str, listener: Reporter, sha256: str | None = None, refresh: bool = False
) -> Path:
    """A file of a served folder, from the cache or else from the server.

    A download that stops in the middle is tried again from its beginning, `TRIES` times.

    Raises:
        NotThere: the server has no such file.
        Unreachable: the server cannot be reached, stops in the middle every time, or sends bytes
            that do not have the hash `sha256`.
        UserError: it sends more than `LARGEST` bytes.
    """
    path = cached_path(base, name)
    if path.is_file() and not refresh and _is_right(path, sha256):
        return path
    url = f"{base.rstrip('/')}/{urllib.parse.quote(name)}"
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            listener.message(f"{url}: {problem}; trying again")
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            _download(url, path, sha256, listener)
            return path
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise NotThere(f"{url} does not exist (HTTP {error.code})") from error
            problem = f"HTTP {error.code} {error.reason}"
        except (_Stopped, http.client.HTTPException, OSError) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
    raise Unreachable(
        f"{url} cannot be fetched: {problem} ({TRIES} tries); files that are complete stay cached, "
        "so run the same command again when the server is well"
    )


def _download(url: str, path: Path, sha256: str | None, listener: Reporter) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "promptbench"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        announced = _announced(response.headers.get("Content-Length", ""))
        _refuse_huge(url, announced)
        total = round(max(announced, 0) / _BLOCK)
        with listener.task(f"fetch {url.rpartition('/')[2]}", total, "MiB") as task:
            write_atomically(path, lambda file: _receive(response, file, announced, sha256, task))


def _announced(length: str) -> int:
    """The bytes that a server announces, -1 if it does not say."""
    return int(length) if length.isascii() and length.isdigit() else -1


def _receive(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    announced: int,
    sha256: str | None,
    task: Task,
) -> None:
    digest, received = hashlib.sha256(), 0
    while block := _read(response):
        received += len(block)
        _refuse_huge(response.url, received)
        digest.update(block)
        file.write(block)
        task.advance()
    if announced not in (-1, received):
        raise _Stopped(f"the server stopped after {received} of {announced} bytes")
    if sha256 is not None and digest.hexdigest() != sha256:
        raise _Stopped(f"the server sent other bytes than its index says (sha256 {sha256[:12]}...)")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:  # not the disk's errors: the network's
        raise _Stopped(f"the connection broke ({error})") from error


def _refuse_huge(url: str, count: int) -> None:
    if count > LARGEST:
        raise UserError(f"{url} is larger than {LARGEST / 2**30:.0f} GiB; refused")


_checked: set[tuple[Path, str]] = set()  # files whose hash this process has computed


def _is_right(path: Path, sha256: str | None) -> bool:
    if sha256 is None or (path, sha256) in _checked:
        return True
    with path.open("rb") as file:
        right = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    if right:
        _checked.add((path, sha256))
    return right

"""Files of a web server, cached on disk: complete or not at all, with retries."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.parse
from pathlib import Path

from promptbench.data.cards.places import cache_folder
from promptbench.data.shards.hashes import remembered
from promptbench.data.web.connecting import BrokenOff
from promptbench.data.web.downloading import Expected as Expected  # part of this interface
from promptbench.data.web.downloading import NotThere as NotThere
from promptbench.data.web.downloading import download
from promptbench.data.web.redirects import RefusedDownload as RefusedDownload
from promptbench.errors import RunError
from promptbench.storage import leases, reading
from promptbench.storage.files import sweep
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable, shortened

TRIES = 3
PAUSE = 1.0  # seconds before the second try, then twice as long each time
_MOST_SAID = 200  # characters of what a server says, which may be anything
_ANYTHING = Expected()


class Unreachable(RunError):
    """The server cannot be reached, or breaks off every time."""


def is_url(location: str) -> bool:
    """Whether a location is on a web server."""
    return location.startswith(("http://", "https://"))


def cached_path(base: str, name: str) -> Path:
    """Where a file of a served folder is cached."""
    return cache_folder() / "remote" / _digest(base.rstrip("/")) / name


def fetch(
    base: str,
    name: str,
    listener: Reporter,
    expected: Expected = _ANYTHING,
    refresh: bool = False,
) -> Path:
    """A file of a served folder, from the cache if it is right there, else from the server.

    A download that stops in the middle is tried again from its beginning, `TRIES` times. One
    process fetches a file, others wait for it; what a killed one has left is removed.

    Raises:
        NotThere: the server has no such file.
        Refused: it sends more than is expected, or redirects to another place.
        Unreachable: the server cannot be reached, stops in the middle every time, or sends bytes
            that are not those that are expected.
    """
    path = cached_path(base, name)
    if not refresh and _is_right(path, expected):
        return path
    url = f"{base.rstrip('/')}/{urllib.parse.quote(name)}"
    lease = leases.place(cache_folder() / "remote", "file", _digest(url))
    with leases.held(lease):
        if refresh or not _is_right(path, expected):
            sweep(path.parent, name=path.name)
            _fetch(url, path, expected, listener)
    return path


def _fetch(url: str, path: Path, expected: Expected, listener: Reporter) -> None:
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            listener.message(f"{url}: {problem}; trying again")
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            download(url, path, expected, listener)
            return
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise NotThere(f"{url} does not exist (HTTP {error.code})") from error
            problem = f"HTTP {error.code} {error.reason}"
        except (BrokenOff, http.client.HTTPException, OSError, UnicodeError) as error:
            problem = str(getattr(error, "reason", "") or error) or type(error).__name__
        problem = printable(shortened(problem, _MOST_SAID))
    raise Unreachable(
        f"{url} cannot be fetched: {problem} ({TRIES} tries); files that are complete stay cached, "
        "so run the same command again when the server is well"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_right(path: Path, expected: Expected) -> bool:
    """Whether a file is cached, with the size and the hash that are expected.

    Raises:
        UserError: it is there and cannot be read.
    """
    if not reading.is_file(path, "the cached file"):
        return False
    try:
        if expected.size is not None and path.stat().st_size != expected.size:
            return False
        return expected.sha256 is None or remembered(path) == expected.sha256
    except OSError as error:
        raise reading.unreadable(path, "the cached file", error) from error

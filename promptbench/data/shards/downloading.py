"""One download of a web server's file, which may be slow, endless, elsewhere or a liar.

Nothing is written beyond what is expected, a server that redirects to another place is refused
unless the user allows that place, and one that only drips is given up.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from promptbench.errors import RunError, UserError
from promptbench.storage.files import write_atomically
from promptbench.support.progress import Reporter, Task

TIMEOUT = 30.0  # seconds without a byte
WINDOW = 60.0  # seconds in which at least SLOWEST bytes a second must come
SLOWEST = 1024
LARGEST = 16 * 2**30  # bytes of one file
UNANNOUNCED = 64 * 2**20  # bytes of a file whose size neither the server nor an index says
_BLOCK = 1 << 20
_FEW_BLOCKS = 2**14  # beyond which they have SMALLEST bytes each: a chunk of one byte may come in
_SMALLEST = 64  # 64 KiB, which no bound counts
_MOST_DIGITS = 15  # of a Content-Length
_ALLOW = "PROMPTBENCH_REDIRECTS"
_PORTS = {"http": 80, "https": 443}


class BrokenOff(Exception):
    """The server sent less than it said, or something else than expected; worth another try."""


class RefusedDownload(RunError):
    """What a server does and must not; asking again would not help."""


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
        Stopped, OSError, http.client.HTTPException: it did not work this time.
        Refused: a redirect to another place, an absurd length, more bytes than the bound.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "promptbench"})
    with _watched() as watch:
        opener = urllib.request.build_opener(_Redirects, _Http(watch), _Https(watch))
        with opener.open(request, timeout=TIMEOUT) as response:
            if response.status != http.HTTPStatus.OK:  # such as a part that nobody has asked for
                raise BrokenOff(
                    f"the server answers HTTP {response.status}, not with the whole file"
                )
            announced = _announced(url, response.headers.get_all("Content-Length", []))
            bound = _bound(url, expected, announced)
            total = round((announced or expected.size or 0) / _BLOCK)
            with listener.task(f"fetch {url.rpartition('/')[2]}", total, "MiB") as task:
                body = _Body(response, watch, task, announced, bound)
                write_atomically(path, partial(body.receive, url, expected))


def _announced(url: str, lengths: list[str]) -> int | None:
    """The bytes that a server announces, None if it does not say.

    Raises:
        Refused: several lengths that differ, or one that is not a number of bytes.
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
        f"{url} is larger than the {_size(bound)} that such a file may have; {why}"
    )


def _size(count: int) -> str:
    for unit, bytes_each in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= bytes_each:
            return f"{count / bytes_each:.4g} {unit}"
    return f"{count} bytes"


@dataclass(frozen=True)
class _Body:
    """The bytes of a response on their way to a file, of which at most `bound` may come."""

    response: http.client.HTTPResponse
    watch: _Watch
    task: Task
    announced: int | None
    bound: int

    def receive(self, url: str, expected: Expected, file: IO[bytes]) -> None:
        digest, received, blocks = hashlib.sha256(), 0, 0
        while block := self._read():
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
            self.task.advance(received // _BLOCK - (received - len(block)) // _BLOCK)
        whole = expected.size if expected.size is not None else self.announced
        if self.watch.was_slow:
            raise BrokenOff(_SLOW)
        if whole not in (None, received):
            raise BrokenOff(f"the server stopped after {received} of {whole} bytes")
        if expected.sha256 is not None and digest.hexdigest() != expected.sha256:
            raise BrokenOff(
                f"the server sent other bytes than its index says (sha256 {expected.sha256[:12]}"
                "...)"
            )

    def _read(self) -> bytes:
        try:
            block = self.response.read1(_BLOCK)
        except (OSError, ValueError, http.client.HTTPException) as error:  # the network's, not the
            # disk's; a socket that the watch has closed raises ValueError
            why = _SLOW if self.watch.was_slow else f"the connection broke ({error})"
            raise BrokenOff(why) from error
        self.watch.count += len(block)
        return block


# --- servers that only drip ---------------------------------------------------------------------

_SLOW = f"the server sent less than {SLOWEST} bytes a second"


class _Watch:
    """Ends a connection through which less than SLOWEST bytes a second came in a window; timeouts
    are not enough, since every byte begins them again."""

    def __init__(self) -> None:
        self.count, self.was_slow = 0, False
        self._socket: socket.socket | None = None
        self._over = threading.Event()

    def holds(self, connected: socket.socket) -> None:
        self._socket = connected

    def end(self) -> None:
        self._over.set()

    def run(self) -> None:
        before = 0
        while not self._over.wait(WINDOW):
            if self.count - before < SLOWEST * WINDOW:
                self.was_slow = True
                if self._socket is not None:
                    with contextlib.suppress(OSError):  # it has just ended by itself
                        # not SSLSocket's own, which takes the session from under its reader
                        socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                return
            before = self.count


@contextlib.contextmanager
def _watched() -> Iterator[_Watch]:
    watch = _Watch()
    threading.Thread(target=watch.run, daemon=True, name="download-watch").start()
    try:
        yield watch
    except (OSError, http.client.HTTPException) as error:
        if watch.was_slow and not isinstance(error, urllib.error.HTTPError):
            raise BrokenOff(_SLOW) from error
        raise
    finally:
        watch.end()


def _connection(watch: _Watch, kind: type[http.client.HTTPConnection]) -> Callable[..., Any]:
    class Connection(kind):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            super().connect()
            watch.holds(self.sock)

    return Connection


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connection(self._watch, http.client.HTTPConnection), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connection(self._watch, http.client.HTTPSConnection), req)


# --- redirects ----------------------------------------------------------------------------------


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects inside the place that the user has named, and to those allowed by name."""

    def http_error_302(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any
    ) -> Any:
        fp.close()  # urllib reads what comes with a redirect to its end, which it may lack
        place = headers.get("Location") or ""
        try:
            scheme = urllib.parse.urlsplit(urllib.parse.urljoin(req.full_url, place)).scheme
        except ValueError as error:
            raise RefusedDownload(
                f"{req.full_url} redirects to {place[:200]!r}: {error}"
            ) from error
        if scheme not in _PORTS:
            raise RefusedDownload(
                f"{req.full_url} redirects to {place[:200]}; only http and https are followed"
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            elsewhere = _origin(newurl) != _origin(req.full_url) and not _is_allowed(newurl)
        except ValueError as error:
            raise RefusedDownload(
                f"{req.full_url} redirects to {newurl[:200]!r}: {error}"
            ) from error
        if elsewhere:
            netloc = urllib.parse.urlsplit(newurl).netloc
            raise RefusedDownload(
                f"{req.full_url} redirects to another place, {newurl[:200]}; if that is meant, use "
                f"that address, or allow the place: {_ALLOW}={netloc[:200]}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _is_allowed(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    allowed = {place.strip() for place in os.environ.get(_ALLOW, "").split(",")}
    return parts.scheme in _PORTS and bool({"any", parts.netloc} & allowed)

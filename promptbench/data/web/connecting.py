"""Connections to web servers that may be slow or elsewhere.

A server that only drips is given up. Proxies are those of the usual environment variables
(`http_proxy`, `https_proxy`, `no_proxy`), which urllib reads.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

TIMEOUT = 30.0  # seconds without a byte
WINDOW = 60.0  # seconds in which at least SLOWEST bytes a second must come
SLOWEST = 1024


class BrokenOff(Exception):
    """The server sent less than it said, or something else than expected; worth another try."""


SLOW = f"the server sent less than {SLOWEST} bytes a second"


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


def proxy_of(url: str) -> str:
    """The proxy through which an address is reached, with the variable that names it and without
    its password; empty where there is none."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return ""
    return f"{proxy.rpartition('@')[2]} ({parts.scheme}_proxy)"


@contextlib.contextmanager
def answer_of(
    request: urllib.request.Request, redirects: urllib.request.HTTPRedirectHandler
) -> Iterator[Answer]:
    """A server's answer, open inside the block.

    Raises:
        BrokenOff: it drips.
        OSError, http.client.HTTPException: it cannot be reached, or answers with an error.
    """
    watch = _Watch()
    threading.Thread(target=watch.run, daemon=True, name="download-watch").start()
    try:
        opener = urllib.request.build_opener(redirects, _Http(watch), _Https(watch))
        with opener.open(request, timeout=TIMEOUT) as response:
            yield Answer(response, watch)
    except (OSError, http.client.HTTPException) as error:
        if watch.was_slow and not isinstance(error, urllib.error.HTTPError):
            raise BrokenOff(SLOW) from error
        raise
    finally:
        watch.end()


@dataclass(frozen=True)
class Answer:
    """A response that is read block by block."""

    response: http.client.HTTPResponse
    watch: _Watch

    @property
    def was_slow(self) -> bool:
        """Whether it was ended since it dripped."""
        return self.watch.was_slow

    def block(self, most: int) -> bytes:
        """Up to `most` bytes as they come; none at the end.

        Raises:
            BrokenOff: the connection broke, or drips.
        """
        try:
            block = self.response.read1(most)
        except (OSError, ValueError, http.client.HTTPException) as error:  # the network's, not the
            # disk's; a socket that the watch has closed raises ValueError
            why = SLOW if self.was_slow else f"the connection broke ({error})"
            raise BrokenOff(why) from error
        self.watch.count += len(block)
        return block


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

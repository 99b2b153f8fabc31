"""A server of files that knows ranges, tags and dates, and can be told to behave badly."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from promptbench.data.fetching import obtaining

Special = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with `files`, or as `special` says of a path."""

    protocol_version = "HTTP/1.0"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        with contextlib.suppress(OSError):  # the other side has had enough
            special = self.server.special.get(self.path)
            if special is not None:
                special(self)
            elif self.path in self.server.files:
                self.whole_or_part(self.server.files[self.path])
            else:
                self.send_error(404)

    def whole_or_part(self, data: bytes, stop: int | None = None, tag: str | None = None) -> None:
        """Send what is asked for, with a strong tag; only `stop` bytes of it, if that is given."""
        tag = tag or f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        if self.headers.get("If-Range", tag) != tag:
            start = 0
        if wanted and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(data[start:][:stop])

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """`asked` lists paths and headers; specials that are called once answer normally again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.special: dict[str, Special] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def once(self, path: str, special: Special) -> None:
        """Answer the next request for a path in a special way."""

        def first(handler: Handler) -> None:
            del self.special[path]
            special(handler)

        self.special[path] = first

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine; nothing waits between tries, and no proxy stands between."""
    monkeypatch.setattr(obtaining, "PAUSE", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv(obtaining.OFFLINE, raising=False)
    running = Server()
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def tar_of(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar of files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip of files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return out.getvalue()

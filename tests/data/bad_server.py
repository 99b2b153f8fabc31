"""A server that sends whatever bytes a test wants, and a cache of its own for each test."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptbench.data.shards import remote

MIB = 2**20
Answer = Callable[["Raw"], None]


class Raw:
    """Answers each path with whatever bytes a function sends; `sent` counts them, `asked` lists."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.sent, self.asked = 0, list[str]()
        state = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                path = self.rfile.readline().split()[1].decode().lstrip("/")
                while self.rfile.readline().strip():
                    pass
                state.asked.append(path)
                state.write = self.wfile.write
                with contextlib.suppress(OSError):  # the other side has had enough
                    state.answers[path](state)

        self.tcp = socketserver.TCPServer(("127.0.0.1", 0), Handler)  # one request after another
        self.url = f"http://127.0.0.1:{self.tcp.server_address[1]}"
        self.write: Callable[[bytes], int]
        threading.Thread(target=self.tcp.serve_forever, args=(0.01,), daemon=True).start()

    def send(self, data: bytes) -> None:
        self.write(data)
        self.sent += len(data)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode()


def sends(data: bytes, *lines: str, status: str = "200 OK") -> Answer:
    return lambda raw: raw.send(head(*lines, status=status) + data)


def endless(*lines: str, status: str = "200 OK") -> Answer:
    """Up to 200 MiB of zeros, far more than any bound below."""

    def answer(raw: Raw) -> None:
        raw.send(head(*lines, status=status))
        for _ in range(200):
            raw.send(bytes(MIB))

    return answer


@pytest.fixture
def raw() -> Iterator[Raw]:
    running = Raw()
    yield running
    running.tcp.shutdown()
    running.tcp.server_close()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    for name in ("PROMPTBENCH_CACHE", "PROMPTBENCH_CARDS", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path / "promptbench_cache"


def left(cache: Path) -> list[str]:
    """The files of the cache, but for locks."""
    found = [path for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts]
    return [path.name for path in found]

"""Downloads that break and go on: the same bytes in the end, as few of them as can be."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promptbench.data.web import resuming
from promptbench.errors import OutputError, UserError
from tests.data.file_server import Handler, Server, server
from tests.data.test_fetch import NOISE, below, fetched, noise

__all__ = ["server"]  # a fixture

TAG = '"one"'


def ranges(server: Server) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.asked]


def breaks(stop: int, data: bytes = NOISE) -> object:
    return lambda handler: handler.whole_or_part(data, stop)


def test_a_broken_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.files = {"/x": NOISE}
    server.once("/x", breaks(100_000))  # type: ignore[arg-type]
    said = fetched(tmp_path, noise(f"{server.url}/x", data=None)).lines
    assert said[0] == "noise.bin: the server stopped after 100000 of 300000 bytes; trying again"
    assert ranges(server) == [None, "bytes=100000-"]
    assert "If-Range" in server.asked[1][1]
    assert (tmp_path / "toy/noise.bin").read_bytes() == NOISE
    assert below(tmp_path) == ["toy/noise.bin"]  # no part, no note


def test_a_file_that_changed_meanwhile_comes_whole(server: Server, tmp_path: Path) -> None:
    other = bytes(NOISE[::-1])
    server.files = {"/x": other}
    server.once("/x", breaks(100_000))  # type: ignore[arg-type]
    fetched(tmp_path, noise(f"{server.url}/x", data=None))
    assert (tmp_path / "toy/noise.bin").read_bytes() == other


def test_another_address_goes_on_where_a_checksum_will_tell(server: Server, tmp_path: Path) -> None:
    server.special = {"/a": lambda h: h.whole_or_part(NOISE, 100_000) if "Range" not in h.headers
                      else h.send_error(404)}  # fmt: skip
    server.files = {"/b": NOISE}
    fetched(tmp_path, noise(f"{server.url}/a", f"{server.url}/b"))
    assert ranges(server) == [None, "bytes=100000-", "bytes=100000-"]
    assert "If-Range" not in server.asked[2][1]
    assert (tmp_path / "toy/noise.bin").read_bytes() == NOISE


def test_another_address_begins_again_where_nothing_would_tell(
    server: Server, tmp_path: Path
) -> None:
    other = bytes(NOISE[::-1])
    server.special = {"/a": lambda h: h.whole_or_part(NOISE, 100_000) if "Range" not in h.headers
                      else h.send_error(404)}  # fmt: skip
    server.files = {"/b": other}
    fetched(tmp_path, noise(f"{server.url}/a", f"{server.url}/b", data=None))
    assert ranges(server) == [None, "bytes=100000-", None]
    assert (tmp_path / "toy/noise.bin").read_bytes() == other


def test_pieces_that_do_not_fit_are_fetched_again_in_one(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "downloads/toy/noise.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(1000))  # of who knows what
    server.files = {"/x": NOISE}
    said = fetched(tmp_path, noise(f"{server.url}/x")).lines
    assert said == ["noise.bin: its pieces do not fit together; from its beginning"]
    assert ranges(server) == ["bytes=1000-", None] and below(tmp_path) == ["toy/noise.bin"]


@pytest.mark.parametrize("have", [300_000, 300_001])
def test_a_part_that_is_whole_or_more(have: int, server: Server, tmp_path: Path) -> None:
    part = tmp_path / "downloads/toy/noise.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((NOISE + b"x")[:have])
    server.files = {"/x": NOISE}
    fetched(tmp_path, noise(f"{server.url}/x"))
    assert ranges(server) == ([] if have == 300_000 else [None])  # killed before the rename
    assert (tmp_path / "toy/noise.bin").read_bytes() == NOISE


@pytest.mark.parametrize("have", [300_000, 300_500])
def test_a_server_that_has_no_more_says_whether_that_was_all(
    have: int, server: Server, tmp_path: Path
) -> None:
    url = f"{server.url}/x"
    folder = tmp_path / "downloads/toy"
    folder.mkdir(parents=True)
    (folder / "noise.bin.part").write_bytes((NOISE + bytes(500))[:have])
    note = {"url": url, "version": TAG, "pieces": 1}
    (folder / "noise.bin.part.json").write_text(json.dumps(note))
    server.special = {"/x": lambda handler: handler.whole_or_part(NOISE, tag=TAG)}
    fetched(tmp_path, noise(url, data=None))
    assert ranges(server) == ([f"bytes={have}-"] if have == 300_000 else [f"bytes={have}-", None])
    assert (tmp_path / "toy/noise.bin").read_bytes() == NOISE


@pytest.mark.parametrize("start", ["bytes 5-9/10", "nonsense", "bytes 100000-1/x", ""])
def test_a_part_that_was_not_asked_for_is_not_taken(
    start: str, server: Server, tmp_path: Path
) -> None:
    def wrong(handler: Handler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", start)
        handler.end_headers()
        handler.wfile.write(b"x" * 10)

    server.files = {"/good": NOISE}
    server.special = {"/x": wrong}
    said = fetched(tmp_path, noise(f"{server.url}/x", f"{server.url}/good")).lines
    assert "the server sends another part than it was asked for" in said[0]
    assert (tmp_path / "toy/noise.bin").read_bytes() == NOISE


def test_what_sends_more_than_it_may_is_cut_off(server: Server, tmp_path: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(bytes(2**20))

    server.special = {"/x": endless}
    with pytest.raises(UserError, match=r"it sends more than the 293 KiB that it may"):
        fetched(tmp_path, noise(f"{server.url}/x"))


def test_a_server_that_brings_something_new_is_asked_again_and_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptbench.data.fetching import obtaining

    monkeypatch.setattr(obtaining, "_NEWS", 1000)
    server.special = {"/x": breaks(30_000)}  # type: ignore[dict-item]
    fetched(tmp_path, noise(f"{server.url}/x"))
    assert len(server.asked) == 10 > obtaining.TRIES
    server.special = {"/y": breaks(0)}  # type: ignore[dict-item]
    with pytest.raises(UserError, match=r"stopped after 0 of 300000 bytes \(3 tries\)"):
        fetched(tmp_path / "other", noise(f"{server.url}/y"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 1}', "[" * 9000, "\xff"])
def test_a_note_that_cannot_be_read_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.part.json").write_text(text, encoding="latin-1")
    assert resuming.note(tmp_path / "x") == resuming.Note()


_KILLED = """
import sys
from pathlib import Path
from promptbench.data.fetching import Places, fetch
from tests.data.test_fetch import Heard, card, noise
sys.stdout.write("ready"); sys.stdout.flush()
fetch(card(noise(sys.argv[1], data=None)), Places(Path(sys.argv[2])), Heard())
"""


@pytest.mark.long
def test_a_killed_fetch_goes_on(server: Server, tmp_path: Path) -> None:
    def stalls(handler: Handler) -> None:
        handler.whole_or_part(NOISE, 200_000)
        handler.wfile.flush()
        time.sleep(20)

    server.files = {"/x": NOISE}
    server.once("/x", stalls)
    url, part = f"{server.url}/x", tmp_path / "downloads/toy/noise.bin.part"
    running = subprocess.Popen(
        [sys.executable, "-c", _KILLED, url, str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size == 200_000):
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.02)
    finally:
        running.kill()
        running.communicate()
    fetched(tmp_path, noise(url, data=None))
    assert ranges(server) == [None, "bytes=200000-"]
    assert (tmp_path / "toy/noise.bin").read_bytes() == NOISE


def test_a_disk_that_is_full_in_the_middle_is_said(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device; free some space and run the"):
        resuming._write(Full(), b"x", tmp_path / "x")

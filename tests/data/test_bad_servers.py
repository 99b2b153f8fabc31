"""Servers that are endless, slow, elsewhere or liars: a bound, one sentence, nothing left."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from promptbench.data.cards import new_card
from promptbench.data.shards import remote
from promptbench.data.web import connecting, downloading, redirects
from promptbench.data.web.downloading import Expected
from promptbench.data.web.redirects import RefusedDownload
from promptbench.errors import UserError
from tests.data import toy
from tests.data.bad_server import MIB, Raw, endless, head, left, own_cache, raw, sends
from tests.data.toy import SAY_NOTHING, refused

__all__ = ["own_cache", "raw"]  # fixtures

pytestmark = pytest.mark.usefixtures("own_cache")


def fetch(raw: Raw, name: str, expected: Expected = remote.Expected()) -> Path:  # noqa: B008
    return remote.fetch(raw.url, name, SAY_NOTHING, expected)


# --- more than is expected ----------------------------------------------------------------------


def test_an_endless_file_of_a_known_size_stops_there(raw: Raw, own_cache: Path) -> None:
    raw.answers["x"] = endless()
    refused("x cannot be fetched: the server sends more than the 1000 bytes of its index",
            fetch, raw, "x", Expected(size=1000))  # fmt: skip
    assert (
        raw.sent < remote.TRIES * 12 * MIB and left(own_cache) == []
    )  # what sockets hold, no more


def test_an_announced_size_that_is_not_the_indexs_is_refused_unread(
    raw: Raw, own_cache: Path
) -> None:
    raw.answers["x"] = endless(f"Content-Length: {200 * MIB}")
    refused(r"has a file of 209715200 bytes, its index says 1000",
            fetch, raw, "x", Expected(size=1000))  # fmt: skip
    assert left(own_cache) == []


def test_an_endless_file_of_unknown_size_stops_at_its_bound(
    raw: Raw, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw.answers["x"] = endless()
    refused("x is larger than the 2 MiB that such a file may have", fetch, raw, "x",
            Expected(at_most=2 * MIB))  # fmt: skip
    assert raw.asked == ["x"] and raw.sent < 20 * MIB  # asking again would not help
    monkeypatch.setattr(downloading, "UNANNOUNCED", 3 * MIB)
    refused("larger than the 3 MiB .* the server does not say how large it is", fetch, raw, "x")
    assert left(own_cache) == []


@pytest.mark.parametrize(
    ("name", "bound"),
    [("index.json", "8 MiB"), ("classnames.txt", "4 MiB"), ("test/nshards.txt", "1 KiB")],
)
def test_small_files_have_small_bounds(raw: Raw, own_cache: Path, name: str, bound: str) -> None:
    tar = toy.tar(own_cache / "t.tar", [*toy.sample("a", 0), *toy.sample("b", 1)]).read_bytes()
    (own_cache / "t.tar").unlink()
    missing = sends(b"", status="404 Not Found")
    raw.answers = dict.fromkeys(("index.json", "classnames.txt"), missing)
    raw.answers |= {f"{split}/nshards.txt": missing for split in ("train", "val", "validation")}
    raw.answers |= {"valid/nshards.txt": missing, "test/nshards.txt": sends(b"1")}
    raw.answers |= {"zeroshot_classification_templates.txt": missing, "test/0.tar": sends(tar)}
    raw.answers[name] = endless()
    facts = new_card.Facts()
    refused(rf"{name} is larger than the {bound}", new_card.write, "far", f"wds:{raw.url}", facts,
            SAY_NOTHING)  # fmt: skip
    assert not {name, f".{name}"} & set(left(own_cache))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Content-Length: " + "9" * 5000], r"length that cannot be \(Content-Length: 9{40}\.\.\."),
        (["Content-Length: -5"], r"Content-Length: -5\)"),
        (["Content-Length: ten"], r"Content-Length: ten\)"),
        (["Content-Length: 4", "Content-Length: 5"], r"Content-Length: 4, 5\)"),
        ([f"Content-Length: {10**15 - 1}"], "is larger than the 16 GiB"),
    ],
)
def test_absurd_lengths_are_one_sentence(raw: Raw, lines: list[str], message: str) -> None:
    raw.answers["x"] = sends(b"data", *lines)
    refused(message, fetch, raw, "x")


def test_a_length_that_is_said_twice_is_one_length(raw: Raw) -> None:
    raw.answers["x"] = sends(b"data", "Content-Length: 4", "Content-Length: 4")
    assert fetch(raw, "x").read_bytes() == b"data"


def chunks(raw: Raw) -> None:
    """Up to 200 MiB in chunks, which need no length."""
    raw.send(head("Transfer-Encoding: chunked"))
    for _ in range(200):
        raw.send(b"100000\r\n" + bytes(MIB) + b"\r\n")


def test_an_endless_file_in_chunks_stops_at_its_bound(raw: Raw, own_cache: Path) -> None:
    raw.answers["x"] = chunks
    refused("x is larger than the 2 MiB", fetch, raw, "x", Expected(at_most=2 * MIB))
    assert raw.sent < 20 * MIB and left(own_cache) == []


def test_a_file_in_parts_of_a_byte_is_given_up(
    raw: Raw, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may come with 64 KiB that are not of the file, and are counted by nobody."""
    monkeypatch.setattr(downloading, "_FEW_BLOCKS", 50)

    def answer(raw: Raw) -> None:
        raw.send(head("Transfer-Encoding: chunked"))
        for _ in range(5000):
            raw.send(b"1;" + b"x" * 60_000 + b"\r\n.\r\n")

    raw.answers["x"] = answer
    refused("x comes in parts of a few bytes", fetch, raw, "x")
    assert raw.asked == ["x"] and raw.sent < 20 * MIB and left(own_cache) == []


def test_a_small_file_in_small_parts_is_fetched(raw: Raw) -> None:
    parts = b"1\r\n.\r\n" * 1000 + b"0\r\n\r\n"
    raw.answers["x"] = sends(parts, "Transfer-Encoding: chunked")
    assert fetch(raw, "x").read_bytes() == b"." * 1000


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "203 Changed"])
def test_an_answer_that_is_not_the_whole_file_is_none(
    raw: Raw, own_cache: Path, status: str
) -> None:
    raw.answers["x"] = sends(b"data", "Content-Length: 4", status=status)
    refused(f"x cannot be fetched: the server answers HTTP {status[:3]}, not", fetch, raw, "x")
    assert left(own_cache) == []


@pytest.mark.parametrize(
    "answer",
    [
        lambda raw: raw.send(b"\x1b[31m" * 10_000 + b"\r\n\r\n"),
        lambda raw: raw.send(head(status="503 " + "\x1b[31m" * 10_000)),
    ],
)
def test_what_a_server_says_is_short_and_moves_no_terminal(
    raw: Raw, answer: Callable[[Raw], None]
) -> None:
    raw.answers["x"] = answer
    with pytest.raises(UserError, match="x cannot be fetched: ") as caught:
        fetch(raw, "x")
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("length", "message"),
    [(10, "the server stopped after 4 of 10 bytes"), (2, "has a file of 2 bytes, its index says")],
)
def test_lengths_that_lie_are_told(raw: Raw, own_cache: Path, length: int, message: str) -> None:
    raw.answers["x"] = sends(b"data", f"Content-Length: {length}")
    refused(message, fetch, raw, "x", Expected(size=4 if length == 2 else None))
    assert left(own_cache) == []


def test_what_is_sent_packed_is_not_unpacked(raw: Raw) -> None:
    """A gzip bomb stays as small as it came; the hash of the index says that it is another file."""
    bomb = gzip.compress(bytes(50 * MIB))
    raw.answers["x"] = sends(bomb, "Content-Encoding: gzip")
    assert fetch(raw, "x").read_bytes() == bomb
    raw.answers["index.json"] = sends(bomb, "Content-Encoding: gzip")
    facts = new_card.Facts()
    refused("is not an index, it is a gzip file", new_card.write, "far", f"wds:{raw.url}", facts,
            SAY_NOTHING)  # fmt: skip


def test_endless_headers_are_given_up(raw: Raw) -> None:
    def answer(raw: Raw) -> None:
        raw.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            raw.send(f"X-{number}: {'x' * 1000}\r\n".encode())

    raw.answers["x"] = answer
    refused("x cannot be fetched: .*more than 100 headers", fetch, raw, "x")


# --- elsewhere, slow, killed --------------------------------------------------------------------


def test_redirects_stay_in_their_place_unless_allowed(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = raw.url.replace("127.0.0.1", "localhost")
    raw.answers["near"] = sends(b"", "Location: /x", status="302 Found")
    raw.answers["far"] = sends(b"", f"Location: {other}/x", status="301 Moved")
    raw.answers["odd"] = sends(b"", "Location: http://h:port/x", status="307 Moved")
    raw.answers["x"] = sends(b"data", "Content-Length: 4")
    assert fetch(raw, "near").read_bytes() == b"data"
    place = other.removeprefix("http://")
    refused(f"far redirects to another place, {other}/x; .* PROMPTBENCH_REDIRECTS={place}",
            fetch, raw, "far")  # fmt: skip
    refused("odd redirects to 'http://h:port/x'", fetch, raw, "odd")
    assert raw.asked == ["near", "x", "far", "odd"]
    monkeypatch.setenv("PROMPTBENCH_REDIRECTS", "elsewhere.org")
    refused("another place", fetch, raw, "far")
    for allowed in (f"elsewhere.org, {place}", "any"):
        monkeypatch.setenv("PROMPTBENCH_REDIRECTS", allowed)
        assert remote.fetch(raw.url, "far", SAY_NOTHING, refresh=True).read_bytes() == b"data"


@pytest.mark.parametrize(
    "place", ["ftp://127.0.0.1/x", "file:///etc/hostname", "data:,x", "gopher://a/x", "http://[x"]
)
@pytest.mark.parametrize("allowed", ["", "any"])
def test_a_redirect_leads_to_a_web_server(
    raw: Raw, place: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_REDIRECTS", allowed)
    raw.answers["x"] = sends(b"", f"Location: {place}", status="302 Found")
    refused(rf"x redirects to '?{re.escape(place)}'?[:;] ", fetch, raw, "x")
    assert raw.asked == ["x"]  # asking again would not help


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_what_comes_with_a_redirect_is_not_read(raw: Raw, status: str) -> None:
    """Where it is endless, urllib would keep it in memory until the machine has no more."""
    raw.answers["far"] = endless("Location: /x", status=f"{status} Found")
    raw.answers["x"] = sends(b"data", "Content-Length: 4")
    assert fetch(raw, "far").read_bytes() == b"data"
    assert raw.sent < 12 * MIB


def test_a_server_that_redirects_for_ever_is_given_up(raw: Raw) -> None:
    raw.answers["x"] = sends(b"", "Location: /x", status="302 Found")
    refused("x cannot be fetched: .*infinite loop", fetch, raw, "x")
    assert len(raw.asked) < 40


@pytest.mark.parametrize(
    ("here", "there", "same"),
    [
        ("http://a/x", "http://A:80/y", True),
        ("https://a/x", "https://a:443/y", True),
        ("http://a/x", "https://a/x", False),
        ("http://a/x", "http://a:8080/x", False),
        ("http://a/x", "http://b.a/x", False),
    ],
)
def test_a_place_is_scheme_host_and_port(here: str, there: str, same: bool) -> None:
    assert (redirects._origin(here) == redirects._origin(there)) is same


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_that_drips_is_given_up(
    raw: Raw, own_cache: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(connecting, "WINDOW", 0.05)
    monkeypatch.setattr(remote, "TRIES", 1)
    stop, dripped_out = threading.Event(), threading.Event()

    def drip(raw: Raw) -> None:
        raw.send(head("Content-Length: 100000") if where == "body" else b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(1000):
            if stop.wait(0.01):
                return
            raw.send(b"x")
        dripped_out.set()

    raw.answers["x"] = drip
    try:
        refused("cannot be fetched: the server sent less than 1024 bytes a second", fetch, raw, "x")
        assert not dripped_out.is_set()  # it was cut off, not waited for
    finally:
        stop.set()
    assert left(own_cache) == []


def test_what_a_killed_download_has_left_is_removed(raw: Raw, own_cache: Path) -> None:
    raw.answers["x"] = sends(b"data", "Content-Length: 4")
    folder = remote.cached_path(raw.url, "x").parent
    folder.mkdir(parents=True)
    for name in (".x-abcd1234", ".x-y-abcd1234", ".y-abcd1234"):  # the others are being fetched
        (folder / name).write_bytes(b"part")
    fetch(raw, "x")
    assert sorted(left(own_cache)) == [".x-y-abcd1234", ".y-abcd1234", "x"]


def test_what_a_server_must_not_do_stops_a_run(raw: Raw) -> None:
    raw.answers["x"] = endless()
    with pytest.raises(RefusedDownload) as caught:
        fetch(raw, "x", Expected(at_most=10))
    assert isinstance(caught.value, UserError) and caught.value.exit_code == 2

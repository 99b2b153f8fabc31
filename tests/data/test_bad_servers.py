"""Servers that are endless, slow, elsewhere or liars: a bound, one sentence, nothing left."""

from __future__ import annotations

import contextlib
import hashlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptbench.catalogue import prepared
from promptbench.data import (
    cards,
    checking,
    downloading,
    layouts,
    new_card,
    remote,
    shards,
    store,
    writing,
)
from promptbench.data.downloading import Expected, Refused
from promptbench.data.index import ShardIndex
from promptbench.errors import UserError
from tests.data import toy
from tests.data.test_remote import Messages
from tests.data.toy import SAY_NOTHING, refused

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
        threading.Thread(target=self.tcp.serve_forever, daemon=True).start()

    def send(self, data: bytes) -> None:
        self.write(data)
        self.sent += len(data)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode()


def sends(data: bytes, *lines: str, status: str = "200 OK") -> Answer:
    return lambda raw: raw.send(head(*lines, status=status) + data)


def endless(*lines: str) -> Answer:
    """Up to 200 MiB of zeros, far more than any bound below."""

    def answer(raw: Raw) -> None:
        raw.send(head(*lines))
        for _ in range(200):
            raw.send(bytes(MIB))

    return answer


@pytest.fixture
def raw() -> Iterator[Raw]:
    running = Raw()
    yield running
    running.tcp.shutdown()
    running.tcp.server_close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    for name in ("PROMPTBENCH_CACHE", "PROMPTBENCH_CARDS", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path / "promptbench_cache"


def left(cache: Path) -> list[str]:
    """The files of the cache, but for locks."""
    found = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return [path.name for path in found]


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
    assert (downloading._origin(here) == downloading._origin(there)) is same


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_that_drips_is_given_up(
    raw: Raw, own_cache: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(downloading, "WINDOW", 0.05)
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


# --- shards -------------------------------------------------------------------------------------


@pytest.fixture
def served(raw: Raw, tmp_path: Path) -> tuple[Raw, Path]:
    """A prepared dataset `toy` behind a server, and its card `far`."""
    folder = tmp_path / "toy"
    writing.write(toy.card(), folder, toy.source(), writing.Options(), SAY_NOTHING)
    serve(raw, folder)
    new_card.write("far", f"wds:{raw.url}", new_card.Facts(template="a {}."), SAY_NOTHING)
    raw.sent = 0
    return raw, folder


def serve(raw: Raw, folder: Path) -> None:
    for path in folder.iterdir():
        raw.answers[path.name] = sends(path.read_bytes())  # without a length
    raw.answers["card.toml"] = sends(b"", status="404 Not Found")


def old_index(folder: Path) -> bytes:
    """The index as versions without sizes wrote it."""
    found = shards.read_index(folder / "index.json")
    bare = {"sizes": None, "manifest_size": None}
    splits = {name: part.model_copy(update=bare) for name, part in found.splits.items()}
    changed = found.model_copy(update={"splits": splits})
    return changed.model_dump_json(indent=1, exclude_none=True).encode()


def test_an_index_says_sizes_which_are_part_of_no_digest(served: tuple[Raw, Path]) -> None:
    _, folder = served
    new = shards.read_index(folder / "index.json")
    for name in [path.name for path in folder.iterdir() if path.name != "index.json"]:
        assert new.size_of(name) == (folder / name).stat().st_size
    old = ShardIndex.model_validate_json(old_index(folder))
    assert old.digest == new.digest and old.size_of("test-000000.tar") is None
    facts = [f"{s} {i.manifest} {' '.join(i.shards.values())}" for s, i in new.splits.items()]
    assert new.digest == hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()
    wrong = new.splits["test"].model_dump() | {"sizes": {}}
    with pytest.raises(ValueError, match="one size for each of the shards"):
        type(new.splits["test"]).model_validate(wrong)


@pytest.mark.parametrize("age", ["new", "old"])
def test_an_endless_shard_stops_at_its_size(
    served: tuple[Raw, Path], own_cache: Path, age: str
) -> None:
    raw, folder = served
    if age == "old":
        raw.answers["index.json"] = sends(old_index(folder))
        remote.cached_path(raw.url, "index.json").unlink()
    data = store.provide("far", None, SAY_NOTHING)
    right = raw.answers["test-000000.tar"]
    raw.answers["test-000000.tar"] = endless()
    message = "more than the [0-9]+ bytes of its index" if age == "new" else "is larger than the"
    refused(rf"test-000000\.tar .*{message}", lambda: list(data.stream("test")))
    assert raw.sent < 40 * MIB and sorted(left(own_cache)) == ["index.json", "test.manifest.csv.gz"]
    raw.answers["test-000000.tar"] = right
    assert len(list(data.stream("test"))) == 55


@pytest.mark.parametrize("age", ["new", "old"])
def test_an_endless_manifest_stops_at_its_size(
    served: tuple[Raw, Path], own_cache: Path, age: str
) -> None:
    raw, folder = served
    if age == "old":
        raw.answers["index.json"] = sends(old_index(folder))
        remote.cached_path(raw.url, "index.json").unlink()
    data = store.provide("far", None, SAY_NOTHING)
    raw.answers["test.manifest.csv.gz"] = endless()
    refused(r"test\.manifest\.csv\.gz .*(more than|is larger than)", data.manifest, "test")
    assert left(own_cache) == ["index.json"]


@pytest.mark.parametrize("of", ["shards", "manifest"])
def test_sizes_that_a_server_made_larger_are_refused(served: tuple[Raw, Path], of: str) -> None:
    raw, folder = served
    found = shards.read_index(folder / "index.json")
    test, huge = found.splits["test"], 2**33
    sizes = {"sizes": dict.fromkeys(test.shards, huge)} if of == "shards" else {}
    changed = test.model_copy(update=sizes or {"manifest_size": huge})
    splits = {**found.splits, "test": changed}
    text = found.model_copy(update={"splits": splits}).model_dump_json(exclude_none=True)
    remote.cached_path(raw.url, "index.json").write_text(text)
    data = store.provide("far", None, SAY_NOTHING)
    refused("says that test.* has 8589934592 bytes, which it cannot have",
            lambda: list(data.stream("test")))  # fmt: skip


@pytest.mark.parametrize("damage", [b"", b'{"format"', b"<html>sign in</html>"])
def test_a_damaged_copy_of_an_index_is_fetched_again(
    served: tuple[Raw, Path], damage: bytes
) -> None:
    raw, _ = served
    copy = remote.cached_path(raw.url, "index.json")
    copy.write_bytes(damage)
    assert prepared.state_of(cards.load("far"), None).startswith("served, its copy is damaged")
    heard = Messages()
    store.provide("far", None, heard)
    assert len(heard.texts) == 1 and "fetching it again" in heard.texts[0]
    assert shards.read_index(copy).splits["test"].count == 55
    raw.answers["index.json"] = sends(b"<!doctype html>")
    copy.write_bytes(damage)
    refused(rf"{raw.url}/index\.json is not an index, it is a web page", store.provide, "far", None,
            SAY_NOTHING)  # fmt: skip


def test_what_is_being_fetched_is_not_a_difference(served: tuple[Raw, Path]) -> None:
    raw, _ = served
    folder = remote.cached_path(raw.url, "index.json").parent
    (folder / ".test-000000.tar-abcd1234").write_bytes(b"part")
    assert list(checking.differences(store.provide("far", None, SAY_NOTHING), SAY_NOTHING)) == []
    assert not list(folder.glob(".*"))
    (folder / "strange").write_bytes(b"")
    found = checking.differences(store.provide("far", None, SAY_NOTHING), SAY_NOTHING)
    assert list(found) == ["strange: this file does not belong to the data set"]


def test_a_cached_shard_of_another_size_is_fetched_again(served: tuple[Raw, Path]) -> None:
    raw, _ = served
    data = store.provide("far", None, SAY_NOTHING)
    assert len(list(data.stream("test"))) == 55
    copy = remote.cached_path(raw.url, "test-000000.tar")
    copy.write_bytes(copy.read_bytes()[:1000])
    raw.asked.clear()
    assert len(list(data.stream("test"))) == 55 and raw.asked == ["test-000000.tar"]


def test_a_cached_tar_of_others_that_is_damaged_is_fetched_again(raw: Raw, own_cache: Path) -> None:
    tar = toy.tar(own_cache / "t.tar", [*toy.sample("a", 0), *toy.sample("b", 1)]).read_bytes()
    raw.answers["t.tar"] = sends(tar)
    options = {"splits": {"test": ["t.tar"]}}
    card = toy.card(
        classes=["x", "y"], splits={"test": 2}, source={"kind": "wds", "options": options}
    )
    opened = (layouts.open_source, card, raw.url)
    layouts.open_source(card, raw.url, SAY_NOTHING)
    remote.cached_path(raw.url, "t.tar").write_bytes(tar[:700])
    heard = Messages()
    assert len(layouts.open_source(card, raw.url, heard).samples("test")) == 2
    assert "t.tar is damaged; fetching it again" in heard.texts[0]
    remote.cached_path(raw.url, "t.tar").unlink()
    raw.answers["t.tar"], raw.asked = sends(b"<html>"), []
    refused("not a plain tar, it is a web page", *opened, SAY_NOTHING)
    assert raw.asked == ["t.tar"]  # it had just come


def test_what_a_server_must_not_do_stops_a_run(raw: Raw) -> None:
    raw.answers["x"] = endless()
    with pytest.raises(Refused) as caught:
        fetch(raw, "x", Expected(at_most=10))
    assert isinstance(caught.value, UserError) and caught.value.exit_code == 2

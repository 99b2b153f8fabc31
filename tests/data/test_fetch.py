"""Fetching a dataset: addresses in turn, checks, archives, what is there, what a person is told."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from promptbench.data import fetching
from promptbench.data.cards.cards import DataCard
from promptbench.data.fetching import Places, fetch
from promptbench.data.fetching.addresses import download_address
from promptbench.data.fetching.obtaining import Unavailable
from promptbench.data.web import connecting
from promptbench.errors import OutputError, UserError
from promptbench.support.progress import Reporter
from tests.data import toy
from tests.data.file_server import Handler, Server, server, tar_of, zip_of

__all__ = ["server"]  # a fixture

IMAGES = tar_of({"toy-1/images/a.jpg": b"a" * 500, "toy-1/images/b/c.jpg": b"c", "toy-1/x": b"x"})
SPLIT = b'{"train": []}'
NOISE = random.Random(1).randbytes(300_000)


class Heard(Reporter):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def archive(file: str, data: bytes | None, *urls: str, **more: Any) -> dict[str, Any]:
    sha = "unknown" if data is None else hashlib.sha256(data).hexdigest()
    size = "unknown" if data is None else len(data)
    return {"file": file, "bytes": size, "md5": "unknown", "sha256": sha, "urls": urls, **more}


def images(*urls: str, data: bytes | None = IMAGES, **more: Any) -> dict[str, Any]:
    place = {"take": ["toy-1/images"], "gives": "toy/images"}
    return archive("images.tgz", data, *urls, **(place | more))


def noise(*urls: str, data: bytes | None = NOISE, **more: Any) -> dict[str, Any]:
    return archive("noise.bin", data, *urls, gives="toy/noise.bin", **more)


def card(*archives: dict[str, Any], **more: Any) -> DataCard:
    return toy.card(archives=list(archives), licence="free", **more)


def fetched(folder: Path, *archives: dict[str, Any], **more: Any) -> Heard:
    heard = Heard()
    fetch(card(*archives), Places(folder, **more), heard)
    return heard


def below(folder: Path) -> list[str]:
    """All files, but for locks."""
    found = (p for p in folder.rglob("*") if p.is_file() and ".locks" not in p.parts)
    return sorted(str(path.relative_to(folder)) for path in found)


# --- from the server into its place ------------------------------------------------------------


def test_files_come_checked_unpacked_and_in_their_place(server: Server, tmp_path: Path) -> None:
    server.files = {"/images.tgz": IMAGES, "/split.json": SPLIT}
    files = (
        images(f"{server.url}/images.tgz"),
        archive("split.json", SPLIT, f"{server.url}/split.json", gives="toy/split.json"),
    )
    fetched(tmp_path, *files)
    assert below(tmp_path) == ["toy/images/a.jpg", "toy/images/b/c.jpg", "toy/split.json"]
    assert (tmp_path / "toy/images/a.jpg").read_bytes() == b"a" * 500
    assert server.paths() == ["/images.tgz", "/split.json"]
    fetched(tmp_path, *files)  # all there: nothing is asked for
    assert len(server.asked) == 2


def test_archives_are_kept_if_that_is_wanted(server: Server, tmp_path: Path) -> None:
    server.files = {"/images.tgz": IMAGES}
    fetched(tmp_path, images(f"{server.url}/images.tgz"), keep_archives=True)
    assert (tmp_path / "downloads/toy/images.tgz").read_bytes() == IMAGES


@pytest.mark.parametrize("pack", [tar_of, zip_of, lambda m: tar_of(m, "w")])
def test_an_archive_in_an_archive(pack: Any, server: Server, tmp_path: Path) -> None:
    data = zip_of({"set/images.whatever": pack({"one/a.jpg": b"a"}), "set/other": b""})
    server.files = {"/x": data}
    fetched(tmp_path, images(f"{server.url}/x", data=data, take=["set/images.whatever", "one"]))
    assert below(tmp_path) == ["toy/images/a.jpg"]


def test_the_next_address_is_tried_and_the_reason_said(server: Server, tmp_path: Path) -> None:
    def page(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html; charset=utf-8")
        handler.end_headers()
        handler.wfile.write(b"<html>quota exceeded</html>")

    server.special = {"/page": page, "/login": lambda h: h.send_error(403)}
    server.files = {"/short": IMAGES[:-9], "/good": IMAGES}
    urls = [f"{server.url}/{name}" for name in ("gone", "login", "page", "short", "good", "never")]
    said = fetched(tmp_path, images(*urls)).lines
    assert [line.split(": ", 2)[2][:34] for line in said] == [
        "it is not there (HTTP 404 Not Foun",
        "it asks for a login (HTTP 403 Forb",
        "it answers with a web page, not wi",
        f"it has a file of {len(IMAGES) - 9} bytes, the car"[:34],
    ]
    assert server.paths() == ["/gone", "/login", "/page", "/short", "/good"]
    assert "toy/images/a.jpg" in below(tmp_path)


def test_a_wrong_file_is_kept_aside_and_named(server: Server, tmp_path: Path) -> None:
    wrong = bytes(len(IMAGES))
    server.files = {"/wrong": wrong, "/good": IMAGES}
    said = fetched(tmp_path, images(f"{server.url}/wrong", f"{server.url}/good")).lines
    name = f"downloads/toy/images.tgz.wrong-{hashlib.sha256(wrong).hexdigest()[:8]}"
    assert (tmp_path / name).read_bytes() == wrong
    assert "its sha256 is " in said[0] and f"it is kept as {tmp_path / name}" in said[0]
    assert "toy/images/a.jpg" in below(tmp_path)


@pytest.mark.parametrize("known", ["md5", "git_blob", "bytes"])
def test_whatever_the_card_knows_is_compared(known: str, server: Server, tmp_path: Path) -> None:
    server.files = {"/x": SPLIT}
    right = {
        "md5": hashlib.md5(SPLIT).hexdigest(),
        "git_blob": hashlib.sha1(b"blob %d\0" % len(SPLIT) + SPLIT).hexdigest(),
        "bytes": len(SPLIT),
    }[known]
    wrong = right + 1 if isinstance(right, int) else "0" * len(str(right))
    for value, fits in ((wrong, False), (right, True)):
        entry = archive("s.json", None, f"{server.url}/x", gives="toy/s.json") | {known: value}
        if fits:
            fetched(tmp_path, entry)
        else:
            with pytest.raises(UserError, match=r"s\.json: .*the card says"):
                fetched(tmp_path, entry)
    assert "toy/s.json" in below(tmp_path)


def test_what_no_checksum_vouches_for_is_said(server: Server, tmp_path: Path) -> None:
    server.files = {"/x": IMAGES}
    said = fetched(tmp_path, images(f"{server.url}/x", data=None)).lines
    assert said == [
        "images.tgz: no checksum of it is known; `promptbench data prepare` checks its images and "
        "counts"
    ]


def test_a_file_that_holds_the_same_comes_in_the_place_of_one_that_is_gone(
    server: Server, tmp_path: Path
) -> None:
    whole = zip_of({"all/train/a.jpg": b"a", "all/test/b.jpg": b"b", "all/split.json": b"other"})
    server.files = {"/whole": whole, "/split": SPLIT}
    gone = [
        archive(f"{part}.tgz", b"?", f"{server.url}/{part}", take=[part], gives=f"toy/{part}")
        for part in ("train", "test")
    ]
    split = archive("split.json", SPLIT, f"{server.url}/split", gives="toy/split.json")
    other = archive("whole.zip", None, f"{server.url}/whole", take=["all"], gives="toy")
    other["replaces"] = ["train.tgz", "test.tgz"]
    said = fetched(tmp_path, split, *gone, other).lines
    assert below(tmp_path) == ["toy/split.json", "toy/test/b.jpg", "toy/train/a.jpg"]
    assert (tmp_path / "toy/split.json").read_bytes() == SPLIT  # what was there is not replaced
    assert f"{tmp_path / 'toy'}: what was there stays as it was: split.json" in said
    assert server.paths() == ["/split", "/train", "/whole"]  # once for both


# --- what does not work ------------------------------------------------------------------------


def test_what_cannot_be_had_is_one_sentence_with_what_to_put_where(
    server: Server, tmp_path: Path
) -> None:
    url = f"{server.url}/gone"
    with pytest.raises(Unavailable) as caught:
        fetched(tmp_path, images(url))
    downloads = tmp_path / "downloads" / "toy"
    assert str(caught.value) == (
        f"toy is not complete: images.tgz: {url}: it is not there (HTTP 404 Not Found). put this "
        f"file into {downloads} and run the same command again, which checks and unpacks what it "
        f"finds there: images.tgz ({len(IMAGES)} bytes, from {url})"
    )
    assert caught.value.exit_code == 2
    (downloads / "images.tgz").write_bytes(IMAGES)
    fetched(tmp_path, images(url))
    assert below(tmp_path) == ["toy/images/a.jpg", "toy/images/b/c.jpg"]
    assert server.paths() == ["/gone"]


def test_offline_nothing_is_asked_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {"/x": IMAGES}
    monkeypatch.setenv("PROMPTBENCH_OFFLINE", "1")
    with pytest.raises(UserError, match=r"PROMPTBENCH_OFFLINE is set: put this file into .*/toy "):
        fetched(tmp_path, images(f"{server.url}/x"))
    assert server.asked == []
    (tmp_path / "downloads/toy").mkdir(parents=True, exist_ok=True)
    (tmp_path / "downloads/toy/images.tgz").write_bytes(IMAGES)
    fetched(tmp_path, images(f"{server.url}/x"))
    monkeypatch.setenv("PROMPTBENCH_OFFLINE", "0")
    fetched(tmp_path / "other", images(f"{server.url}/x"))
    assert server.paths() == ["/x"]


def test_a_host_that_is_not_there_is_said(tmp_path: Path, server: Server) -> None:
    server.server_close()
    with pytest.raises(UserError, match=r"images\.tgz: .*[Cc]onnection refused.* \(3 tries\)"):
        fetched(tmp_path, images(f"{server.url}/x"))


def test_redirects_are_followed_to_other_hosts_but_not_for_ever(
    server: Server, tmp_path: Path
) -> None:
    def to(place: str) -> Any:
        def answer(handler: Handler) -> None:
            handler.send_response(302)
            handler.send_header("Location", place)
            handler.end_headers()

        return answer

    other = server.url.replace("127.0.0.1", "localhost")
    server.files = {"/x": IMAGES}
    server.special = {"/circle": to("/circle"), "/far": to(f"{other}/x"), "/odd": to("file:///etc")}
    server.special |= {f"/{n}": to(f"/{n + 1}") for n in range(30)}
    urls = [f"{server.url}/{name}" for name in ("circle", "0", "odd", "far")]
    said = fetched(tmp_path, images(*urls)).lines
    assert [line.split(": ", 2)[2] for line in said[:2]] == 2 * [
        "it redirects in a circle, or more than ten times"
    ]
    assert "only http and https are followed" in said[2] and len(server.asked) < 40
    assert "toy/images/a.jpg" in below(tmp_path)


def test_a_slow_server_is_left_for_the_next_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "WINDOW", 0.05)
    stop = threading.Event()

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(IMAGES)))
        handler.end_headers()
        while not stop.wait(0.01):
            handler.wfile.write(b"x")

    server.special, server.files = {"/slow": drip}, {"/good": IMAGES}
    try:
        said = fetched(tmp_path, images(f"{server.url}/slow", f"{server.url}/good")).lines
    finally:
        stop.set()
    assert "the server sent less than 1024 bytes a second" in said[0]
    assert "toy/images/a.jpg" in below(tmp_path)


def test_a_disk_that_is_too_small_is_said_before_anything_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {"/x": NOISE}
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("promptbench.data.web.resuming.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"noise\.bin needs 293 KiB more, .*toy has 1000 bytes"):
        fetched(tmp_path, noise(f"{server.url}/x"))


def test_two_fetches_at_once_share_one_download(server: Server, tmp_path: Path) -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(handler: Handler) -> None:
        entered.set()
        gate.wait(10)
        handler.whole_or_part(NOISE)

    server.special = {"/x": wait}
    first = threading.Thread(target=fetched, args=(tmp_path, noise(f"{server.url}/x")))
    first.start()
    assert entered.wait(10)
    heard = Heard()
    told = threading.Event()
    heard.message = lambda text: (heard.lines.append(text), told.set())  # type: ignore[method-assign]
    second = threading.Thread(
        target=fetch, args=(card(noise(f"{server.url}/x")), Places(tmp_path), heard)
    )
    second.start()
    assert told.wait(10) and heard.lines == ["toy: another process is fetching it; waiting"]
    gate.set()
    first.join(10)
    second.join(10)
    assert server.paths() == ["/x"] and below(tmp_path) == ["toy/noise.bin"]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"../out.jpg": b"x"}, r"a path that leads elsewhere, '\.\./out\.jpg'"),
        ({"/etc/out.jpg": b"x"}, "a path that leads elsewhere, '/etc/out.jpg'"),
        ({"elsewhere/a.jpg": b"x"}, "no files at 'toy-1/images', but at elsewhere/a.jpg"),
        ({}, "no files at 'toy-1/images', but at nothing"),
        ({"toy-1/images/bomb": bytes(2**21)}, "unpacks to more than 20 times its size"),
    ],
)
def test_an_archive_that_is_not_as_it_should_be_is_kept_aside(
    members: dict[str, bytes],
    why: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("promptbench.data.fetching.unpacking._SMALL", 1000)
    for pack in (tar_of, zip_of):
        data = pack(members)
        server.files = {"/x": data}
        with pytest.raises(UserError, match=why):
            fetched(tmp_path / "in", images(f"{server.url}/x", data=data))
    assert all(name.startswith("in/downloads/toy/images.tgz.wrong-") for name in below(tmp_path))


@pytest.mark.parametrize(
    "data",
    [IMAGES[:60], b"PK nonsense", b"", NOISE[:5000]],
    ids=["cut off", "nonsense", "empty", "noise"],
)
def test_what_is_not_a_whole_archive_is_said(data: bytes, server: Server, tmp_path: Path) -> None:
    server.files = {"/x": data}
    with pytest.raises(UserError, match=r"it cannot be unpacked \(.+\); it is kept as"):
        fetched(tmp_path, images(f"{server.url}/x", data=None))


def test_links_of_an_archive_are_left_out_and_said(server: Server, tmp_path: Path) -> None:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("toy-1/images/passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("toy-1/images/empty"))
    server.files = {"/x": out.getvalue()}
    said = fetched(tmp_path, images(f"{server.url}/x", data=out.getvalue())).lines
    assert below(tmp_path) == ["toy/images/empty"] and not list(tmp_path.rglob("passwd"))
    assert "1 links or other things that are not files are left out" in said[0]


# --- proxies and hubs --------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://data.example/images.tgz"
    server.files = {url: IMAGES}  # a proxy is asked for whole addresses
    monkeypatch.setenv("http_proxy", server.url)
    fetched(tmp_path, images(url))
    assert server.paths() == [url]
    server.special = {url: lambda handler: handler.send_error(407)}
    with pytest.raises(UserError, match=r"^the proxy asks for a user and a password \(HTTP 407"):
        fetched(tmp_path / "other", images(url))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.files = {"/near": IMAGES}
    fetched(tmp_path / "third", images(f"{server.url}/near"))
    assert server.paths()[-1] == "/near"


def test_a_proxy_that_is_not_there_is_named_without_its_password(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://somebody:secret@127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        fetched(tmp_path, images("http://data.example/images.tgz"))
    said = str(caught.value)
    assert "through the proxy 127.0.0.1:9 (http_proxy)" in said and "secret" not in said
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(UserError) as caught:  # nobody listens, and no proxy is asked
        fetched(tmp_path / "near", images("http://127.0.0.1:9/images.tgz"))
    assert "through the proxy" not in str(caught.value)


def test_addresses_of_drive_and_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert download_address("https://drive.google.com/file/d/1a-B_c/view?usp=sharing") == (
        "https://drive.usercontent.google.com/download?id=1a-B_c&export=download&confirm=t",
        {},
    )
    page = "https://huggingface.co/datasets/a/b/resolve/main/x.zip"
    assert download_address(page) == (page, {"Authorization": "Bearer secret"})
    assert download_address("https://example.org/x") == ("https://example.org/x", {})
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example/")
    assert download_address(page) == ("http://mirror.example/datasets/a/b/resolve/main/x.zip", {})


def test_a_token_goes_to_its_host_only(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptbench.data.fetching import obtaining as module

    def far(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", server.url.replace("127.0.0.1", "localhost") + "/x")
        handler.end_headers()

    server.special, server.files = {"/far": far}, {"/x": IMAGES}
    monkeypatch.setattr(module, "download_address", lambda url: (url, {"Authorization": "secret"}))
    fetched(tmp_path, images(f"{server.url}/far"))
    assert [headers.get("Authorization") for _, headers in server.asked] == ["secret", None]


# --- cards -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"gives": "../x"}, "is not a path below the folder"),
        ({"gives": "/x"}, "is not a path below the folder"),
        ({"file": "../x"}, "is not the name of a file"),
        ({"urls": ["ftp://a/b"]}, "match pattern"),
        ({"urls": ["file:///etc/passwd"]}, "match pattern"),
        ({"take": [""]}, "at least 1 character"),
    ],
)
def test_a_card_leads_nowhere_else(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        card(images("http://a/b") | changes)


def test_what_cannot_be_fetched_at_all_is_refused(tmp_path: Path) -> None:
    from promptbench.data.cards import cards

    toy.refused("promptbench draws its images", fetching.refuse_unfetchable, cards.load("shapes"),
                tmp_path)  # fmt: skip
    toy.refused("names no address to fetch from", fetching.refuse_unfetchable, toy.card(), tmp_path)
    toy.refused(r"imagenet cannot be fetched: .*image-net\.org \(registration\).* below .*--source",
                fetching.refuse_unfetchable, cards.load("imagenet"), tmp_path)  # fmt: skip


def test_fourteen_datasets_of_the_field_can_be_fetched(tmp_path: Path) -> None:
    """What a card gives is what its layout reads; what replaces names files of the same card."""
    from promptbench.data.cards import cards

    fetchable = []
    for name in cards.names():
        found = cards.load(name)
        files = {entry.file for entry in found.archives}
        for entry in found.archives:
            assert set(entry.replaces) <= files and bool(entry.gives) == bool(entry.urls)
            top = entry.gives.split("/")[0]
            assert not top or any(line.startswith(f"{top}/ ") for line in found.layout)
        fetchable += [name] if any(entry.urls for entry in found.archives) else []
    assert len(fetchable) == 14 and "imagenet" not in fetchable

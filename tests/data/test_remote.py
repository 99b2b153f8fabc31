"""Served datasets: fetched while they are read, cached, and safe against servers that die."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.data.cards import cards, new_card
from promptbench.data.shards import hashes, remote, shards, store, writing
from promptbench.errors import RunError, UserError
from promptbench.tracking import Listener
from tests.data import toy
from tests.data.toy import SAY_NOTHING, clip_benchmark
from tests.forbidding import forbid


class Server:
    """A folder over HTTP; `dies` counts how often a path is cut in the middle, `asked` the rest."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dies, self.asked = folder, dict[str, int](), list[str]()
        handler = partial(_Handler, server_state=self, directory=str(folder))
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, server_state: Server, **kwargs: Any) -> None:
        self.state = server_state
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.state.asked.append(path)
        if self.state.dies.get(path, 0) > 0:
            self.state.dies[path] -= 1
            content = (self.state.folder / path).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    running = Server(folder)
    yield running
    running.http.shutdown()
    running.http.server_close()


class Messages(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def test_a_file_is_fetched_once(server: Server) -> None:
    (server.folder / "a b.txt").write_text("hello")
    first = remote.fetch(server.url, "a b.txt", SAY_NOTHING)
    assert first.read_text() == "hello"
    assert remote.fetch(server.url + "/", "a b.txt", SAY_NOTHING) == first
    assert len(server.asked) == 1


@pytest.mark.parametrize("place", [".", "x.bin"])
def test_a_cached_file_that_may_not_be_read_is_named(
    place: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / "x.bin").write_bytes(b"hello")
    path, right = remote.fetch(server.url, "x.bin", SAY_NOTHING), "0" * 64
    forbid(monkeypatch, path.parent / place)
    with pytest.raises(UserError, match=r"cannot read the cached file .*x\.bin: Permission denied"):
        remote.fetch(server.url, "x.bin", SAY_NOTHING, remote.Expected(right))


def test_a_server_that_dies_once_is_asked_again(server: Server) -> None:
    (server.folder / "x.bin").write_bytes(bytes(100_000))
    server.dies["x.bin"] = 1
    heard = Messages()
    assert remote.fetch(server.url, "x.bin", heard).stat().st_size == 100_000
    assert heard.texts == [
        f"{server.url}/x.bin: the server stopped after 50000 of 100000 bytes; trying again"
    ]


def test_a_server_that_always_dies_is_a_clear_error_and_leaves_nothing(server: Server) -> None:
    (server.folder / "x.bin").write_bytes(bytes(100_000))
    server.dies["x.bin"] = 99
    with pytest.raises(UserError, match="cannot be fetched: the server stopped after 50000"):
        remote.fetch(server.url, "x.bin", SAY_NOTHING)
    assert not list(remote.cached_path(server.url, "x.bin").parent.iterdir())
    server.dies.clear()
    assert remote.fetch(server.url, "x.bin", SAY_NOTHING).stat().st_size == 100_000


def test_what_is_missing_wrong_huge_or_unreachable_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(remote.NotThere, match=r"no\.bin does not exist \(HTTP 404\)"):
        remote.fetch(server.url, "no.bin", SAY_NOTHING)
    assert server.asked == ["no.bin"]  # asking again would not help
    (server.folder / "x.bin").write_bytes(b"other")
    with pytest.raises(UserError, match="other bytes than its index says"):
        remote.fetch(
            server.url, "x.bin", SAY_NOTHING, remote.Expected(hashlib.sha256(b"x").hexdigest())
        )
    with pytest.raises(
        remote.RefusedDownload, match="is larger than the 3 bytes that such a file may have"
    ):
        remote.fetch(server.url, "x.bin", SAY_NOTHING, remote.Expected(at_most=3))
    with pytest.raises(UserError, match="cannot be fetched"):
        remote.fetch("http://127.0.0.1:9", "x.bin", SAY_NOTHING)


def test_a_damaged_cache_is_fetched_again(server: Server) -> None:
    (server.folder / "x.bin").write_bytes(b"right")
    digest = hashlib.sha256(b"right").hexdigest()
    path = remote.fetch(server.url, "x.bin", SAY_NOTHING, remote.Expected(digest))
    path.write_bytes(b"wrong")
    assert (
        remote.fetch(server.url, "x.bin", SAY_NOTHING, remote.Expected(digest)).read_bytes()
        == b"right"
    )


# --- datasets ----------------------------------------------------------------------------------

SIZE = {"train": 30, "test": 55}


@pytest.fixture
def served(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A prepared dataset `toy`, served, with several shards per split."""
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 15)
    text = 'name = "toy"\ntemplate = "a blurry {}."\n'
    writing.write(
        toy.card(),
        server.folder / "toy",
        toy.source(),
        writing.WritingOptions(),
        SAY_NOTHING,
        {"card.toml": text.encode()},
    )
    return server


def call(*arguments: str) -> str:
    found = CliRunner().invoke(main, list(arguments))
    assert "Traceback" not in found.output
    return f"{found.exit_code} {found.stdout}{found.stderr}"


RUN = ("run", "--method", "coop", "--protocol", "base_to_new", "--datasets", "far")
FEW = ("--suite", "demo", "--shots", "2", "--seeds", "1", "--set", "Recipe.epochs=1")


def test_served_shards_are_evaluated_by_url(served: Server, tmp_path: Path) -> None:
    made = call("data", "new", "far", "--source", f"wds:{served.url}/toy")
    assert made.startswith("0 far: 5 classes, train 30, test 55"), made
    card = cards.load("far")
    assert card.template == "a blurry {}." and card.classes == toy.FACTS["classes"]
    served.dies["toy/test-000001.tar"] = 99
    failed = call(*RUN, *FEW, "--out", str(tmp_path / "runs"))
    assert failed.startswith("2 ") and "test-000001.tar cannot be fetched" in failed
    assert "the server stopped after" in failed
    served.dies.clear()
    served.asked.clear()
    assert call(*RUN, *FEW, "--out", str(tmp_path / "runs")).startswith("0 ")
    assert "toy/test-000000.tar" not in served.asked  # complete files stayed in the cache
    served.asked.clear()
    again = call(*RUN, *FEW, "--out", str(tmp_path / "again"))
    assert again.startswith("0 ") and not served.asked


def test_too_many_shots_are_known_from_the_index_alone(served: Server, tmp_path: Path) -> None:
    new_card.write("far", f"wds:{served.url}/toy", new_card.Facts(), SAY_NOTHING)
    remote.cached_path(f"{served.url}/toy", "index.json").unlink()
    served.asked.clear()
    for command in ("plan", "run"):
        refused = call(command, *RUN[1:], "--shots", "99", "--out", str(tmp_path / "runs"))
        assert refused.startswith("2 ") and "too few for 99 shots; pass --shots" in refused
    assert served.asked == ["toy/index.json"] and not list(tmp_path.glob("runs/*"))


def test_evaluation_begins_before_everything_is_there(served: Server) -> None:
    new_card.write("far", f"wds:{served.url}/toy", new_card.Facts(), SAY_NOTHING)
    data = store.provide("far", None, SAY_NOTHING)
    stream = data.stream("test")
    for _ in range(3):
        next(stream)
    stream.close()
    assert "toy/test-000000.tar" in served.asked and "toy/test-000003.tar" not in served.asked


def test_a_cached_shard_that_is_damaged_during_a_run_is_fetched_again(
    served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "_SETTLES", -(10**9))  # hashes are remembered at once
    new_card.write("far", f"wds:{served.url}/toy", new_card.Facts(), SAY_NOTHING)
    data = store.provide("far", None, SAY_NOTHING)
    before = list(data.stream("test"))
    path = data.folder / "test-000001.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    served.asked.clear()
    assert list(data.stream("test")) == before
    assert served.asked == ["toy/test-000001.tar"] and path.read_bytes() == whole
    stream = data.stream("test")
    next(stream)
    (data.folder / "test-000000.tar").write_bytes(whole)
    with pytest.raises(RunError, match="run the same command again, which fetches it again"):
        list(stream)


def test_served_shards_that_changed_are_refused(served: Server) -> None:
    new_card.write("far", f"wds:{served.url}/toy", new_card.Facts(), SAY_NOTHING)
    path = served.folder / "toy" / "index.json"
    index = shards.read_index(path)
    changed = {**index.splits, "test": index.splits["train"]}
    path.write_text(index.model_copy(update={"splits": changed}).model_dump_json())
    remote.cached_path(f"{served.url}/toy", "index.json").unlink()
    with pytest.raises(UserError, match="not those that the card 'far' was written for"):
        store.provide("far", None, SAY_NOTHING)


def test_shards_of_others_in_a_local_folder_are_read_as_they_are(
    served: Server, tmp_path: Path
) -> None:
    new_card.write("near", f"wds:{served.folder / 'toy'}", new_card.Facts(), SAY_NOTHING)
    data = store.provide("near", None, SAY_NOTHING)
    assert data.folder == served.folder / "toy" and len(list(data.stream("test"))) == 55
    assert call("data", "verify", "near").startswith("0 near: all hashes")
    assert "a run reads it as it is" in call("data", "prepare", "near")


def test_clip_benchmarks_folders_are_prepared_from_a_server(server: Server, tmp_path: Path) -> None:
    clip_benchmark(server.folder / "wds")
    server.dies["wds/train/1.tar"] = 1
    made = call("data", "new", "birds", "--source", f"wds:{server.url}/wds")
    assert made.startswith("0 birds: 3 classes, train 6, test 3"), made
    assert "1.tar: the server stopped after" in made and "trying again" in made
    server.asked.clear()
    assert call("data", "prepare", "birds", "--out", str(tmp_path / "root")).startswith("0 ")
    assert not [path for path in server.asked if path.endswith(".tar")]  # cached by `data new`
    checked = call("data", "verify", "birds", "--data", str(tmp_path / "root"))
    assert checked.startswith("0 birds: all hashes")

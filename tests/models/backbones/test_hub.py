"""Tags of open_clip's registry where the hub cannot be reached, or need not be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import hub
from promptbench.support.compat import import_open_clip

NAME, TAG = "ViT-B-16-quickgelu", "openai"


@pytest.fixture
def unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub on a port where nobody listens, and an empty cache of its client."""
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cached(folder: Path) -> Path:
    """A file of weights in the cache of the hub's client."""
    entry = import_open_clip().pretrained.get_pretrained_cfg(NAME, TAG)
    folder = folder / f"models--{entry['hf_hub'].strip('/').replace('/', '--')}"
    kept = folder / "snapshots" / ("0" * 40) / "open_clip_pytorch_model.bin"
    for path, content in ((kept, "weights"), (folder / "refs" / "main", "0" * 40)):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    return kept


def no_patience(_: float) -> None:
    raise AssertionError("the client waits for a server that is not there")


def test_without_a_network_the_error_comes_at_once(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", no_patience)
    with pytest.raises(UserError, match=r"127\.0\.0\.1 cannot be reached.*or pass --weights PATH"):
        backbones.find(NAME, TAG)
    assert not constants.HF_HUB_OFFLINE


def test_without_a_network_the_cache_is_read(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", no_patience)
    kept = cached(unreachable)
    found = backbones.find(NAME, TAG)
    assert found.path == kept and found.activation == "QuickGELU"


class _Answers(BaseHTTPRequestHandler):
    """Answers whatever is asked, with the status that the server was given."""

    def do_HEAD(self) -> None:
        self.send_response(getattr(self.server, "status", 200))
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub_server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(("status", "wrong"), [(200, None), (404, None), (503, "answers 503")])
def test_a_server_that_answers_is_left_to_the_client(
    status: int,
    wrong: str | None,
    unreachable: Path,
    hub_server: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "cannot be reached" in (hub.obstacle() or "")
    hub_server.status = status  # type: ignore[attr-defined]
    at(hub_server.server_port, monkeypatch)
    assert hub.obstacle() is None if wrong is None else wrong in (hub.obstacle() or "")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.obstacle() == "HF_HUB_OFFLINE is set"


def test_a_server_that_is_silent_is_not_waited_for(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at(silent.getsockname()[1], monkeypatch)
        with pytest.raises(UserError, match=r"127\.0\.0\.1 cannot be reached: .*--weights PATH"):
            backbones.find(NAME, TAG)


def test_what_looks_a_name_up_forever_is_not_waited_for(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolving a name has no limit of its own."""
    waiting = threading.Event()
    monkeypatch.setattr(hub, "_SECONDS", 0.1)
    monkeypatch.setattr(hub, "get_session", waiting.wait)
    try:
        assert hub.obstacle() == "127.0.0.1 cannot be reached: no answer"
    finally:
        waiting.set()


def test_weights_in_the_cache_are_read_without_a_question(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "obstacle", lambda: pytest.fail("asked for the hub"))
    kept = cached(unreachable)
    assert backbones.find(NAME, TAG).path == kept


def test_a_tag_of_another_activation_is_refused_before_it_is_fetched(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "obstacle", lambda: pytest.fail("asked for the hub"))
    with pytest.raises(UserError, match=r"^'openai' .* GELU; use --backbone ViT-B-16-quickgelu$"):
        backbones.find("ViT-B-16", TAG)

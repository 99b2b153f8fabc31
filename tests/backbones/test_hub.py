"""Tags of open_clip's registry where the hub cannot be reached, or need not be."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from huggingface_hub import constants

from promptbench import backbones
from promptbench.backbones import hub
from promptbench.compat import import_open_clip
from promptbench.errors import UserError

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
    entry = import_open_clip().pretrained.get_pretrained_cfg(NAME, TAG)
    folder = unreachable / f"models--{entry['hf_hub'].strip('/').replace('/', '--')}"
    kept = folder / "snapshots" / ("0" * 40) / "open_clip_pytorch_model.bin"
    for path, content in ((kept, "weights"), (folder / "refs" / "main", "0" * 40)):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    found = backbones.find(NAME, TAG)
    assert found.path == kept and found.activation == "QuickGELU"


def test_a_server_that_answers_or_a_proxy_is_left_to_the_client(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.obstacle() is not None
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}"
        with monkeypatch.context() as patch:
            patch.setattr(constants, "ENDPOINT", here)
            assert hub.obstacle() is None
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert hub.obstacle() is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.obstacle() == "HF_HUB_OFFLINE is set"


def test_a_tag_of_another_activation_is_refused_before_it_is_fetched(
    unreachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "obstacle", lambda: pytest.fail("asked for the hub"))
    with pytest.raises(UserError, match=r"^'openai' .* GELU; use --backbone ViT-B-16-quickgelu$"):
        backbones.find("ViT-B-16", TAG)

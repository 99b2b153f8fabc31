"""Loading checkpoints: every file format, the QuickGELU trap, downloads, and what is refused."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import checkpoints, folders, loading
from promptbench.support.compat import import_open_clip

TINY, CPU = demo_model.NAME, torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return demo_model.build(12).eval()


@pytest.fixture(scope="module")
def archive(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TorchScript archive with the extra entries of OpenAI's."""
    path = tmp_path_factory.mktemp("weights") / "archive.pt"
    images, texts = torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, dtype=torch.long)
    traced = copy.deepcopy(model)
    traced.register_buffer("input_resolution", torch.tensor(32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer and its deprecation
        torch.jit.save(torch.jit.trace(traced, (images, texts), check_trace=False), str(path))
    return path


def assert_loads_as(model: Any, path: Path) -> loading.Backbone:
    loaded = loading.load(TINY, str(path), CPU)
    ours = loaded.towers.model.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(ours[name], value), name
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any(p.requires_grad for p in loaded.towers.model.parameters())
    assert not loaded.towers.model.training
    return loaded


def test_safetensors(model: Any, tmp_path: Path) -> None:
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    assert not assert_loads_as(model, tmp_path / "w.safetensors").activation_verified


def test_open_clip_training_checkpoint(model: Any, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "epoch_1.pt")
    assert_loads_as(model, tmp_path / "epoch_1.pt")


def test_torchscript_archive(model: Any, archive: Path) -> None:
    assert assert_loads_as(model, archive).activation_verified


def test_torchscript_in_an_architecture_of_another_activation_is_refused(archive: Path) -> None:
    with pytest.raises(
        UserError, match="QuickGELU, but ViT-B-16 computes GELU; use --backbone ViT-B-16-quickgelu"
    ):
        loading.load("ViT-B-16", str(archive), CPU)


@pytest.mark.parametrize(
    ("name", "tag", "right"),
    [
        ("ViT-B-16", "openai", "ViT-B-16-quickgelu"),
        ("ViT-B-16-quickgelu", "laion400m_e32", "ViT-B-16"),
    ],
)
def test_file_known_by_its_hash_must_fit(
    name: str, tag: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain file carries no activation, but the registry knows the hashes of published ones."""
    path = tmp_path / "plain.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    base = name.removesuffix("-quickgelu")
    entry = import_open_clip().pretrained.get_pretrained_cfg(base, tag)
    digest = next(d for d, known in checkpoints._registry_hashes() if known["url"] == entry["url"])
    monkeypatch.setattr(folders, "file_sha256", lambda _: digest.ljust(64, "0"))
    with pytest.raises(UserError, match=f"use --backbone {right}$"):
        loading.load(name, str(path), CPU)


def test_config_beside_a_file_tells_its_activation(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "open_clip_model.safetensors")
    facts = {"model_cfg": {"quick_gelu": True}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="use --backbone ViT-B-32-quickgelu"):
        loading.load("ViT-B-32", str(tmp_path / "open_clip_model.safetensors"), CPU)


def test_what_is_refused(model: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"not a checkpoint")
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    tiny = tmp_path / "tiny.safetensors"
    save_file(model.state_dict(), tiny)
    cases = [
        (TINY, str(damaged), "cannot read weights"),
        (TINY, str(tmp_path / "other.safetensors"), "does not hold a CLIP: .* it holds weight$"),
        ("ViT-B-32-quickgelu", str(tiny), "does not fit ViT-B-32-quickgelu: .*--backbone"),
        (TINY, str(tmp_path / "missing.pt"), "does not exist"),
        ("ViT-B-16-quickgelu", "openia", "did you mean 'openai'"),
        ("ViT-B-61", "openai", "did you mean 'ViT-B-16'"),
        ("RN50", "openai", "but RN50 computes GELU; use --backbone RN50-quickgelu"),
    ]
    for name, weights, message in cases:
        with pytest.raises(UserError, match=message):
            loading.load(name, weights, CPU)


class _Cut(SimpleHTTPRequestHandler):
    """Announces the whole file and stops in the middle of it."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        outputfile.write(source.read(1000))

    def log_message(self, *_: Any) -> None: ...


class _Whole(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def served(
    request: pytest.FixtureRequest, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The tiny model's weights as a tag of open_clip's registry, behind a local server."""
    folder = tmp_path / "server"
    folder.mkdir()
    torch.save(model.state_dict(), folder / "tiny.pt")
    digest = hashlib.sha256((folder / "tiny.pt").read_bytes()).hexdigest()
    (folder / f"mlfoundations-tiny-{digest[:8]}.pt").write_bytes((folder / "tiny.pt").read_bytes())
    handler = partial(request.param, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/mlfoundations-tiny-{digest[:8]}.pt"
    open_clip = import_open_clip()
    entry = {"url": url, "hf_hub": "", "quick_gelu": True}
    monkeypatch.setattr(open_clip.pretrained, "list_pretrained_tags_by_model", lambda _: ["served"])
    monkeypatch.setattr(open_clip.pretrained, "get_pretrained_cfg", lambda *_: entry)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield folder
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("served", [_Whole], indirect=True)
def test_a_tag_is_downloaded_once(served: Path, model: Any) -> None:
    loaded = loading.load(TINY, "served", CPU)
    assert loaded.weights == "served" and loaded.activation_verified
    for file in served.iterdir():
        file.unlink()
    again = loading.load(TINY, "served", CPU)  # from open_clip's cache
    assert again.sha256 == loaded.sha256


@pytest.mark.parametrize("served", [_Cut], indirect=True)
def test_a_download_that_breaks_off_is_a_clear_error(served: Path) -> None:
    with pytest.raises(UserError, match=r"nor downloadable|cannot read weights"):
        loading.load(TINY, "served", CPU)

"""Files that mean harm: nothing in them is run, followed or printed as it is."""

from __future__ import annotations

import gzip
import importlib.metadata
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.core.protocol import Target
from promptbench.core.registry import METHODS
from promptbench.data import loader
from promptbench.data.cards import cards
from promptbench.data.shards import index, manifests, shards
from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.models.backbones import state_dicts, torchscript
from promptbench.models.towers.text import TextTower
from promptbench.planning.request import Request
from promptbench.running.training import snapshot
from promptbench.storage import integrity
from promptbench.support.safe_text import shown_path, visible
from promptbench.tracking import Listener
from tests.data import toy

ESCAPE = "\x1b]0;owned\x07\x1b[2J"


class Bomb:
    """What a pickle can do: run a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def scripted(folder: Path) -> Path:
    path = folder / "scripted.pt"
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 3).half())
    torch.jit.save(torch.jit.script(module), str(path))
    return path


def repacked(path: Path, name: str, data: bytes) -> Path:
    """The archive with one member replaced."""
    other = path.with_name("repacked.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, data if info.filename.endswith(name) else old.read(info))
    return other


def test_weights_in_a_pickle_are_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"state_dict": {"a": Bomb(trace)}}, tmp_path / "w.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Bomb(trace)))
    for name in ("w.pt", "raw.pt"):
        with pytest.raises(UserError, match="cannot read weights"):
            state_dicts.read(tmp_path / name)
    assert not trace.exists()


def test_a_checkpoint_with_a_pickle_is_not_run(tmp_path: Path) -> None:
    trace, file = tmp_path / "trace", io.BytesIO()
    torch.save(Bomb(trace), file)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(integrity.sealed(file.getvalue()))  # a seal is no signature
    assert snapshot.read(path, Listener()) is None  # moved aside, and the training starts again
    assert not trace.exists() and not path.exists()
    assert path.with_name("checkpoint.pt.damaged-1").is_file()


def test_torchscript_archives_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    path = scripted(tmp_path)
    theirs, ours = torch.jit.load(str(path)).state_dict(), torchscript.state_dict(path)
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        assert torch.equal(value, ours[name]) and value.dtype == ours[name].dtype


def test_torchscript_archives_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace, path = tmp_path / "trace", scripted(tmp_path)
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("code was loaded"))
    with pytest.raises(
        UserError, match=r"not hold a CLIP: .* it holds 0\.weight, 0\.bias, 1\.weight"
    ):
        state_dicts.read(path)
    bomb = repacked(path, "/data.pkl", pickle.dumps(Bomb(trace), protocol=2))
    with pytest.raises(UserError, match=r"refused to read weights .*posix.mkdir"):
        state_dicts.read(bomb)
    assert not trace.exists()
    with pytest.raises(UserError, match=r"refused to read weights .*tensor 0 has 4 bytes"):
        state_dicts.read(repacked(path, "/data/0", b"four"))


@pytest.mark.parametrize("size, stride", [((10**9,), (0,)), ((4,), (10**6,)), ((-1,), (1,))])
def test_tensors_stay_within_their_storage(size: Any, stride: Any) -> None:
    with pytest.raises(torchscript.RefusedArchive, match="beyond its storage"):
        torchscript._Rebuilt()(torch.zeros(8), 0, size, stride)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", "..", "a b", "x\x00y", ESCAPE])
def test_names_are_no_paths(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = [
        {"methods": [name], "protocol": "few_shot"},
        {"methods": ["coop"], "protocol": name},
        {"methods": ["coop"], "protocol": "few_shot", "suite": name},
    ]
    for options in asked:
        with pytest.raises(UserError, match="unknown"):
            Request(**options).resolved_suite()
    with pytest.raises(UserError, match="unknown dataset"):
        cards.load(name)
    entry = importlib.metadata.EntryPoint(name, "os", METHODS.group)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [entry])
    with pytest.raises(UserError, match="which is not a name"):
        METHODS.names()


def test_messages_do_not_move_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"\\u001b[2J": "\\u001b[2J"}')
    for arguments in (
        ["run", "--method", ESCAPE, "--protocol", "few_shot"],
        ["validate", str(tmp_path)],
        ["info", ESCAPE],
    ):
        said = CliRunner().invoke(main, arguments)
        assert said.exit_code == 2 and "\x1b" not in said.output
    assert visible(f"a{ESCAPE}\tb\nc") == "a\ufffd]0;owned\ufffd\ufffd[2J\tb\nc"
    assert shown_path(Path(f"a{ESCAPE}\tb\nc")) == "a\ufffd]0;owned\ufffd\ufffd[2J\ufffdb\ufffdc"
    assert shown_path(Path("two  spaces/é/日本")) == "two  spaces/é/日本"  # as it is, to be copied


def test_descriptions_of_others_do_not_move_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path))
    card = toy.card(description=ESCAPE, notes=[ESCAPE])
    (tmp_path / "toy.toml").write_text(tomli_w.dumps(card.model_dump(exclude_defaults=True)))
    said = CliRunner().invoke(main, ["data", "info", "toy"])
    assert said.exit_code == 0 and "owned" in said.output and "\x1b" not in said.output


@pytest.mark.parametrize("place", ["-1,5", "0,0", "0,-1", "0,999999999999"])
def test_manifests_locate_images_inside_their_shards(place: str) -> None:
    with pytest.raises(UserError, match="is damaged: sample 'a' lies at"):
        shards.parse_manifest(gzip.compress(f"a,0,test-000000.tar,{place}\n".encode()), "m")


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MOST_MANIFEST", 1000)
    with pytest.raises(UserError, match="unpacks to more than"):
        shards.parse_manifest(gzip.compress(b"0" * 2000), "m")
    monkeypatch.setattr(index, "MOST_INDEX", 10)
    (tmp_path / "index.json").write_bytes(b" " * 11)
    with pytest.raises(UserError, match="larger than"):
        shards.read_index(tmp_path / "index.json")


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return TextTower(demo_model.build(12), backbones.load_tokenizer(demo_model.NAME))


def test_a_prompt_that_does_not_fit_is_an_error_that_names_it(tower: TextTower) -> None:
    with pytest.raises(UserError, match=r"prompt 'a photo of a very very.* reads at most 32"):
        tower.token_ids(["a photo of a " + "very " * 40 + "long name."])


def test_ten_thousand_classes(tower: TextTower) -> None:
    names = [f"class {number}" for number in range(10_000)]
    card = toy.card(classes=names, splits={"test": 10_000})
    ids = tower.token_ids([card.template.format(name) for name in card.classes])
    assert len({tuple(row) for row in ids.tolist()}) == 10_000  # all told apart, none cut


def test_one_class_and_no_image_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2 items"):
        toy.card(classes=["alone"])
    written = toy.write(tmp_path / "toy")
    empty = written.index.splits["test"].model_copy(update={"per_class": [0] * 5})
    changed = written.index.model_copy(update={"splits": {"test": empty}})
    data = shards.ShardSet(written.card, written.folder, changed)
    with pytest.raises(UserError, match="has no test images of its all classes"):
        loader.n_test_samples(data, Target("toy", "all", "none"), None)
    with pytest.raises(UserError, match="have no val"):
        loader.n_test_samples(data, Target("toy", "all", "none", split="val"), None)

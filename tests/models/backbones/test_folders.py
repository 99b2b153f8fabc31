"""Folders of weights: as on the hub, in its cache, in parts; and what they are called."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import checkpoints, config_file, folders, state_dicts

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def clip() -> State:
    torch.manual_seed(0)
    return {name: torch.randn(2) for name in demo_model.build(1).state_dict()}


def in_parts(state: State, folder: Path, name: str = "model.safetensors") -> Path:
    stem, end = name.rsplit(".", 1)
    half, places = len(state) // 2, {}
    for number, keys in enumerate((list(state)[:half], list(state)[half:]), 1):
        part = f"{stem}-0000{number}-of-00002.{end}"
        own = {key: state[key] for key in keys}
        if end == "safetensors":
            save_file(own, folder / part)
        else:
            torch.save(own, folder / part)
        places |= dict.fromkeys(keys, part)
    index = folder / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (config_file.NAME, "open_clip_pytorch_model.bin"),
        (config_file.NAME, "open_clip_model.safetensors"),
        ("config.json", "pytorch_model.bin"),
        ("config.json", "model.safetensors"),
    ],
)
def test_weights_in_parts_are_read_as_one(
    config: str, name: str, clip: State, tmp_path: Path
) -> None:
    index = in_parts(clip, tmp_path, name)
    (tmp_path / config).write_text("{}" if config == config_file.NAME else '{"model_type": "clip"}')
    assert folders.weights_in(tmp_path) == index
    found = state_dicts.read(index)
    assert found.keys() == clip.keys()
    assert all(torch.equal(found[name], value) for name, value in clip.items())


def test_the_hash_of_parts_is_that_of_their_sums(clip: State, tmp_path: Path) -> None:
    index = in_parts(clip, tmp_path)
    parts = sorted(tmp_path.glob("*.safetensors"))
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in parts]
    found = checkpoints.find(demo_model.NAME, str(index))
    assert found.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    before = found.sha256
    in_parts({**clip, "logit_scale": torch.ones(2)}, tmp_path)
    assert checkpoints.find(demo_model.NAME, str(index)).sha256 != before


def test_an_index_that_does_not_hold_is_named(clip: State, tmp_path: Path) -> None:
    index = in_parts(clip, tmp_path)
    second = tmp_path / "model-00002-of-00002.safetensors"
    save_file(clip, second)
    with pytest.raises(UserError, match=r"00002-of-00002\.safetensors holds .*another part has"):
        state_dicts.read(index)
    second.unlink()
    with pytest.raises(UserError, match=r"names model-00002.* which is missing; fetch it again"):
        checkpoints.find(demo_model.NAME, str(index))
    for name in ("../w.safetensors", "/etc/passwd", "sub/w.bin", "notes.txt"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(UserError, match="which is not a file beside it"):
            folders.parts_of(index)
    index.write_text(json.dumps({"weight_map": []}))
    with pytest.raises(UserError, match="has no weight_map"):
        folders.parts_of(index)


def test_a_repository_in_the_hubs_cache_is_its_snapshot(clip: State, tmp_path: Path) -> None:
    """Files there are links to blobs, which have no names."""
    repository = tmp_path / "models--laion--CLIP-tiny"
    (repository / "blobs").mkdir(parents=True)
    save_file(clip, repository / "blobs" / "abc")
    (repository / "blobs" / "def").write_text("{}")
    for name in ("1111", "2222"):
        place = repository / "snapshots" / name
        place.mkdir(parents=True)
        (place / "open_clip_model.safetensors").symlink_to("../../blobs/abc")
        (place / config_file.NAME).symlink_to("../../blobs/def")
    with pytest.raises(UserError, match="with 2 snapshots; name one"):
        folders.weights_in(repository)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("2222")
    for path in (repository, repository / "snapshots" / "2222"):
        found = checkpoints.find(demo_model.NAME, str(path))
        assert found.path.parent.name == "2222" and found.label == "laion/CLIP-tiny/"
    file = repository / "snapshots" / "1111" / "open_clip_model.safetensors"
    found = checkpoints.find(demo_model.NAME, str(file))
    assert found.label == "laion/CLIP-tiny/open_clip_model.safetensors"
    assert found.config is not None


def test_names_that_every_download_has_are_called_with_their_folders(tmp_path: Path) -> None:
    assert folders.label_of(tmp_path / "a" / "model.safetensors") == "a/model.safetensors"
    assert folders.label_of(tmp_path / "a" / "pytorch_model.bin.index.json").startswith("a/")
    assert folders.label_of(tmp_path / "a" / "mine.safetensors") == "mine.safetensors"


def test_folders_of_other_kinds_are_told_apart(clip: State, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is empty; name the folder or the file that does"):
        folders.weights_in(tmp_path)
    (tmp_path / "log.txt").write_text("")
    with pytest.raises(UserError, match="it holds no weights; name"):
        folders.weights_in(tmp_path)
    torch.save(clip, tmp_path / "epoch_1.pt")
    with pytest.raises(UserError, match=r"it holds epoch_1\.pt; name this file"):
        folders.weights_in(tmp_path)
    for number in range(2, 9):
        torch.save(clip, tmp_path / f"epoch_{number}.pt")
    with pytest.raises(UserError, match=r"epoch_5\.pt and 3 more; name one file of weights"):
        folders.weights_in(tmp_path)


def test_a_link_that_leads_nowhere_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "w.pt").symlink_to("gone.pt")
    (tmp_path / "loop.pt").symlink_to("loop.pt")
    for name in ("w.pt", "loop.pt"):
        with pytest.raises(UserError, match="does not exist"):
            checkpoints.find(demo_model.NAME, str(tmp_path / name))

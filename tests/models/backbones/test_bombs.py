"""Checkpoints that would take more memory or time than their bytes: one sentence, nothing built."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import tracemalloc
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import checkpoints, folders, state_dicts

State = dict[Any, Any]
Write = Callable[[State, Path], None]


@pytest.fixture(scope="module")
def clip() -> State:
    torch.manual_seed(0)
    return {name: torch.randn(2) for name in demo_model.build(1).state_dict()}


def save(state: State, path: Path) -> None:
    torch.save(state, path)


def with_tensor(value: Tensor) -> Write:
    return lambda state, path: save({**state, "logit_scale": value}, path)


def compressed(state: State, path: Path) -> None:
    """A storage of zeros that zip makes a thousand times smaller."""
    save(state, path)
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, data)
        with new.open("archive/data/more", "w") as file:
            for _ in range(300):
                file.write(bytes(2**20))


def overlapping(state: State, path: Path) -> None:
    """Many names for the same stored bytes, as in a zip bomb without recursion."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data/0", bytes(2**16))
        (first,) = archive.infolist()
        for number in range(1, 50):
            other = zipfile.ZipInfo(f"archive/data/{number}")
            for name in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(other, name, getattr(first, name))
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other


def twice(state: State, path: Path) -> None:
    save(state, path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[0], b"")


def views(state: State, path: Path) -> None:
    """One stored tensor under many names."""
    big = torch.zeros(10_000)
    save({**state, **{f"visual.more.{number}": big for number in range(50)}}, path)


def huge_header(state: State, path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")


def header(text: bytes) -> Write:
    def write(state: State, path: Path) -> None:
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))

    return write


_OVERLAP = (
    b'{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},'
    b'"b":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}'
)
_LARGE = b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,64]}}'


@pytest.mark.parametrize(
    ("suffix", "write", "said"),
    [
        (".pt", compressed, "compressed parts would unpack to 300 MiB"),
        (".pt", overlapping, "its parts share their bytes"),
        (".pt", twice, "two of its parts have one name"),
        (".pt", views, "its tensors take 2 MiB, the file only 0"),
        (".pt", with_tensor(torch.zeros(1).expand(2**40)), "logit_scale of shape .* repeats"),
        (".pt", with_tensor(torch.zeros(1).half().expand(2**30)), "logit_scale of shape .* repeat"),
        (".pt", with_tensor(torch.zeros(2, dtype=torch.complex64)), "holds complex64 numbers"),
        (".pt", with_tensor(torch.zeros(2, dtype=torch.int8)), "holds int8 numbers"),
        (".pt", with_tensor(torch.ones(2).to_sparse()), "logit_scale is sparse"),
        (".pt", lambda state, path: save(dict(enumerate(state.values())), path), "does not hold a"),
        (".safetensors", huge_header, "damaged"),
        (".safetensors", header(_OVERLAP), "damaged"),
        (".safetensors", header(_LARGE), "damaged"),
        (".safetensors", header(b"[" * 100_000), "damaged"),
    ],
)  # fmt: skip
def test_a_bomb_is_one_sentence(
    suffix: str, write: Write, said: str, clip: State, tmp_path: Path
) -> None:
    path = tmp_path / f"w{suffix}"
    write(clip, path)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=said) as caught:
            state_dicts.read(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


LONG = "k" * 100_000 + "\x1b[31m\nred"


@pytest.mark.parametrize(
    "write",
    [
        lambda state, path: save({LONG: torch.ones(1)}, path),
        lambda state, path: save({**state, LONG: torch.ones(1, dtype=torch.int8)}, path),
        lambda state, path: save({**state, LONG: torch.full((1,), torch.nan)}, path),
        lambda state, path: save({f"{LONG}.{name}": v for name, v in state.items()}, path),
        lambda state, path: save({LONG: 1}, path),
        lambda state, path: save(
            {**state, LONG: torch.zeros(1).as_strided([1] * 9999 + [9], [0] * 10_000)}, path
        ),
    ],
)
def test_a_name_of_any_length_is_shown_in_one_short_line(
    write: Write, clip: State, tmp_path: Path
) -> None:
    write(clip, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"kkkkk\.\.\.kkk") as caught:
        state_dicts.read(tmp_path / "w.pt")
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_a_hole_of_a_terabyte_is_not_read_for_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "file_sha256", lambda _: pytest.fail("it was read"))
    with (tmp_path / "w.pt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="has 1,024 GiB, more than the 64 that a CLIP takes"):
        checkpoints.find(demo_model.NAME, str(tmp_path / "w.pt"))


# --- the pickle of a TorchScript archive, written by hand -----------------------------------------


class Storage:
    """Stands for a stored tensor in a pickle that is written here."""

    def __init__(self, count: int) -> None:
        self.count = count


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Storage):
            return ("storage", torch.FloatStorage, "0", "cpu", value.count)
        return None


class Scripted:
    """A module of TorchScript, as a pickle names it."""

    def __reduce__(self) -> Any:
        return _build, (), self.__dict__


def _build() -> None: ...


_build.__module__, _build.__qualname__ = "__torch__", "Module"


def archive(root: Any, path: Path, stored: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive whose module tree is `root`, with one storage of `stored` float32 zeros."""
    module = types.ModuleType("__torch__")
    module.Module = _build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "__torch__", module)
    data = io.BytesIO()
    _Pickler(data, protocol=2).dump(root)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("w/data.pkl", data.getvalue())
        file.writestr("w/code/__torch__.py", "# no code")
        file.writestr("w/data/0", bytes(4 * stored))
    return path


def test_shared_modules_do_not_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of sixty levels holds the next one twice: 2^60 ways to the last."""
    module = Scripted()
    for _ in range(60):
        outer = Scripted()
        outer.left = outer.right = module  # type: ignore[attr-defined]
        module = outer
    path = archive(module, tmp_path / "w.pt", 0, monkeypatch)
    with pytest.raises(UserError, match="modules, shared ones repeated, are more than 100,000"):
        state_dicts.read(path)


def test_a_module_that_holds_itself_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Scripted()
    module.inside = module  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="nested deeper than 100 levels"):
        state_dicts.read(archive(module, tmp_path / "w.pt", 0, monkeypatch))


def test_a_storage_is_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Scripted()
    for number in range(40):
        setattr(module, f"t{number}", Storage(10_000))
    path = archive(module, tmp_path / "w.pt", 10_000, monkeypatch)
    with pytest.raises(UserError, match="tensors together are much larger than the file"):
        state_dicts.read(path)

"""Tensors of a TorchScript archive, such as OpenAI's, or a training's checkpoint, read without
running anything in it.

`torch.jit.load` compiles and may run the archive's own code. Here its pickled module tree is read
by an unpickler that knows only tensors and plain containers: a TorchScript class becomes a bag of
attributes, whatever its code is, and any other name is refused. In a training's checkpoint, which
may hold anything beside its weights, other names stand for objects that do nothing.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptbench.models.backbones.archives import RefusedArchive

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MOST_MODULES = 100_000  # that are visited on the way through a module tree
_DEEPEST = 100  # levels of modules; a module may hold itself


def state_dict(path: Path) -> dict[str, Tensor]:
    """All parameters and buffers by their dotted names.

    Raises:
        Refused: it names anything but modules, tensors and containers, or its tensors do not fit
            the bytes stored.
        zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ...: a damaged archive.
    """
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        root = _Reader(archive, name.partition("/")[0], archive.read(name)).load()
    if not isinstance(root, _Module):
        raise RefusedArchive("it holds no module")
    return dict(_tensors(root))


def content(path: Path) -> Any:
    """What `torch.save` has written to a zip archive, with `_Inert` for all but tensors and plain
    containers.

    Raises:
        Refused: its tensors do not fit the bytes stored.
        zipfile.BadZipFile, pickle.UnpicklingError, KeyError, ...: a damaged archive.
    """
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        return _Lenient(archive, name.partition("/")[0], archive.read(name)).load()


class _Module:
    """A TorchScript object: its attributes, no behaviour."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise RefusedArchive("an object's state is not a table of attributes")
        self.attributes = state


class _Reader(pickle.Unpickler):
    """An unpickler that builds modules, tensors and containers, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._archive, self._prefix = archive, prefix
        # What is read twice is shared; more than that is not how weights are tied.
        self._left = 2 * sum(info.file_size for info in archive.infolist())

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _Rebuilt(),
            ("torch._utils", "_rebuild_parameter"): _First(),
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch.jit._pickle":  # lists and dictionaries with their types
            return _First()
        raise RefusedArchive(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """A storage: all its elements, in one row."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise RefusedArchive(f"it holds a {kind!r}")
        info = self._archive.getinfo(f"{self._prefix}/data/{key}")
        if info.file_size != count * dtype.itemsize or info.compress_type != zipfile.ZIP_STORED:
            raise RefusedArchive(f"tensor {key} has {info.file_size} bytes for {count} numbers")
        self._left -= info.file_size
        if self._left < 0:
            raise RefusedArchive("its tensors together are much larger than the file")
        if not count:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(self._archive.read(info)), dtype=dtype)


class _Inert:
    """An object of a class that is not looked at: it takes whatever a pickle does to it."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def add(self, _: Any) -> None: ...


class _Lenient(_Reader):
    """The same, with inert objects for names that are unknown; none of them is imported."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except RefusedArchive:
            return _Inert


# What a pickle may call has no attributes that the pickle could set.


class _Rebuilt:
    """A tensor as a view of its storage."""

    __slots__ = ()

    def __call__(self, storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        count = math.prod(size)
        fits = not count or (last < len(storage) and count <= len(storage))
        if min((offset, *size, *stride)) < 0 or not fits:
            raise RefusedArchive("a tensor reaches beyond its storage")
        return torch.as_strided(storage, tuple(size), tuple(stride), offset).clone()


class _First:
    """The first argument: a parameter's tensor, a container without its type."""

    __slots__ = ()

    def __call__(self, value: Any, *_: Any) -> Any:
        return value


def _tensors(root: _Module) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a module tree by their dotted names, in order; a shared module has several."""
    inside = [("", _attributes(root))]
    visited = 0
    while inside:
        prefix, attributes = inside[-1]
        for name, value in attributes:
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
            elif isinstance(value, _Module):
                inside.append((f"{prefix}{name}.", _attributes(value)))
                break
        else:
            inside.pop()
            continue
        visited += 1
        if visited > _MOST_MODULES:
            raise RefusedArchive(
                f"its modules, shared ones repeated, are more than {_MOST_MODULES:,}"
            )
        if len(inside) > _DEEPEST:
            raise RefusedArchive(f"its modules are nested deeper than {_DEEPEST} levels")


def _attributes(module: _Module) -> Iterator[tuple[str, Any]]:
    return iter(vars(module).get("attributes", {}).items())


if sys.byteorder != "little":  # as archives are written everywhere
    raise ImportError("TorchScript archives can only be read on little-endian machines")

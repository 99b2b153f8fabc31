"""Whether anything has changed the frozen towers since they were loaded.

Methods of one process share the towers, so that one which changes them spoils the numbers of all
that follow. A fingerprint notices weights that were written to or replaced, flags, modes, hooks,
submodules, plain attributes (an epsilon, a number of heads), the tokenizer, and the code that runs
the towers. It costs no forward pass, but every weight is read. What is changed and put back
between two fingerprints leaves no trace, unless torch counted the write.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.models import deltas, edits, moves
from promptbench.models import towers as room
from promptbench.models.towers import compiled

_OWN = __name__.rpartition(".")[2]
_ROOM = tuple(
    importlib.import_module(f"{room.__name__}.{found.name}")
    for found in pkgutil.iter_modules(room.__path__)
    if found.name != _OWN
)
_CODE = (F, room, deltas, edits, moves, *_ROOM)
# What runs change by themselves: memory of texts and images, chunks.
_OF_RUNS = frozenset(("_memo", "_layouts", "_prefix", "_decided", "class_chunk"))
_SPOKEN = "a photo of a cat, 0.5 Cats'"
_PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype, torch.device)
_JUST_PLAIN = frozenset(_PLAIN)  # without what is derived from them: found by hash
_LISTS = (list, tuple)
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Fingerprint:
    """Towers at one moment.

    `objects` say by name what stands where, `numbers` hash every weight, and `code` is what runs
    them. A copy of the towers that was loaded from the same file has only other objects.
    """

    objects: Mapping[str, Any]
    numbers: Mapping[str, bytes]
    code: Mapping[str, Any]


class _Same:
    """An object that is equal only to itself; kept alive, so that no other takes its address."""

    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    __hash__ = None  # type: ignore[assignment]


def fingerprint(towers: room.Towers) -> Fingerprint:
    """The fingerprint of towers as they are now."""
    tensors = dict(_tensors(towers.model))
    return Fingerprint(
        {**dict(_attributes(towers)), **{name: _about(t) for name, t in tensors.items()}},
        _hashes(tensors),
        {**dict(_functions(towers.model)), "the tokenizer": tuple(towers.text.encode(_SPOKEN))},
    )


def difference(before: Fingerprint, after: Fingerprint) -> str | None:
    """What has changed, in words; None if nothing has."""
    return code_or_numbers(before, after) or _first(before.objects, after.objects, "was changed")


def code_or_numbers(before: Fingerprint, after: Fingerprint) -> str | None:
    """`difference`, between towers that may be two copies."""
    own = {name: after.code.get(name) for name in before.code}  # torch.compile adds some of its own
    return _first(before.numbers, after.numbers, "holds other numbers") or _first(
        before.code, own, "was replaced"
    )


def _first(before: Mapping[str, Any], after: Mapping[str, Any], what: str) -> str | None:
    if before == after:
        return None
    for name in before:
        if name not in after:
            return f"{name} is gone"
        if before[name] != after[name]:
            return f"{name} {what}"
    added = [name for name in after if name not in before]
    return f"{added[0]} was added" if added else None


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _about(tensor: Tensor) -> tuple[Any, ...]:
    """Which tensor it is, where it lies, how often it was written to, and what it is for torch."""
    counted = None if tensor.is_inference() else tensor._version
    place = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
    return (_Same(tensor), counted, place, tensor.requires_grad)


def _attributes(towers: room.Towers) -> Iterator[tuple[str, Any]]:
    """All other attributes of the towers and of every module inside them."""
    owners: dict[str, Any] = {
        "towers": towers,
        "towers.text": towers.text,
        "towers.image": towers.image,
    }
    for name, module in towers.model.named_modules():
        owners[f"model.{name}".rstrip(".")] = module
    for name, owner in owners.items():
        for key, value in vars(owner).items():
            if isinstance(value, compiled.Compiled):
                yield f"{name}.{key}", _Same(value.function)
            elif key not in _OF_RUNS and key not in ("_parameters", "_buffers"):
                yield f"{name}.{key}", _plain(value)


def _plain(value: Any) -> Any:
    """What equals `value` for as long as it has not changed."""
    if type(value) in _JUST_PLAIN or isinstance(value, _PLAIN):
        return value
    if isinstance(value, _LISTS):
        return tuple(map(_plain, value))
    if isinstance(value, dict):  # of a module's dozen most are empty
        return tuple([(key, _plain(each)) for key, each in value.items()]) if value else ()
    return _Same(value)


def _functions(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The functions and methods that run the towers, and the hooks that run in every module."""
    for module in _CODE:
        for key, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield from _methods(value)
            elif callable(value):
                yield f"{module.__name__}.{key}", _Same(value)
            elif isinstance(value, int | float):  # chunks and groups follow from such numbers
                yield f"{module.__name__}.{key}", value
    for kind in sorted({type(module) for module in model.modules()}, key=lambda kind: str(kind)):
        yield f"{kind.__module__}.{kind.__name__}.forward", _Same(kind.forward)
    for key, value in vars(nn.modules.module).items():
        if key.startswith("_global_") and isinstance(value, dict):
            yield f"torch.nn.modules.module.{key}", _plain(value)


def _methods(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Of a class, what calls of its objects come to: its own and what it inherits."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base)
    for key, value in found.items():
        if callable(value) or isinstance(value, property | classmethod | staticmethod):
            yield f"{cls.__name__}.{key}", _Same(value)


def _hashes(tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """A hash of the bits of every tensor.

    A GPU's weights stay there: what is hashed of them are sums of their rows and of their columns,
    as whole numbers. That these agree although weights have changed takes intent.
    """
    bits = {name: _bits(tensor) for name, tensor in tensors.items()}
    away = {name: _sums(each) for name, each in bits.items() if each.device.type != "cpu"}
    if away:
        parts = torch.cat(list(away.values())).cpu().split([len(each) for each in away.values()])
        bits |= dict(zip(away, parts, strict=True))
    return {name: hashlib.sha256(each.numpy().data).digest() for name, each in bits.items()}


def _bits(tensor: Tensor) -> Tensor:
    """The bits of a tensor as whole numbers, [rows, columns], without a copy where that can be."""
    rows = tensor.detach().reshape(len(tensor) if tensor.dim() > 1 else 1, -1)
    return rows.contiguous().view(_INTEGERS[tensor.element_size()])


def _sums(bits: Tensor) -> Tensor:
    """The sums of rows and of columns, int64; the numbers themselves where there is one row."""
    if len(bits) == 1:
        return bits[0].long()
    return torch.cat([bits.sum(0, dtype=torch.int64), bits.sum(1, dtype=torch.int64)])

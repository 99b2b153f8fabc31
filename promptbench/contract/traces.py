"""What a method holds, as hashes by name: to see whether anything in it has changed.

Its attributes and what hangs on them are followed, through containers, objects, closures and
generators; so are the attributes of its classes and the values of the modules that define them.
Tensors count with their numbers. Other modules, functions of other modules and the towers do not.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from promptbench.core.method import ClassSet
from promptbench.isolation.asking import code_of
from promptbench.models.towers import Towers
from promptbench.models.towers.tower import Tower
from promptbench.support.seeding import host_state

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, ClassSet)
_APART = (Towers, Tower, ModuleType, BuiltinFunctionType, type)
_MOST = 50_000  # things looked at
_OF_CLASSES = tuple(each.name for each in fields(ClassSet))
_OF_TORCH = ("training", "_is_full_backward_hook", "_version")

Traces = dict[str, str]


def traces(method: object, prepared: object) -> Traces:
    """Everything that a method holds now, and what it has prepared: name -> what it is.

    The global random streams are among it, where a number could be left as well.
    """
    streams = repr((torch.get_rng_state().tolist(), host_state())).encode()
    found: Traces = {"the place of the random streams": hashlib.sha256(streams).hexdigest()[:12]}
    walk = _Walk(found, code_of(type(method)))
    walk.see("self", method)
    walk.see("prepared", prepared)
    for cls in type(method).__mro__:
        module = sys.modules.get(cls.__module__)
        if module is None or not walk.is_own(module):
            continue
        for name, value in [*vars(cls).items(), *vars(module).items()]:
            if not name.startswith("__"):
                walk.see(f"{cls.__name__}.{name}" if name in vars(cls) else name, value)
    return found


def difference(before: Traces, after: Traces) -> str | None:
    """The first thing that is not as it was, in words."""
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old != new:
            if old is None or new is None:
                return f"{name} was {'added' if old is None else 'removed'}"
            shown = f" ({old} -> {new})" if len(old) + len(new) < 60 else ""
            return f"{name} has changed{shown}"
    return None


class _Walk:
    def __init__(self, found: Traces, files: tuple[str, ...]) -> None:
        self._found, self._files = found, files
        self._seen: dict[int, object] = {}  # kept alive, so that no address is used twice

    def is_own(self, module: ModuleType) -> bool:
        """Whether a module is of the method's own code."""
        file = getattr(module, "__file__", None)
        return bool(file) and str(file).startswith(self._files)

    def see(self, name: str, value: Any) -> None:
        """Note a value, and what hangs on it."""
        waiting = [(name, value)]
        while waiting and len(self._seen) < _MOST:
            name, value = waiting.pop()
            if isinstance(value, _PLAIN):
                self._found[name] = repr(value)
                if isinstance(value, ClassSet):  # a frozen dataclass, which can be written to
                    added = {k: v for k, v in vars(value).items() if k not in _OF_CLASSES}
                    waiting += [(f"{name}.{key}", each) for key, each in added.items()]
            elif isinstance(value, Tensor):
                self._found[name] = _numbers(value)
                waiting += [(f"{name}.{k}", v) for k, v in vars(value).items()]
            elif not isinstance(value, _APART) and id(value) not in self._seen:
                self._seen[id(value)] = value
                waiting += reversed(list(self._parts(name, value)))

    def _parts(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, FunctionType | MethodType):
            yield from self._function(name, value)
        elif isinstance(value, GeneratorType):
            frame = value.gi_frame
            if frame is not None:
                yield f"{name} (a generator, its place)", frame.f_lasti
                yield from ((f"{name}'s {k}", v) for k, v in frame.f_locals.items())
        elif isinstance(value, Mapping):
            for key, each in list(value.items()):
                yield f"{name}[{_short(key)}]", each
        elif isinstance(value, list | tuple | set | frozenset):
            items: Iterable[Any] = value
            if isinstance(value, set | frozenset):
                items = sorted(value, key=repr)
            yield f"len({name})", len(value)
            yield from ((f"{name}[{i}]", each) for i, each in enumerate(items))
        else:
            yield from _attributes(name, value)

    def _function(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        function = inspect.unwrap(getattr(value, "__func__", value))
        if not function.__code__.co_filename.startswith(self._files):
            return
        yield from ((f"{name}.{k}", v) for k, v in vars(function).items() if k[:2] != "__")
        yield from ((f"{name}'s default", v) for v in function.__defaults__ or ())
        names = function.__code__.co_freevars
        for own, cell in zip(names, function.__closure__ or (), strict=False):
            try:
                yield f"{name}'s {own}", cell.cell_contents
            except ValueError:  # not yet bound
                continue


def _attributes(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes of an object; of one that has none, such as a counter, what it prints."""
    held = dict(getattr(value, "__dict__", {}))
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, slot) and not slot.startswith("__"):
                held[slot] = getattr(value, slot)
    for key, each in held.items():
        if key not in _OF_TORCH:
            yield f"{name}.{key}".replace("._parameters[", "[").replace("._buffers[", "["), each
    if not held and type(value).__module__ in ("itertools", "builtins", "collections"):
        text = repr(value)
        if " at 0x" not in text:
            yield f"{name} ({type(value).__name__})", text


def _numbers(tensor: Tensor) -> str:
    with torch.no_grad():
        own = tensor.as_subclass(Tensor).detach().cpu().contiguous()
        data = own.view(torch.uint8) if own.dim() else own.reshape(1).view(torch.uint8)
        digest = hashlib.sha256(data.numpy().tobytes()).hexdigest()
    return f"{tuple(own.shape)} {digest[:12]}"


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) < 60 else f"{text[:57]}..."

"""The operations of a step, as torch does them, and what in it a GPU could not replay.

A replay does the same operations on the same memory again and asks nobody in between: no Python
runs, no number comes back to the host, nothing is sent. On a CPU host and device are one, so that
what belongs to which is told by how it is made: a tensor made from another, or with `device=`, is
the device's, and so is what it is filled with by chance; one made of Python numbers, or without
`device=`, is the host's, and so is what is made of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from promptbench.running.training.waits import tensors_in, wait_of

_DATA = torch.ops.aten.lift_fresh.default  # of a tensor made of Python numbers or numpy's
_OF_NUMBERS = (torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor)
_TO_HOST = (
    *(torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.cpu),
    *(torch.Tensor.__repr__, torch.Tensor.__format__),
)
_SHAPED = "a step makes a tensor whose shape hangs on numbers, which a GPU would have to wait for"
_SENT = "a step makes a tensor on the host, which would have to be sent to a GPU"


@dataclass
class Recording:
    """The operations of a step in words, each with its arguments, and what no GPU could replay."""

    operations: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def refuse(self, problem: str | None) -> None:
        """Note what no GPU could replay, if it is anything."""
        if problem is not None:
            self.refused.append(problem)


@contextmanager
def recorded(named: Mapping[str, Tensor], constants: dict[int, str]) -> Iterator[Recording]:
    """Record what is done inside the block, backward passes among it.

    Args:
        named: tensors by what they are called, such as parameters and the batch; their numbers may
            be others in each step.
        constants: names of all other tensors that steps are given, by address: filled here, and
            passed on from step to step.
    """
    found = Recording()
    with _Operations(found, named, constants) as operations, _Calls(operations):
        yield found
    operations.look_at_generator()


@dataclass(frozen=True)
class _Call:
    """A call of a function of torch's; nothing: the code of a step is in none.

    `is_placed`: it was given a tensor of the device, or the device, so that it computes there.
    `sends`: it puts numbers of the host there. `is_told`: it is a one-hot that was told the number
    of classes.
    """

    name: str = ""
    is_placed: bool = True
    sends: bool = False
    is_told: bool = False


class _Operations(TorchDispatchMode):
    """Notes what is done below autograd, in `call`."""

    def __init__(
        self, found: Recording, named: Mapping[str, Tensor], constants: dict[int, str]
    ) -> None:
        super().__init__()
        self.found, self.call = found, _Call()
        self._given = {_address(tensor): name for name, tensor in named.items()}
        self._constants = constants
        self._made: dict[int, Any] = {}  # storages, kept so that no address is used twice
        self._of_host: set[int] = set()  # made of numbers of the host, and of nothing else
        self._generator = torch.get_rng_state()  # after the last operation that draws

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        said = [self._words(each) for each in args]
        said += [f"{key}={self._words(each)}" for key, each in named.items()]
        self.found.operations.append(f"{func}({', '.join(said)})")
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if draws:
            self.look_at_generator()
        result = func(*args, **named)
        if draws:
            self._generator = torch.get_rng_state()
        given, made = tensors_in((args, named)), tensors_in(result)
        of_host = func is _DATA or (self.are_of_host(given) if given else not self.call.is_placed)
        self.found.refuse(_problem(func, given, named, made, self.call, of_host))
        for each in made:
            if _address(each) not in self._given:  # of which it can be a part
                self._made[_address(each)] = each.untyped_storage()
                if of_host and each.numel():  # all that have no numbers share an address
                    self._of_host.add(_address(each))
        return result

    def are_of_host(self, tensors: list[Tensor]) -> bool:
        """Whether tensors, one at least, are made of numbers of the host only."""
        return all(_address(each) in self._of_host for each in tensors)

    def look_at_generator(self) -> None:
        """Refuse that torch's generator has moved since the last operation that draws."""
        if not torch.equal(self._generator, torch.get_rng_state()):
            self.found.refuse("a step moves torch's generator on the host, by no operation")

    def _words(self, value: Any) -> str:
        """An argument: a tensor by type and shape and, where the step has not made it, with its
        name, or with its number where the host has set that; anything else as it is."""
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._words, value))}]"
        if isinstance(value, torch.Generator):
            return "generator"
        if not isinstance(value, Tensor):
            return str(value)
        said = f"{value.dtype}{list(value.shape)}".removeprefix("torch.")
        place = _address(value)
        if place in self._made:
            return said
        if place not in self._given:
            if not value.dim():
                return f"{said} of {value.item()!r}"
            self._given[place] = self._constants.setdefault(
                place, f"constant {len(self._constants) + 1}"
            )
        return f"{said} of {self._given[place]}"


class _Calls(TorchFunctionMode):
    """Notes which function a step calls; what that calls in turn is torch's own."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named, operations = kwargs or {}, self._operations
        before, operations.call = operations.call, self._call(func, args, named)
        named_cpu = "cpu" in [each for each in (*args, *named.values()) if isinstance(each, str)]
        name, is_to = operations.call.name, func is torch.Tensor.to
        if func in _TO_HOST or (is_to and named_cpu):
            operations.found.refuse(_reads(name))
        goes = any(isinstance(each, Tensor | torch.device) for each in (*args[1:], *named.values()))
        if is_to and goes and operations.are_of_host([args[0]]):
            operations.found.refuse(f"{_SENT} ({name})")
        try:
            return func(*args, **named)
        finally:
            operations.call = before

    def _call(
        self, func: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]
    ) -> _Call:
        given = tensors_in((args, named))
        is_placed = named.get("device") not in (None, "cpu") or (
            bool(given) and not self._operations.are_of_host(given)
        )
        return _Call(
            (resolve_name(func) or repr(func)).removeprefix("torch."),
            is_placed,
            is_placed and func in _OF_NUMBERS,
            func is torch.nn.functional.one_hot and _n_classes(args, named) >= 0,
        )


def _problem(
    func: Any,
    given: list[Tensor],
    named: Mapping[str, Any],
    made: list[Tensor],
    call: _Call,
    of_host: bool,
) -> str | None:
    """What a GPU could not replay of an operation, as a sentence; None: nothing.

    Args:
        func, given, named: the operation, the tensors among its arguments, arguments by name.
        made: the tensors that it makes.
        call: the function that does it.
        of_host: whether what it makes is made of numbers of the host only.
    """
    name = call.name or str(func)
    how = f"{name} of numbers of the host" if given else f"{name} without device="
    if func is _DATA and call.name in ("", str(func)):  # made where torch does not say by what
        how = "of numbers of the host, such as numpy's"
    wait = wait_of(func, given)
    if wait in ("number", "look"):  # of a one-hot a CPU looks at the labels, a GPU does not
        return None if call.is_told else _reads(name)
    if wait is not None:
        return f"{_SHAPED} ({'a mask as an index' if wait == 'mask' else name})"
    if torch.Tag.nondeterministic_seeded in func.tags:
        if isinstance(named.get("generator"), torch.Generator):
            return f"a step draws from a generator of its own ({name})"
        return f"a step draws on the host ({how})" if of_host else None
    if func is _DATA and call.sends:
        return f"{_SENT} ({how})"
    if not any(each.dim() for each in made):  # a number: part of the operations that it enters
        return None
    return f"{_SENT} ({how})" if of_host else None


def _reads(name: str) -> str:
    return f"a step reads numbers back to the host ({name}), but a replay asks nobody"


def _n_classes(args: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    found = args[1] if len(args) > 1 else named.get("num_classes", -1)
    return int(found)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

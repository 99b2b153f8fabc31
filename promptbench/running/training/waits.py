"""Operations for which the host waits for a GPU: those that a CUDA graph cannot hold.

On a CPU nobody waits, but they are known by the same signs, which the contract looks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# A number that comes back; a shape that hangs on numbers, of a mask as an index or another; a look
# at whether what was given, or a result, is sound.
Wait = Literal["number", "mask", "shape", "look"]

_LOOKED_UP = torch.ops.aten.index
_PUT = (torch.ops.aten.index_put, torch.ops.aten.index_put_)
_LOOKING = (  # without a tag that says so
    torch.ops.aten._linalg_check_errors.default,
    torch.ops.aten._linalg_eigh.default,
    torch.ops.aten._linalg_svd.default,
    torch.ops.aten.normal.Tensor_Tensor,
    torch.ops.aten.normal.float_Tensor,
)


class NotForGraphs(RuntimeError):
    """What a step does cannot be in a graph; said before anything is recorded."""


def wait_of(func: Any, given: Sequence[Tensor]) -> Wait | None:
    """Say for what an operation of torch's (`OpOverload`) waits, given these tensors; None: it does
    not."""
    if func.overloadpacket is _LOOKED_UP:
        return "mask" if _has_mask(given[1:]) else None
    if func.overloadpacket in _PUT:  # with a single number a mask only fills
        return "mask" if _has_mask(given[1:-1]) and given[-1].numel() != 1 else None
    if torch.Tag.data_dependent_output in func.tags:
        return "number"
    if torch.Tag.dynamic_output_shape in func.tags:
        return "shape"
    return "look" if func in _LOOKING else None


def _has_mask(indices: Sequence[Tensor]) -> bool:
    return any(each.dtype in (torch.bool, torch.uint8) for each in indices)


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, in their order."""
    return [each for each in tree_leaves(tree) if isinstance(each, Tensor)]


class NeverWaiting(TorchDispatchMode):
    """Refuses operations for which the host waits for the GPU, and copies between them.

    A recording that comes upon a wait is broken, and torch with it, so that steps are looked at
    before; and what is sent from the host would be the same in every replay.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named, name = kwargs or {}, func.overloadpacket.__name__
        given = tensors_in((args, named))
        if wait_of(func, given):
            raise NotForGraphs(
                f"a step waits for numbers of the GPU, as for `.item()` or `if tensor:` ({name})"
            )
        result = func(*args, **named)
        devices = {each.device.type for each in (*given, *tensors_in(result)) if each.dim()}
        # One that is lifted was made of numbers of the host, and sent already if it is elsewhere.
        sent = name == "lift_fresh" and given[0].device.type != "cpu"
        if sent or len(devices) > 1:
            raise NotForGraphs(f"a step sends numbers between host and GPU ({name})")
        return result

"""torch's optimisers without the hooks that import torch's compiler.

`torch.optim` wraps its methods so that `torch.compile` breaks its graph there. The first call of
each imports the compiler, 1.2 s and 70 MB of a process that compiles no optimiser. What the
wrappers hold is torch's own, and every number is the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


@functools.cache
def eager(kind: type[Optimizer]) -> Callable[..., Optimizer]:
    """An optimiser class of torch whose steps are not for `torch.compile`."""
    own: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}

    @torch.no_grad()
    def step(self: Optimizer, *arguments: Any, **options: Any) -> Any:
        return inspect.unwrap(kind.step)(self, *arguments, **options)

    return type(kind.__name__, (kind,), own | {"step": step})

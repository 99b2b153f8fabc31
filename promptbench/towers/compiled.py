"""torch.compile with a way back: what cannot be compiled runs as it is, with a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Step = Callable[..., tuple[Tensor, Tensor]]


class Compiled:
    """`function`, compiled at its first call.

    If compiling or the compiled code fails, `tell` gets one line with the reason, and this call and
    all later ones run the function itself (which then shows any error that is its own).
    """

    def __init__(
        self, function: Step, tell: Callable[[str], None], options: Mapping[str, Any]
    ) -> None:
        self._function, self._tell = function, tell
        self._compiled: Step | None = torch.compile(function, **options)

    def __call__(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        if self._compiled is not None:
            try:
                return self._compiled(*arguments)
            except torch.cuda.OutOfMemoryError:
                raise
            # What dynamo, its backends and CUDA graphs raise; these assert their thread's state.
            except (RuntimeError, AssertionError) as error:
                reason = str(error).strip().splitlines() or [type(error).__name__]
                self._tell(f"torch.compile failed, going on without it: {reason[0]}")
                self._compiled = None
        return self._function(*arguments)

"""torch.compile with a way back: what cannot be compiled runs as it is, with a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from promptbench.models.gpu_errors import is_out_of_memory
from promptbench.models.towers import block as blocks

Step = Callable[..., tuple[Tensor, Tensor]]

VARIANTS = 64  # of a function that are compiled: class lists, towers, with and without gradient
_LIMITS = ("recompile_limit", "cache_size_limit")  # the newer and the older name
_WATCHES = ("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit")


class Compiled:
    """`function`, compiled at its first call.

    If compiling or the compiled code fails, or the function takes more variants than are compiled,
    `tell` gets one line with the reason, and this call and all later ones run the function itself
    (which then shows any error that is its own).
    """

    def __init__(
        self, function: Step, tell: Callable[[str], None], options: Mapping[str, Any]
    ) -> None:
        self.function, self._tell = function, tell
        self._compiled: Step | None = torch.compile(function, **options)

    def __call__(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        if self._compiled is not None:
            try:
                with _watched():
                    return self._compiled(*arguments)
            except Exception as error:  # dynamo, its backends and CUDA graphs raise many kinds
                if is_out_of_memory(error):
                    raise
                self._tell(f"torch.compile failed, going on without it: {_reason(error)}")
                self._compiled = None
        return self.function(*arguments)

    @property
    def has_given_up(self) -> bool:
        return self._compiled is None


class Steps:
    """How a tower runs blocks, and reads the last one: as they are, or compiled."""

    def __init__(self) -> None:
        self._run: Step = blocks.run
        self._read: Step = blocks.read

    def compile(self, tell: Callable[[str], None], options: Mapping[str, Any]) -> None:
        """Run prompted passes through torch.compile; `tell` hears of a fallback."""
        self._run = Compiled(blocks.run, tell, options)
        self._read = Compiled(blocks.read, tell, options)

    @property
    def is_compiled(self) -> bool:
        return isinstance(self._run, Compiled)

    @property
    def has_given_up(self) -> bool:
        """Whether something that was to be compiled runs as it is."""
        steps = (self._run, self._read)
        return any(isinstance(step, Compiled) and step.has_given_up for step in steps)

    def uncompile(self) -> None:
        """Take `compile` back."""
        self._run, self._read = blocks.run, blocks.read

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Inside the block passes run as without `compile`; compiled code sees nothing of them."""
        compiled = self._run, self._read
        self._run, self._read = blocks.run, blocks.read
        try:
            yield
        finally:
            self._run, self._read = compiled


def release() -> None:
    """Drop all code that torch has compiled in this process, and the memory of its CUDA graphs.

    To be called between steps, when no result of a graph is in use; what is called again is
    compiled again.
    """
    torch.compiler.reset()


@contextmanager
def _watched() -> Iterator[None]:
    """Compile more variants than torch does by itself, and raise beyond them; and code whose
    backward pass may run more than once, as for a method that makes a gradient of several.

    torch would go on uncompiled from the ninth variant on, and say so in a log only; and its
    backward pass would reuse the memory of what is needed again.
    """
    dynamo: Any = torch._dynamo.config
    functorch: Any = torch._functorch.config
    wanted = [
        (dynamo, _LIMITS, VARIANTS),
        (dynamo, _WATCHES, True),
        (functorch, ("donated_buffer",), False),
    ]
    named = [(c, next((n for n in names if hasattr(c, n)), None), v) for c, names, v in wanted]
    settings = [(config, name, value) for config, name, value in named if name is not None]
    before = [(config, name, getattr(config, name)) for config, name, _ in settings]
    for config, name, value in settings:
        setattr(config, name, value)
    try:
        yield
    finally:
        for config, name, value in before:
            setattr(config, name, value)


def _reason(error: Exception) -> str:
    if type(error).__name__ in ("FailOnRecompileLimitHit", "FailOnCacheLimitHit"):
        return f"a function takes more than {VARIANTS} variants"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

"""One step of a training: backward, the gradient scaler of float16, the optimiser."""

from __future__ import annotations

from torch import Tensor

from promptbench.entering import enter
from promptbench.lab.compute import Compute
from promptbench.method import Method
from promptbench.recipe import Recipe


class Stepper:
    """The optimiser of a method and its gradient scaler, which is active for float16 only.

    `is_stuck`: gradients have overflowed so often in a row that no scale can be to blame.
    """

    def __init__(self, method: Method, recipe: Recipe, compute: Compute) -> None:
        self.scaler = compute.scaler()
        self._scale: float | None = None  # after the last step: a GPU is waited for to read it
        # Fused steps and a scaler do not go together: when the first step overflows, fused SGD
        # keeps a momentum buffer that it has never filled, and all later steps add to it.
        self.optimizer = recipe.build_optimizer(method, fused=not self.scaler.is_enabled())

    def set_lr(self, lr: float) -> None:
        """The learning rate of the steps that follow."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def step(self, total: Tensor) -> bool:
        """A step down the gradient of `total`; False if it was left out.

        A gradient that overflows float16 is not followed: the next one has a smaller scale.
        """
        self.optimizer.zero_grad(set_to_none=True)
        enter(self.scaler.scale(total).backward)  # a method's hooks and functions run in it
        before = self.scaler.get_scale() if self._scale is None else self._scale
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._scale = self.scaler.get_scale()
        return self._scale >= before

    @property
    def is_stuck(self) -> bool:
        return self._scale is not None and self._scale < _LEAST_SCALE


_LEAST_SCALE = 2.0**-14  # 21 overflows in a row from the first scale

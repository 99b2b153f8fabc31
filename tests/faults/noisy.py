"""A quick method with everything that a resumed training can get wrong, and faults on demand.

Its loss draws from the global streams of torch, numpy and Python, a buffer counts its steps, and
its optimiser has state.
"""

from __future__ import annotations

import os
import random
import signal
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import ClassSet, Method, unit
from promptbench.models.towers import Towers

Fault = Literal["none", "nan", "broken", "memory", "SIGKILL", "SIGTERM", "SIGHUP", "SIGUSR1"]


class Noisy(Method):
    """A shift of the image features, trained under noise.

    Args:
        fault: what happens at step `at` (from 1): a loss that is not finite, a plugin's own error,
            a GPU without memory, a signal that the process gets.
        rate: size of the noise.
    """

    title, paper, paradigm = "noisy", "none", "end-to-end"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        fault: Fault = "none",
        at: int = 0,
        rate: float = 0.1,
    ) -> None:
        super().__init__(towers, classes)
        self.fault, self.at, self.rate = fault, at, rate
        self.shift = nn.Parameter(torch.randn(towers.embed_dim) * 0.02)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def prepare(self, classes: ClassSet) -> Tensor:
        return unit(self.towers.text.features(self.towers.text.tokens(classes.prompts)))

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        image = self.towers.image
        features = unit(image.features(image.tokens(images)) + self.shift)
        return self.towers.logit_scale * features @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        self.steps += 1
        logits = self.logits(images, prepared)
        logits = logits + self.rate * torch.randn_like(logits)
        logits = logits * (1 + self.rate * (np.random.randn() + random.gauss(0, 1)))
        terms = {"ce": F.cross_entropy(logits, labels), "size": self.shift.square().sum()}
        if int(self.steps) == self.at:
            self._fail(terms)
        return terms

    def _fail(self, terms: dict[str, Tensor]) -> None:
        if self.fault == "nan":
            terms["size"] = terms["size"] * float("nan")
        if self.fault == "broken":
            raise ZeroDivisionError("a plugin's own mistake")
        if self.fault == "memory":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        if self.fault.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.fault])

"""How a method is trained: optimiser, schedule, batches and the crops of its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import gin
import torch

from promptbench.method import Method

Crop = tuple[float, float]


@gin.configurable
@dataclass(frozen=True)
class Recipe:
    """How a method is trained; every method's gin file binds it.

    Args:
        optimizer: "sgd" (momentum, no Nesterov) or "adamw" (betas 0.9, 0.999).
        lr: peak learning rate.
        batch_size: images per step; a last, incomplete batch is dropped.
        epochs: all epochs, warm-up included.
        warmup_epochs: epochs at the constant `warmup_lr` before the cosine.
        crop_scale: area range of the random resized crop.
        flip: probability of the horizontal flip.
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.002
    weight_decay: float = 5e-4
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int = 50
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    crop_scale: Crop = (0.08, 1.0)
    flip: float = 0.5

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0: warm-up, then a cosine over all epochs."""
        if epoch < self.warmup_epochs:
            return self.warmup_lr
        passed = (epoch - self.warmup_epochs) / self.epochs
        return self.lr * (1 + math.cos(math.pi * passed)) / 2

    def build_optimizer(self, method: Method, fused: bool = True) -> torch.optim.Optimizer:
        """The optimiser over everything the method learns; `fused`: one kernel per step."""
        learnt = [p for p in method.parameters() if p.requires_grad]
        decay = self.weight_decay
        if self.optimizer == "adamw":
            return torch.optim.AdamW(learnt, lr=self.lr, weight_decay=decay, fused=fused)
        return torch.optim.SGD(
            learnt, lr=self.lr, momentum=self.momentum, weight_decay=decay, fused=fused
        )

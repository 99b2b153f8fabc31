"""Norms of prompt tokens against the CLS token (AlignedNorm, ICML 2026).

The ratio is ||p|| / ||c||: the mean norm of the prompt tokens over all images, divided by that of
CLS, at four stages. "output" and "attention" are a block's output and what its attention branch
adds; "ln_post" and "projection" are behind the last block. Where a method classifies by the mean of
its tokens, the norm of that mean is what its losses see: "ln_post (mean)", "projection (mean)".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from promptbench.running.observing.passes import Seen

STAGES = ("output", "attention")
READOUTS = ("ln_post", "projection", "ln_post (mean)", "projection (mean)")


@dataclass
class NormSums:
    """Sums of norms over images, by (stage, block); block None behind the last one."""

    counts: dict[tuple[str, int | None], int] = field(default_factory=lambda: defaultdict(int))
    cls: dict[tuple[str, int | None], float] = field(default_factory=lambda: defaultdict(float))
    patch: dict[tuple[str, int | None], float] = field(default_factory=lambda: defaultdict(float))
    prompt: dict[tuple[str, int | None], Tensor] = field(default_factory=dict)  # [n_prompts]

    def add(self, seen: Seen) -> None:
        """A block's output and attention branch, [n, length, width]."""
        prompts = seen.places("prompt")
        if not prompts:
            return
        for stage, x in zip(STAGES, (seen.view.output, seen.view.attended), strict=True):
            norms = x.float().norm(dim=-1)
            key = (stage, seen.number)
            self._add(key, norms[:, seen.places("cls")[0]], norms[:, prompts])
            self.patch[key] += float(norms[:, seen.places("patch")].mean(dim=1).sum())

    def add_readout(
        self, stage: Literal["ln_post", "projection"], cls: Tensor, prompts: Tensor
    ) -> None:
        """What is read behind the last block: cls [n, width], prompts [n, k, width]."""
        if not prompts.shape[1]:
            return
        reference = cls.float().norm(dim=-1)
        self._add((stage, None), reference, prompts.float().norm(dim=-1))
        mean = prompts.float().mean(dim=1, keepdim=True)
        self._add((f"{stage} (mean)", None), reference, mean.norm(dim=-1))

    def _add(self, key: tuple[str, int | None], cls: Tensor, prompts: Tensor) -> None:
        self.counts[key] += len(cls)
        self.cls[key] += float(cls.sum())
        sums = prompts.sum(dim=0).cpu()
        self.prompt[key] = self.prompt[key] + sums if key in self.prompt else sums

    def numbers(self) -> Iterator[tuple[str, int | None, str, float]]:
        """(stage, block, quantity, value) of every stage and block with prompt tokens.

        `gap` is mean_k |p_k - c| / c of the batch means p_k, c: 0 where all norms are aligned.
        """
        for key, count in self.counts.items():
            stage, block = key
            cls, prompts = self.cls[key] / count, self.prompt[key] / count
            yield stage, block, "cls_norm", cls
            yield stage, block, "prompt_norm", float(prompts.mean())
            if key in self.patch:
                yield stage, block, "patch_norm", self.patch[key] / count
            yield stage, block, "ratio", float(prompts.mean()) / cls
            yield stage, block, "gap", float(torch.mean((prompts - cls).abs())) / cls

"""Class texts with their common opening computed once, against once per class.

    python -m benchmarks.openings --classes 10,50,100 --context 4 --depth 1

A context of `--context` tokens stands before the names of all classes, and prompts of two tokens
replace its first in the blocks up to `--depth`. Values and gradients of both ways must agree, else
it fails. Prints one line of JSON for each count of classes: `ratio` is the time of one opening per
class over one for all, `rows` the tokens that a block computes, and `kept_mb` what the backward
pass keeps. One thread's processor time on a CPU.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks import setting
from benchmarks.memory import held
from benchmarks.step import difference
from promptbench.methods._context import placeholders
from promptbench.methods._deep_prompts import text_prompt_edits
from promptbench.models import edits
from promptbench.models.edits import Alike, Edits
from promptbench.models.towers import Tokens, Towers
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import learning
from promptbench.running.lab.compute import Compute, resolve
from promptbench.support.seeding import seeded

_STD = 0.02  # of what is learned


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", default="10,50,100", help="counts, with commas")
    parser.add_argument("--context", type=int, default=4, help="tokens before a name")
    parser.add_argument("--depth", type=int, default=1, help="blocks with prompts of their own")
    setting.add_machine(parser, repeats=5, threads=1)
    return parser.parse_args()


class Passes:
    """The two ways over the texts of some classes, with one learned context and deeper prompts."""

    def __init__(
        self, towers: Towers, classes: int, context: int, depth: int, compute: Compute
    ) -> None:
        text, words = towers.text, placeholders(context)
        self._text, self._model, self._compute = text, towers.model, compute
        self.tokens: Tokens = text.tokens(
            [f"{words} {name}." for name in setting.class_set(classes).names]
        )
        with seeded(0, "benchmark"):
            shapes = ((context, text.width), (depth, min(2, context), text.width))
            drawn = [_STD * torch.randn(*shape) for shape in shapes]
        self.learned = [each.to(compute.device).requires_grad_() for each in drawn]

    def edits(self) -> Edits:
        """What a method does to the texts: a context, and prompts in deeper blocks."""
        context, deeper = self.learned
        return text_prompt_edits(deeper) | {0: Alike(partial(edits.replace, tokens=context))}

    def shared(self) -> Tensor:
        """Features [n, embed_dim], with one opening for all."""
        return self._text.features(self.tokens, self.edits())

    def apart(self) -> Tensor:
        """The same, with an opening for each class."""
        plain = {n: e.edit if isinstance(e, Alike) else e for n, e in self.edits().items()}
        return self._text.features(self.tokens, plain)

    def step(self, features: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """A pass and its gradient: a loss, and the gradient of all that is learned."""
        for each in self.learned:
            each.grad = None
        loss = learning(self._compute, lambda: features().float().square().sum())
        loss.backward()
        gradients = (each.grad for each in self.learned if each.grad is not None)
        return loss.detach(), torch.cat([gradient.flatten() for gradient in gradients])

    def kept(self, features: Callable[[], Tensor]) -> float:
        """MiB that the backward pass keeps of a pass, weights apart."""
        return held(lambda: learning(self._compute, features), self._model) / 2**20

    def rows(self, alike: bool) -> int:
        """Tokens that a block computes."""
        tokens = self.tokens
        return tokens.layout(tokens.embedded.shape[1], 0, len(tokens), alike=alike).rows


def measured(passes: Passes, repeats: int, compute: Compute) -> dict[str, Any]:
    """Both ways in turn.

    Raises:
        SystemExit: their values or gradients differ.
    """
    ways = (passes.apart, passes.shared)
    gap = difference(*(passes.step(way) for way in ways))
    if compute.precision == "fp32" and gap > 1e-3:
        raise SystemExit(f"the two ways differ: {gap:.1e} of loss or gradient")
    calls = [partial(passes.step, way) for way in ways]
    apart, shared = setting.alternating(calls, repeats, compute.device)
    return {
        "rows": [passes.rows(alike=alike) for alike in (False, True)],
        "kept_mb": [round(passes.kept(way), 1) for way in ways],
        "apart": setting.summary(apart),
        "shared": setting.summary(shared),
        "ratio": round(min(apart) / min(shared), 2),
        "ratio_of_medians": round(median(apart) / median(shared), 2),
        "gap": float(f"{gap:.1e}"),
    }


def main() -> None:
    options = arguments()
    compute = resolve(options.device, options.precision)
    arithmetic.settle(compute.device, options.threads)
    towers = setting.random_towers(options.backbone, compute)
    cuda = compute.device.type == "cuda"
    for classes in map(int, options.classes.split(",")):
        passes = Passes(towers, classes, options.context, options.depth, compute)
        about = {
            "classes": classes,
            "context": options.context,
            "depth": options.depth,
            "device": compute.device_name if cuda else f"{platform.machine()} CPU",
            "threads": options.threads,
            "precision": compute.precision,
        }
        print(json.dumps(about | measured(passes, options.repeats, compute)), flush=True)


if __name__ == "__main__":
    main()

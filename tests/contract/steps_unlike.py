"""Methods whose steps differ or leave something behind, with what is said of each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from promptbench.core.method import ClassSet, GradientOf, Gradients
from promptbench.models.towers import Towers
from tests.contract.steady import Steady, hidden


class Surgical(Steady):
    """It makes its gradient, and remembers one in the gradient's way."""

    def gradients(self, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Gradients:
        found = gradient_of(terms["ce"])
        self.count += 1
        return found


class Counter(Steady):
    """Its loss weighs half from step 3 on."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.count += 1
        return ce if self.count < 3 else 0.5 * ce


class Hidden(Steady):
    """The same, counted where nothing that it holds changes."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (1.0 if hidden() < 4 else 0.5)


class HiddenNumber(Steady):
    """The same, with a tensor of a number."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.tensor(1.0 if hidden() < 4 else 0.5)


class Alternating(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce if hidden() % 2 else ce.neg().neg()


class Longer(Steady):
    """The same operations, and two more at the end of every second step."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.shift.register_post_accumulate_grad_hook(self.look)

    @staticmethod
    def look(shift: Tensor) -> None:
        if hidden() % 2 == 0 and shift.grad is not None:
            shift.grad.abs().sum()


class Choosing(Steady):
    """It takes another tensor of equal shape from step 4 on."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.weights = [torch.ones(3), torch.zeros(3)]

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * self.weights[hidden() > 3].mean()


class Switching(Steady):
    """It learns another parameter from step 4 on."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.other = nn.Parameter(torch.zeros(towers.embed_dim))

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        parts = self.shift[1:], self.other[1:]
        return ce + parts[hidden() > 3].square().sum()


class Writing(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.average.mul_(0.9).add_(0.1 * images.mean())
        return ce


class WritingBack(Steady):
    """It writes a buffer's own numbers to it."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.average.copy_(self.average.clone())
        return ce


class Replacing(Steady):
    """It puts another tensor in a buffer's place."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.average = self.average + 1
        return ce


class Overwriting(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            self.shift.clamp_(-1, 1)
        return ce


class Spoiling(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        images.mul_(0.5)
        return ce


class Noting(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.options["share"] /= 2
        return ce


class Keeping(Steady):
    """It keeps a number of the step on the device, where no buffer is."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.factor = 0.9 * self.factor + 0.1 * ce.detach()
        return ce


class Second(Steady):
    """It lies in its second stage only."""

    stages = 2

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.number = 1

    def begin_stage(self, number: int) -> None:
        self.number = number

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (hidden() if self.number == 2 else 1)


HALF = (
    r"step 4 does aten.mul.Tensor\(float32\[\], 0.5\) where step 3 did aten.mul.Tensor\(f.*, 1.0\)"
)

UNLIKE: dict[type[Steady], str] = {
    Counter: r"a step leaves something behind: self.count has changed \(2 -> 3\)",
    Hidden: HALF,
    HiddenNumber: r"step 4 does .*lift_fresh.*of 0.5\) where step 3 did .*lift_fresh.*of 1.0\)",
    Alternating: r"step 4 does aten.neg.default\(float32\[\]\) where step 3 did ",
    Longer: r"step 4 does (\d+) operations, step 3 did (\d+);",
    Surgical: r"a step leaves something behind: self.count has changed \(2 -> 3\)",
    Choosing: r"step 4 .*mean.*\[3\] of constant \d+\) where step 3 .*\[3\] of constant \d+\)",
    Switching: r"step 4 .* of the parameter 'other'.* where step 3 .* of the parameter 'shift'",
    Writing: "a step writes to the buffer 'average'",
    WritingBack: "a step writes to the buffer 'average'",
    Replacing: "a step writes to the buffer 'average'",
    Overwriting: "a step writes to the parameter 'shift'",
    Spoiling: "a step writes to its images",
    Noting: r"a step leaves something behind: self.options\['share'\] has changed",
    Keeping: "a step leaves something behind: self.factor has changed",
    Second: r"step 4 of stage 2 does aten.mul.Tensor\(float32\[\], \d\) where step 3 did ",
}

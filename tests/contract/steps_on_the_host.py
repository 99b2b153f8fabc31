"""Methods whose steps take the host, which no GPU replays, with what is said of each."""

from __future__ import annotations

import random
import threading

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.contract.steady import Steady


class Python(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (1 if random.random() < 2 else 0)


class Numpy(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (1 if np.random.rand() < 2 else 0)


class Torch(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.rand(1)


class TorchNumber(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.randn((), device="cpu")


class Generator(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        own = torch.Generator().manual_seed(0)
        return ce * torch.rand(1, generator=own, device=ce.device)


class Seeding(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        torch.manual_seed(3)
        return ce


class Moving(Steady):
    """It draws in a thread of its own, where nobody records."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        aside = threading.Thread(target=torch.rand, args=(1,))
        aside.start()
        aside.join()
        return ce


class Filled(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.empty(1).uniform_()


class Item(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * ce.item()


class Branch(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce if labels.max() < 99 else 2 * ce


class Scheduled(Steady):
    """A weight by how far its parameter has come."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (0.5 if float(self.shift.detach().norm()) > 1 else 1.0)


class Listing(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (1 + 0 * sum(labels.tolist()))


class Printing(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        print(ce.detach())
        return ce


class Formatting(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        self.options["last"] = len(f"{ce.detach():.1f}")
        return ce


class FromNumpy(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.from_numpy(np.ones(3)).mean()


class ToNumpy(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * float(np.asarray(labels).sum())


class ByClass(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        for number in range(len(self.classes)):
            ce = ce + 0 * images[labels == number].sum()
        return ce


class Inverting(Steady):
    """A GPU is asked whether a matrix had an inverse."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * torch.linalg.inv(torch.eye(3, device=ce.device) + ce.detach()).sum()


class Leaving(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * ce.to("cpu").detach()


class Hinted(Steady):
    """As one-hot does where it is not told how many classes there are."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * F.one_hot(labels).sum()


class Masked(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * images[labels > 0].sum()


class Finding(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * labels.nonzero().sum()


class Placing(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        found = torch.zeros_like(images)
        found[labels > 0] = images[:1]
        return ce + 0 * found.sum()


class Listed(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * images[[0, 1]].sum()


class Sent(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce + 0 * torch.arange(3).to(ce).sum()


class SentNumber(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.tensor(1.0, device=ce.device)


class NewNumber(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * ce.new_tensor(1.0)


class MovedNumber(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * (torch.tensor(1.0) * 2).to(ce.device)


class Mixing(Steady):
    """The share of a mixture, from a distribution of Python numbers."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        share = torch.distributions.Exponential(2.0, validate_args=False).sample()
        return ce * share


class Stacked(Steady):
    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return ce * torch.stack([torch.tensor(0.5), torch.tensor(0.5)]).sum()


READS = r"a step reads numbers back to the host \({}\)"
HOST = r"a step draws on the host \({} without device=\)"
SENT = r"a step makes a tensor on the host, which would have to be sent to a GPU \({}\)"
SHAPED = r"a step makes a tensor whose shape hangs on numbers, .* \({}\)"

ON_THE_HOST: dict[type[Steady], str] = {
    Python: "a step draws from Python's random, on the host",
    Numpy: "a step draws from numpy.random, on the host",
    Torch: HOST.format("rand"),
    TorchNumber: HOST.format("randn"),
    Generator: r"a step draws from a generator of its own \(rand\)",
    Seeding: "a step seeds torch's generators",
    Moving: "a step moves torch's generator on the host",
    Filled: SENT.format("empty without device="),
    Item: READS.format("Tensor.item"),
    Branch: READS.format("Tensor.__bool__"),
    Scheduled: READS.format("Tensor.__float__"),
    Listing: READS.format("Tensor.tolist"),
    Printing: READS.format("Tensor.__repr__"),
    Formatting: READS.format("Tensor.__format__"),
    FromNumpy: SENT.format("of numbers of the host, such as numpy's"),
    ToNumpy: READS.format("Tensor.__array__"),
    ByClass: SHAPED.format("a mask as an index"),
    Inverting: READS.format("linalg.inv"),
    Leaving: READS.format("Tensor.to"),
    Hinted: READS.format("nn.functional.one_hot"),
    Masked: SHAPED.format("a mask as an index"),
    Finding: SHAPED.format("Tensor.nonzero"),
    Placing: SHAPED.format("a mask as an index"),
    Listed: SENT.format("Tensor.__getitem__ of numbers of the host"),
    Sent: SENT.format("arange without device="),
    SentNumber: SENT.format("tensor of numbers of the host"),
    NewNumber: SENT.format("Tensor.new_tensor of numbers of the host"),
    MovedNumber: SENT.format("Tensor.to"),
    Mixing: r"a step draws on the host \(Tensor.exponential_ of numbers of the host\)",
    Stacked: SENT.format("stack of numbers of the host"),
}

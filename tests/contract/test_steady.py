"""The contract tries whether steps are alike where a method says so, and finds those that lie."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.contract import Bench, World
from promptbench.contract.bench import Build, build_of
from promptbench.contract.examination import one_thread
from promptbench.contract.steady import steps_are_alike_where_it_says_so
from promptbench.contract.verdicts import Broken
from promptbench.core.method import ClassSet, GradientOf, Gradients
from promptbench.core.registry import METHODS
from promptbench.core.traits import has_solver
from promptbench.models.towers import Towers
from promptbench.planning.settings import default_settings
from tests.contract.adversaries import Honest
from tests.short_form import first

_COUNTED = "tests.contract.steps"
# Of the methods here that take gradient steps, those whose steps are not alike.
UNSTEADY = {"coprompt", "hicropl"}
# Settings beside those of gin files under which a step does something else.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("coop", {"n_ctx": 4, "ctx_init": "", "csc": True}),
    ("coop", {"n_ctx": 4, "ctx_init": "", "class_token_position": "middle"}),
    ("prograd", {"ctx_init": False, "class_token_position": "front", "strength": 0.5}),
    ("cliplora", {"dropout": 0.5, "maps": ("q", "out", "fc", "proj"), "sides": ("image",)}),
    ("cocoop", {"ctx_init": ""}),
    ("mma", {"first": 0, "last": 3}),
    ("twosfs", {"sides": ("text",), "first_text": 4}),
    ("tipadapterf", {"passes": 0}),
    ("taskres", {"templates": ("a {}.", "the {}."), "raw_names": True}),
    ("tcp", {"prompt": "this is a photo of a {}.", "guide": "a drawing of a {}."}),
    ("maple", {"ctx_init": ""}),
    ("vpt", {"depth": 1}),
    ("mmrl", {"layers": (3, 9)}),
    ("atprompt_coop", {"one_token": True}),
]


@pytest.fixture(autouse=True)
def narrow() -> Any:
    logging.getLogger(_COUNTED).setLevel(0)
    with one_thread():
        yield


def hidden() -> int:
    """Count the calls, where no attribute of a method leads."""
    counter = logging.getLogger(_COUNTED)
    counter.setLevel(counter.level + 1)
    return counter.level


def tried(build: Build) -> str:
    return steps_are_alike_where_it_says_so(Bench.of(build, World.standard()))


def test_which_methods_are_steady() -> None:
    found = {name: METHODS.load(name).cls for name in METHODS.names()}
    steady = {name for name, cls in found.items() if cls.steady}
    with_steps = {
        name for name, cls in found.items() if not has_solver(cls) and cls.paradigm != "zero-shot"
    }
    assert steady == with_steps - UNSTEADY
    assert len(steady) == 22


@pytest.mark.parametrize("name", first(5, METHODS.names()))
def test_methods_are_steady_by_their_gin_files(name: str) -> None:
    plugin = METHODS.load(name)
    found = tried(build_of(plugin, default_settings(plugin)))
    assert ("operations compared in each of 4 steps" in found) == plugin.cls.steady


@pytest.mark.parametrize(("name", "settings"), first(4, VARIANTS))
def test_methods_are_steady_by_other_settings(name: str, settings: Mapping[str, Any]) -> None:
    assert "operations compared in each of 4 steps" in tried(
        partial(METHODS.load(name).cls, **settings)
    )


class Steady(Honest):
    """It keeps its word."""

    steady: ClassVar[bool] = True

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.register_buffer("average", torch.zeros(3))
        self.count, self.options, self.factor = 0, {"share": 0.5}, torch.tensor(1.0)
        self.average: Tensor

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        ce = F.cross_entropy(self.logits(images, prepared), labels)
        return {"ce": self.changed(ce, images, labels)}

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """The loss as this method has it."""
        return ce


class Drawing(Steady):
    """It draws in all the ways that a GPU replays, and has numbers of its own."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        noise = torch.rand(3, device=ce.device) + torch.rand_like(ce) + ce.new_empty(3).normal_()
        kept = F.dropout(noise + torch.zeros(3, device=ce.device), 0.5)
        one_hot = F.one_hot(labels, len(self.classes)).float()
        one_hot[one_hot > 2] = 0.5
        one_hot[0, 0] = 3.5
        rows = one_hot.index_select(0, labels)[labels].sum()
        return ce * (1 + 0.01 * kept.mean()) + 0 * rows * torch.tensor(0.5).to(torch.float64)


class Remembering(Steady):
    """Its first two steps fill what is remembered, as those of PromptSRC do."""

    def changed(self, ce: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        if self.count < 2:
            self.count += 1
            return ce * torch.arange(2)[self.count - 1]
        return ce


class Surgical(Steady):
    """It makes its gradient, and remembers one in the gradient's way."""

    def gradients(self, terms: Mapping[str, Tensor], gradient_of: GradientOf) -> Gradients:
        found = gradient_of(terms["ce"])
        self.count += 1
        return found


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


READS = r"a step reads numbers back to the host \({}\)"
HOST = r"a step draws on the host \({} without device=\)"
SENT = r"a step makes a tensor on the host, which would have to be sent to a GPU \({}\)"
SHAPED = r"a step makes a tensor whose shape hangs on numbers, .* \({}\)"
HALF = (
    r"step 4 does aten.mul.Tensor\(float32\[\], 0.5\) where step 3 did aten.mul.Tensor\(f.*, 1.0\)"
)

LIARS: dict[type[Steady], str] = {
    Python: "a step draws from Python's random, on the host",
    Numpy: "a step draws from numpy.random, on the host",
    Torch: HOST.format("rand"),
    TorchNumber: HOST.format("randn"),
    Generator: r"a step draws from a generator of its own \(rand\)",
    Seeding: "a step seeds torch's generators",
    Moving: "a step moves torch's generator on the host",
    Filled: SENT.format("empty without device="),
    Counter: r"a step leaves something behind: self.count has changed \(2 -> 3\)",
    Hidden: HALF,
    HiddenNumber: r"step 4 does .*lift_fresh.*of 0.5\) where step 3 did .*lift_fresh.*of 1.0\)",
    Alternating: r"step 4 does aten.neg.default\(float32\[\]\) where step 3 did ",
    Longer: r"step 4 does (\d+) operations, step 3 did (\d+);",
    Surgical: r"a step leaves something behind: self.count has changed \(2 -> 3\)",
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
    Choosing: r"step 4 .*mean.*\[3\] of constant \d+\) where step 3 .*\[3\] of constant \d+\)",
    Switching: r"step 4 .* of the parameter 'other'.* where step 3 .* of the parameter 'shift'",
    Listed: SENT.format("Tensor.__getitem__ of numbers of the host"),
    Sent: SENT.format("arange without device="),
    SentNumber: SENT.format("tensor of numbers of the host"),
    NewNumber: SENT.format("Tensor.new_tensor of numbers of the host"),
    MovedNumber: SENT.format("Tensor.to"),
    Mixing: r"a step draws on the host \(Tensor.exponential_ of numbers of the host\)",
    Stacked: SENT.format("stack of numbers of the host"),
    Writing: "a step writes to the buffer 'average'",
    WritingBack: "a step writes to the buffer 'average'",
    Replacing: "a step writes to the buffer 'average'",
    Overwriting: "a step writes to the parameter 'shift'",
    Spoiling: "a step writes to its images",
    Noting: r"a step leaves something behind: self.options\['share'\] has changed",
    Keeping: "a step leaves something behind: self.factor has changed",
    Second: r"step 4 of stage 2 does aten.mul.Tensor\(float32\[\], \d\) where step 3 did ",
}


@pytest.mark.parametrize("cls", LIARS)
def test_a_method_that_lies_is_refused_with_what_was_seen(cls: type[Steady]) -> None:
    with pytest.raises(Broken, match=LIARS[cls]) as said:
        tried(cls)
    assert str(said.value).endswith("; steady = False is always right")


@pytest.mark.parametrize("cls", [Torch, Hidden, Writing])
def test_what_would_be_refused_may_stay_undeclared(cls: type[Steady]) -> None:
    honest = type(cls.__name__, (cls,), {"steady": False, "__module__": cls.__module__})
    found = tried(honest)
    assert found.startswith("not declared; a GPU runs its steps one operation at a time: ")
    assert "could be declared" not in found


@pytest.mark.parametrize("cls", [Steady, Drawing, Remembering])
def test_a_method_that_keeps_its_word_is_believed(cls: type[Steady]) -> None:
    assert tried(cls).endswith("operations compared in each of 4 steps")


def test_one_that_says_nothing_is_told_that_it_could() -> None:
    assert tried(Honest) == (
        "not declared; a GPU runs its steps one operation at a time; with these settings it could "
        "be declared: steady = True"
    )


def test_without_gradient_steps_there_is_nothing_to_try() -> None:
    for name in ("zeroshot", "tipadapter"):
        assert tried(METHODS.load(name).cls) == "it takes no gradient steps"


class Tuned(Drawing):
    """Drawing with a network whose layers draw and normalise by themselves."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        width = towers.embed_dim
        self.net = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(0.3)
        )

    def prepare(self, classes: ClassSet) -> Any:
        found = super().prepare(classes)
        return F.normalize(found + self.net(found), dim=-1)


class Normed(Tuned):
    """The same with a norm that keeps averages of what it sees."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.net.append(nn.BatchNorm1d(towers.embed_dim))


def test_layers_of_torch_are_judged_by_what_they_do() -> None:
    assert "operations compared" in tried(Tuned)
    with pytest.raises(Broken, match=r"a step writes to the buffer 'net\.4\.num_batches_tracked'"):
        tried(Normed)

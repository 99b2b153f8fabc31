"""Every method keeps the contract, and the contract catches methods that do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from promptbench.contract import (
    CHECKS,
    OTHER,
    Bench,
    Check,
    World,
    checks,
    evaluation,
    examine,
    metrics,
    protocols,
)
from promptbench.contract.examination import one_thread
from promptbench.contract.verdicts import Broken, point_of
from promptbench.core.method import ClassSet, Method, unit
from promptbench.core.registry import METHODS
from promptbench.core.traits import has_decoupled_inference
from promptbench.models import edits
from promptbench.models.towers import Towers
from tests.running.training.keeping import Keeping
from tests.short_form import every


@pytest.mark.parametrize(
    ("name", "check"),
    every(13, METHODS.names(), CHECKS),
    ids=lambda each: getattr(each, "__name__", each),
)
def test_methods_keep_the_contract(name: str, check: Check) -> None:
    with one_thread():
        assert check(Bench.of(METHODS.load(name).cls, World.drawn(0, name, check.__name__)))


class Batchy(Method):
    """Peeks at the rest of the batch, and loses a gradient."""

    title, paper, paradigm = "batchy", "", "end-to-end"

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.used, self.unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))

    def prepare(self, classes: ClassSet) -> Tensor:
        text = self.towers.text
        return unit(text.features(text.tokens(classes.prompts)))

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        return self.used * (features - features.mean(dim=0)) @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        return {"ce": nn.functional.cross_entropy(self.logits(images, prepared), labels)}


def test_the_contract_names_what_broke() -> None:
    broken = {v.point: v.detail for v in examine(Batchy) if not v.held}
    assert set(broken) == {
        "Each learnable, float32, gets a gradient; no tower weight does.",
        "A sample alone has the logits it has in a batch.",
        "At bfloat16 a method is built, learns, and still gives float32 logits.",
        "An image has the same logits in any order, in batches of any size, after any others.",
    }
    precision = broken["At bfloat16 a method is built, learns, and still gives float32 logits."]
    assert precision.startswith("logits are torch.bfloat16 at --precision bf16, not float32")
    assert "unused" in broken["Each learnable, float32, gets a gradient; no tower weight does."]


class Slow(Batchy):
    """Learns a scale of the logits, then a weight of class texts that begins at zero."""

    paradigm, stages, class_texts = "feature space", 2, True

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.register_buffer("stage", torch.ones(()))
        with torch.no_grad():
            self.unused.zero_()

    def begin_stage(self, number: int) -> None:
        self.stage.fill_(number)

    def prepare(self, classes: ClassSet) -> Tensor:
        said = super().prepare(replace(classes, names=tuple(t[0] for t in classes.texts)))
        weight = self.unused if self.stage == 2 else self.unused.detach()
        return super().prepare(classes) + weight * said

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        image = self.towers.image
        return self.used * unit(image.features(image.tokens(images))) @ prepared.T


class Forgetful(Slow):
    """Keeps its stage in an attribute, which is lost with the object."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        del self.stage
        self.stage = torch.ones(())

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        return super().logits(images, prepared) * (1 if self.stage == 1 else 1 - self.unused)


def test_what_begins_at_zero_is_looked_at_after_a_step() -> None:
    assert checks.class_texts_are_used_where_it_says_so(Bench.of(Slow))
    assert checks.state_is_its_own_and_round_trips(Bench.of(Slow))
    with pytest.raises(Broken, match=r"a reloaded method has another (loss|gradient) in stage 2"):
        checks.state_is_its_own_and_round_trips(Bench.of(Forgetful))


def test_a_learned_row_for_trained_names_is_selective_or_broken() -> None:
    marked = Keeping
    unmarked = type("Unmarked", (Keeping,), {"paradigm": "end-to-end"})
    broken = {v.point for v in examine(unmarked) if not v.held}
    assert [point.split(" are ")[0] for point in broken] == ["Names that were trained on"]
    assert all(verdict.held for verdict in examine(marked))


def test_alignednorm_costs_nothing_over_mmrlpp() -> None:
    """Equal parameters, shape by shape, and one inference code path."""
    ours, theirs = METHODS.load("alignednorm").cls, METHODS.load("mmrlpp").cls
    shapes = [
        {n: tuple(p.shape) for n, p in Bench.of(cls).method.named_parameters()}
        for cls in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
    for step in ("prepare", "logits", "image_features", "_edits", "compose", "rep_projection"):
        assert getattr(ours, step) is getattr(theirs, step)


def test_aligned_weights_change_the_training_alone() -> None:
    benches = [Bench.of(METHODS.load(name).cls) for name in ("alignednorm", "mmrlpp")]
    for bench in benches:
        with torch.no_grad():
            for number, parameter in enumerate(bench.method.parameters()):
                stream = torch.Generator().manual_seed(number)
                parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.1)
    assert torch.equal(benches[0].logits(OTHER), benches[1].logits(OTHER))
    assert float(benches[0].total().detach()) > float(benches[1].total().detach())


class Unlike(Batchy):
    """An edit that is marked `Alike`, and is not for every class, or at every time."""

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.ctx = nn.Parameter(0.02 * torch.randn(2, towers.text.width))
        self.gate = nn.Parameter(torch.zeros(()))
        self.own = nn.Linear(towers.embed_dim, towers.text.width, bias=False)
        nn.init.zeros_(self.own.weight)

    def encoded(self, classes: ClassSet, context: Tensor, at: int = 1) -> Tensor:
        text = self.towers.text
        tokens = text.tokens([f"X X {name}." for name in classes.names])
        if at > 1:
            place = edits.Alike(partial(edits.insert, tokens=context, at=at))
            return unit(text.features(text.tokens(classes.prompts), {6: place}))
        return unit(text.features(tokens, {0: edits.Alike(partial(edits.replace, tokens=context))}))

    def of_classes(self, classes: ClassSet) -> Tensor:
        """A token for each class, which begins as the same for all and one step does not move."""
        frozen = super().prepare(classes)
        return self.ctx + self.gate * self.own(frozen).unsqueeze(1)

    def prepare(self, classes: ClassSet) -> Tensor:
        return self.encoded(classes, self.ctx)


class UnlikeClasses(Unlike):
    def prepare(self, classes: ClassSet) -> Tensor:
        return self.encoded(classes, self.of_classes(classes))


class UnlikeInLosses(Unlike):
    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        other = self.encoded(self.classes, self.of_classes(self.classes))
        return {**super().losses(images, labels, prepared), "apart": (other - prepared).sum()}


class UnlikeInLogits(Unlike):
    """As CoCoOp, which encodes texts for each image."""

    def prepare(self, classes: ClassSet) -> Any:
        return classes

    def logits(self, images: Tensor, prepared: Any) -> Tensor:
        return super().logits(images, self.encoded(prepared, self.of_classes(prepared)))


class UnlikeInEvaluation(Unlike):
    def prepare(self, classes: ClassSet) -> Tensor:
        return self.encoded(classes, self.ctx if self.training else self.of_classes(classes))


class UnlikeBehindNames(Unlike):
    """What it inserts stands behind the first words of names, where a template begins with them."""

    def prepare(self, classes: ClassSet) -> Tensor:
        return self.encoded(classes, self.ctx, at=3)


@pytest.mark.parametrize(
    "cls",
    [UnlikeClasses, UnlikeInLosses, UnlikeInLogits, UnlikeInEvaluation, UnlikeBehindNames],
)
def test_an_edit_that_is_not_alike_is_found_out(cls: type[Method]) -> None:
    check = evaluation.edits_leave_texts_alike_where_they_say_so
    for seed in range(3):
        with pytest.raises(Broken, match=r"is marked `edits\.Alike`, but texts that begin with"):
            check(Bench.of(cls, World.drawn(seed, "unlike")))


def test_what_is_said_of_a_wrong_mark() -> None:
    check = evaluation.edits_leave_texts_alike_where_they_say_so
    with pytest.raises(Broken) as found:
        check(Bench.of(UnlikeBehindNames, World.standard()))
    assert str(found.value).endswith(
        "(the 2 that it inserts among them): leave out the mark, or give all classes the same "
        "tokens"
    )


MARKED = (
    "alignednorm atprompt_coop atprompt_maple cocoop coop coprompt dekg_kgcoop dekg_tcp hicropl "
    "ivlp kgcoop maple mmrl mmrlpp prograd promptsrc tcp"
)


@pytest.mark.parametrize("name", MARKED.split())
def test_marks_of_methods_are_there_and_looked_at(name: str) -> None:
    check = evaluation.edits_leave_texts_alike_where_they_say_so
    assert check in CHECKS
    assert " edits, behind which up to " in check(
        Bench.of(METHODS.load(name).cls, World.standard())
    )


def test_decoupled_inference_of_mmrlpp() -> None:
    bench = Bench.of(METHODS.load("mmrlpp").cls)
    method: Any = bench.method.eval()
    prepared = method.prepare(bench.method.classes)
    unified = method.logits(bench.images, prepared)
    assert torch.equal(method.logits_decoupled(bench.images, prepared, "none"), unified)
    shifted = [
        method.logits_decoupled(bench.images, prepared, s) for s in ("classes", "domain", "dataset")
    ]
    assert all(torch.equal(s, shifted[0]) for s in shifted)
    assert not torch.allclose(shifted[0], unified)
    assert not has_decoupled_inference(METHODS.load("alignednorm").cls)


def test_without_training_prompts_zero_shot_is_the_class_feature() -> None:
    """CoOp from "a photo of a" starts at the zero-shot classifier of that template."""
    bench = Bench.of(METHODS.load("coop").cls)
    zeroshot = Bench.of(METHODS.load("zeroshot").cls)
    classes = ClassSet(("cat", "river"), "a photo of a {}.")
    assert torch.allclose(bench.logits(classes), zeroshot.logits(classes), atol=1e-4)


@pytest.mark.parametrize("found", [CHECKS, metrics.CHECKS, protocols.CHECKS])
def test_a_point_is_a_whole_sentence(found: Sequence[Callable[..., object]]) -> None:
    """Whatever its length, since `promptbench check` prints it."""
    points = [point_of(check) for check in found]
    assert [point for point in points if not point.endswith(".") or "\n" in point] == []
    assert len(set(points)) == len(points)

"""Parity with the reference implementation of a method that learns from two views of an image, and
from one sentence about each class: CoPrompt."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.contract import TRAIN, checks, tiny_towers, world_of
from promptbench.contract.bench import Bench
from promptbench.contract.verdicts import Broken
from promptbench.core.method import ClassSet, unit
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.methods._class_texts import OneSentence, encoded
from promptbench.methods.coprompt import CoPrompt
from promptbench.models.towers import Capture
from promptbench.support.seeding import seeded
from tests.golden_set import GRAD, LABELS, SALT, Case, cases, tinyclip
from tests.methods.golden_adapters import View, Views, coupled_prompts, filled
from tests.methods.test_golden_deltas import STEP, TRACED
from tests.methods.test_golden_texts import told

VIEWS = ("coprompt",)
CASES = [name for _, name in cases(*VIEWS)]


class Opened:
    """A case with the method under its settings, on its two views and its sentence."""

    def __init__(self, name: str) -> None:
        case = self.case = Case("coprompt", name)
        case.classes, case.new_classes = (
            told(case, classes.names) for classes in (case.classes, case.new_classes)
        )
        c = case.config
        self.built = CoPrompt(
            case.towers,
            case.classes,
            n_ctx=c["N_CTX"],
            depth=c["PROMPT_DEPTH"],
            ctx_init=c["CTX_INIT"],
            w_consistency=c["W"],
            share_image=c["IMAGE_ADAPTER_M"],
            share_text=c["TEXT_ADAPTER_M"],
        )
        self.views: Views = coupled_prompts(self.built)
        for side in ("image", "text"):
            linears: Any = getattr(self.built, f"{side}_adapter")
            for place, linear in zip((0, 2), linears, strict=True):
                self.views[f"adapter_{side}.fc.{place}.weight"] = View(linear.weight)
        filled(case, self.built, self.views)
        count = len(case.classes.texts[0])
        self.share = (c["SENTENCE"] + 0.5) / count
        second = tinyclip.fill(SALT, f"images2/{len(LABELS)}", case.images.shape)
        self.images = torch.stack([case.images, second.to(case.images)], dim=1)

    def terms(self) -> dict[str, Tensor]:
        self.built.drawn = lambda: self.share  # type: ignore[method-assign]
        return self.built.losses(self.images, LABELS, self.built.prepare(self.case.classes))

    def steps(self, optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
        """Total loss before each of three steps, and after the third."""
        for number in range(4):
            total = self.built.total(self.terms())
            yield total.detach()
            if number < 3:
                optimizer.zero_grad()
                total.backward()
                optimizer.step()


@pytest.mark.parametrize("name", CASES)
def test_values_and_losses(name: str) -> None:
    opened = Opened(name)
    case, built = opened.case, opened.built
    image, text = case.towers.image, case.towers.text
    raw = image.features(image.tokens(case.images), built.image_edits())
    for side, features in (("text", built.raw_text_features(case.classes)), ("image", raw)):
        case.check(f"{side}_features_raw", features)
        case.check(f"{side}_features", unit(features))
    prepared = built.prepare(case.classes)
    case.check("text_features_adapted", prepared.text)
    case.check("image_features_adapted", built.image_features(case.images))
    case.check("shared_ctx_visual", built.image_prompts()[0])
    case.check("deep_prompts_visual", built.image_prompts()[1:])
    case.check("clip/text_features", OneSentence(text, "CoPrompt")(case.classes, opened.share))
    case.check("clip/image_features2", unit(image.features(image.tokens(opened.images[:, 1]))))
    case.check("logits", built.logits(case.images, prepared))
    case.check("new/logits", built.logits(case.images, built.prepare(case.new_classes)))
    terms = opened.terms()
    for term, value in terms.items():
        case.check(f"loss/{term}", value)
    case.check("loss/total", built.total(terms))


@pytest.mark.parametrize("name", CASES)
def test_traces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(name)
    case, text, image = opened.case, opened.case.towers.text, opened.case.towers.image
    asked: list[Any] = []
    features = text.features
    monkeypatch.setattr(text, "features", lambda *a: asked.append(a) or features(*a))
    opened.built.prepare(case.classes)
    (tokens, edits) = asked[0]
    ids = case.tensors["tokens"].long().to(case.towers.device)
    assert torch.equal(tokens.ends, ids.argmax(dim=-1).cpu())
    length = tokens.embedded.shape[1]
    assert torch.equal(tokens.embedded, case.towers.model.token_embedding(ids[:, :length]))
    if "trace/text_eot" in case.tensors:
        placed = edits[0](tokens.embedded)[2:4]
        case.check("prompts", placed[:, : case.tensors["prompts"].shape[1]])
        seen_text, seen_image = Capture(TRACED), Capture(TRACED)
        text.run(tokens, edits, seen_text)
        image.run(image.tokens(case.images), opened.built.image_edits(), seen_image)
        rows = torch.arange(len(tokens))
        eot = torch.stack([seen_text.outputs[b][rows, tokens.ends] for b in TRACED])
        case.check("trace/text_eot", eot)
        case.check("trace/visual_cls", torch.stack([seen_image.outputs[b][:, 0] for b in TRACED]))


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    opened = Opened(name)
    opened.built.total(opened.terms()).backward()
    for key, view in opened.views.items():
        opened.case.check(f"grad/{key}", view.grad, GRAD)


@pytest.mark.parametrize("name", CASES)
def test_optimiser_steps(name: str) -> None:
    opened = Opened(name)
    case, built, views = opened.case, opened.built, opened.views
    before = {key: view.value.clone() for key, view in views.items()}
    optimizer = Recipe(lr=3.5e-3, weight_decay=5e-4).build_optimizer(built)
    case.check("opt_sgd/losses", torch.stack([*opened.steps(optimizer)]), STEP)
    logits = built.logits(case.images, built.prepare(case.classes))
    case.check("opt_sgd/logits_after", logits, STEP)
    moved = torch.stack([(views[key].value - before[key]).norm() for key in sorted(views)])
    case.check("opt_sgd/param_change_l2", moved, STEP)


def of_texts(*texts: tuple[str, ...]) -> ClassSet:
    return ClassSet(TRAIN.names[: len(texts)], TRAIN.template, texts)


def test_one_sentence_of_each_class_is_taken_the_same_number_of_equally_long_lists() -> None:
    text = tiny_towers().text
    features, _ = encoded(text, [list("abcdefghi")])
    one = OneSentence(text, "a method")
    classes = of_texts(("a", "b", "c"), ("d", "e", "d"))
    taken = {share: one(classes, share) for share in (0.0, 0.3, 0.4, 0.65, 0.7, 1 - 2**-24)}
    for share, wanted in zip(taken, ("ad", "ad", "be", "be", "cd", "cd"), strict=True):
        rows = ["abcdefghi".index(sentence) for sentence in wanted]
        assert torch.allclose(taken[share], features[rows], atol=1e-6)
    others = of_texts(("a",), ("f", "g"), ("h", "i", "b", "c"))
    for share, wanted in ((0.0, "afh"), (0.49, "afi"), (0.5, "agb"), (0.99, "agc")):
        rows = ["abcdefghi".index(sentence) for sentence in wanted]
        assert torch.allclose(one(others, share), features[rows], atol=1e-6)
    with pytest.raises(UserError, match="add --class-texts FILE"):
        one(ClassSet(TRAIN.names, TRAIN.template), 0.5)


def test_a_sentence_is_drawn_at_each_step_from_the_streams_of_the_cell() -> None:
    clip = tiny_towers()
    classes = ClassSet(TRAIN.names, TRAIN.template, tuple(tuple("abcdefg") for _ in TRAIN.names))
    built = CoPrompt(clip, classes)
    images, labels = torch.randn(2, 2, 3, 16, 16), torch.tensor([0, 1])

    def losses(seed: int) -> list[float]:
        with seeded(seed, "steps"):
            return [
                built.losses(images, labels, built.prepare(classes))["reg_text"].item()
                for _ in range(12)
            ]

    first = losses(1)
    assert losses(1) == first != losses(2)
    assert 3 <= len(set(first)) <= 7
    before = torch.get_rng_state()
    built.logits(images[:, 0], built.prepare(classes))  # what evaluation asks draws nothing
    assert torch.equal(torch.get_rng_state(), before)


def size(**settings: Any) -> int:
    """How many numbers it learns on the widths of ViT-B/16."""
    shape: Any = SimpleNamespace(
        text=SimpleNamespace(width=512, encode=str.split, embed=lambda words: torch.zeros(4, 512)),
        image=SimpleNamespace(width=768),
        embed_dim=512,
    )
    return sum(p.numel() for p in CoPrompt(shape, TRAIN, **settings).parameters())


def test_what_it_learns() -> None:
    assert size() == size(n_ctx=2, depth=9) == CoPrompt.vit_b16_parameters == 3_817_216
    assert size(n_ctx=4, depth=12) == 5_014_528
    with pytest.raises(UserError, match=r"CoPrompt\.reduction = 999 leaves nothing of the 512"):
        size(reduction=999)


class Deaf(CoPrompt):
    """Says that it uses class texts, and learns from others."""

    def losses(self, images: Tensor, labels: Tensor, prepared: Any) -> dict[str, Tensor]:
        found = super().losses(images, labels, prepared)
        return {name: term for name, term in found.items() if name != "reg_text"}


def test_texts_that_only_losses_use_are_found_and_missed() -> None:
    check = checks.class_texts_are_used_where_it_says_so
    assert "of the loss" in check(Bench.of(CoPrompt, world_of(check, 0)))
    with pytest.raises(Broken, match="the same logits and the same loss"):
        check(Bench.of(Deaf, world_of(check, 0)))

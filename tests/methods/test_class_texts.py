"""Methods that use sentences about classes: equal to open_clip's own computation, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.contract import (
    TRAIN,
    Bench,
    Check,
    World,
    checks,
    evaluation,
    tiny_towers,
    world_of,
)
from promptbench.contract.bench import Configured
from promptbench.contract.verdicts import Broken
from promptbench.core.method import ClassSet, Method
from promptbench.core.traits import extra_data_of, uses_class_texts
from promptbench.errors import UserError
from promptbench.methods import _class_texts
from promptbench.methods.hicropl import HiCroPL
from promptbench.methods.zeroshot import ZeroShot
from promptbench.models.backbones import load_tokenizer
from tests.golden_set import NAMES, SALT, tinyclip, towers
from tests.short_form import every

CLASSES = ClassSet(
    NAMES,
    "a photo of a {}.",
    tuple(
        (f"a {name} seen from far away.", f"{name}!", f"the {name}, again")[: 1 + i % 3]
        for i, name in enumerate(NAMES)
    ),
)
TEMPLATES = ("itap of a {}.", "a bad photo of the {}.", "a origami {}.")


def naive(images: Tensor, sentences: Sequence[Sequence[str]]) -> Tensor:
    """CLIP's zero-shot classifier of several sentences per class, as its authors compute it."""
    model, tokenizer = towers("tiny64").model, load_tokenizer("ViT-B-16-quickgelu")
    weights = []
    for own in sentences:
        features = model.encode_text(tokenizer(list(own)))
        mean = (features / features.norm(dim=-1, keepdim=True)).mean(dim=0)
        weights.append(mean / mean.norm())
    seen = model.encode_image(images)
    seen = seen / seen.norm(dim=-1, keepdim=True)
    logits: Tensor = model.logit_scale.exp() * seen @ torch.stack(weights).T
    return logits


@pytest.mark.parametrize("class_texts", [False, True])
@pytest.mark.parametrize("templates", [(), TEMPLATES])
def test_zeroshot_equals_open_clip(templates: tuple[str, ...], class_texts: bool) -> None:
    usual = () if templates or class_texts else (CLASSES.template,)
    sentences = [
        [t.format(words) for t in (*templates, *usual)] + list(own if class_texts else ())
        for words, own in zip(CLASSES.words, CLASSES.texts, strict=True)
    ]
    images = tinyclip.images(SALT, 4)
    method = ZeroShot(towers("tiny64"), CLASSES, templates=templates, class_texts=class_texts)
    with torch.no_grad():
        logits, expected = method.logits(images, method.prepare(CLASSES)), naive(images, sentences)
    assert torch.allclose(logits, expected, atol=1e-4, rtol=1e-5)


def test_many_sentences_are_encoded_in_parts_and_repeated_ones_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clip = tiny_towers()
    sentences = [[f"a cat {n % 5}" for n in range(9)], ["a dog", "a dog", "a cat 1"]]
    whole = _class_texts.mean_features(clip.text, sentences)
    monkeypatch.setattr(_class_texts, "_AT_ONCE", 2)
    seen: list[str] = []
    tokens = clip.text.tokens
    monkeypatch.setattr(clip.text, "tokens", lambda texts: seen.extend(texts) or tokens(texts))
    assert torch.allclose(_class_texts.mean_features(clip.text, sentences), whole, atol=1e-6)
    assert sorted(seen) == [*(f"a cat {n}" for n in range(5)), "a dog"]


def test_what_is_not_a_template_is_refused() -> None:
    for template in ("a cat", "a {} or {}", "a {name}", "{0}"):
        with pytest.raises(UserError, match=r"must have one \{\}, for the class name"):
            ZeroShot(tiny_towers(), TRAIN, templates=(template,))


def test_class_texts_are_of_every_class_or_of_none() -> None:
    with pytest.raises(ValueError, match="texts of 1 classes for 2 names"):
        ClassSet(("a", "b"), "{}", (("x",),))
    with pytest.raises(ValueError, match="texts of 1 classes for 2 names"):
        ClassSet(("a", "b"), "{}", (("x",), ()))
    some = CLASSES.at([2, 0])
    assert (some.names, some.texts) == ((NAMES[2], NAMES[0]), (CLASSES.texts[2], CLASSES.texts[0]))
    assert TRAIN.at([1]).texts == ()


def test_what_a_record_says_of_extra_data_follows_from_what_is_used() -> None:
    assert extra_data_of(ZeroShot, {}) == "none"
    assert extra_data_of(ZeroShot, {"class_texts": True}) == "class texts"
    assert extra_data_of(HiCroPL, {}) == HiCroPL.extra_data == "class texts"
    also = type("Also", (ZeroShot,), {"extra_data": "captions", "class_texts": True})
    assert extra_data_of(also, {}) == "captions, class texts"
    assert uses_class_texts(HiCroPL, {}) and not uses_class_texts(ZeroShot, {})


CONFIGURED = {
    "CuPL": Configured(ZeroShot, {"class_texts": True, "templates": TEMPLATES[:1]}, True),
    "as released": Configured(
        HiCroPL, {"n_ctx": 3, "depth": 4, "cross_layer": 2, "as_released": True}, True
    ),
}


POINTS = (  # those on which texts, or what the released code writes over, could fail
    checks.gradients_reach_all_learnables_and_nothing_else,
    checks.logits_follow_the_order_of_the_classes,
    checks.logits_of_a_class_do_not_depend_on_the_other_classes,
    checks.class_texts_are_used_where_it_says_so,
    checks.state_is_its_own_and_round_trips,
    checks.same_seed_gives_the_same_method,
    evaluation.logits_do_not_depend_on_the_stream_of_images,
    evaluation.logits_do_not_depend_on_what_was_asked_before,
    evaluation.evaluation_leaves_no_trace,
)


@pytest.mark.parametrize(
    ("name", "check"),
    every(2, list(CONFIGURED), POINTS),
    ids=lambda each: getattr(each, "__name__", each),
)
def test_the_contract_holds_for_variants_that_use_texts(name: str, check: Check) -> None:
    assert check(Bench.of(CONFIGURED[name], world_of(check, 3)))


class Boaster(ZeroShot):
    """Says that it uses class texts, and does not."""

    class_texts = True

    def text_features(self, classes: ClassSet) -> Tensor:
        return super().text_features(replace(classes, texts=()))


def test_a_method_that_only_says_that_it_uses_texts_is_found_out() -> None:
    check = checks.class_texts_are_used_where_it_says_so
    boaster: Any = partial(Boaster, class_texts=False)
    boaster.class_texts = True
    with pytest.raises(Broken, match="other class texts give the same logits"):
        check(Bench.of(boaster, world_of(check, 0)))


def test_only_a_method_that_says_so_is_given_texts() -> None:
    world = World.standard()
    given: list[ClassSet] = []

    def build(clip: Any, classes: ClassSet) -> Method:
        given.append(classes)
        return ZeroShot(clip, classes)

    assert not Bench.of(build, world.told(True)).scored.texts and not given[0].texts
    assert all(map(len, world.told(True).train.texts))
    assert len({len(texts) for texts in World.drawn(1, "x").told(True).train.texts}) > 1

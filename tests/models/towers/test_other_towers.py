"""Towers that are not CLIP's: equal to open_clip's encoders, and to plain modules where edited."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.families import FAMILIES, config_of, randomised, register
from promptbench.errors import UserError
from promptbench.models import edits
from promptbench.models.backbones import build, capabilities_of, load_tokenizer
from promptbench.models.deltas import Delta, low_rank
from promptbench.models.edits import Edit
from promptbench.models.towers import Towers

TEXTS = (
    "a photo of a cat.",
    "a photo of a great white shark in the sea.",
    "dog",
    "a photo of a red fox.",
)
SPECIAL = {"t5": ((), (1,), 1), "gemma": ((), (1,), 0), "xlm": ((0,), (2,), 1)}
SPECIAL |= {"bert": ((2,), (0,), 0)}


class PlainWords:
    """What open_clip's wrapping of a tokenizer of transformers has: words are numbers, and special
    tokens stand around them."""

    strip_sep_token, tokenizer_mode, padding_side = False, "", "right"
    clean_fn = staticmethod(str.lower)

    def __init__(self, kind: str) -> None:
        self._start, self._end, self.pad_token_id = SPECIAL[kind]
        self.tokenizer = self

    def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
        words = [10 + sum(map(ord, w)) * 7 % 450 for w in text.replace(".", " .").split()]
        whole = [*self._start, *words, *self._end]
        return SimpleNamespace(input_ids=whole if add_special_tokens else words)


@functools.cache
def towers(family: str) -> Towers:
    name, config = register(family), config_of(family)
    kind = config["text_cfg"].get("hf_tokenizer_name")
    tokenizer = PlainWords(kind) if kind else load_tokenizer(name)
    return Towers(randomised(build(name, config)).train(), tokenizer)


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Towers:
    chosen = towers(request.param)
    chosen.forget()
    return chosen


OF_OPEN_CLIP = [
    family for family, has in FAMILIES.items() if "hf_model_name" not in has["text_cfg"]
]
everywhere = pytest.mark.parametrize("fresh", OF_OPEN_CLIP, indirect=True)


def of(*families: str) -> Any:
    return pytest.mark.parametrize("fresh", families, indirect=True)


def images_for(clip: Towers, count: int = 3) -> Tensor:
    size = clip.model.visual.image_size
    side = size[0] if isinstance(size, tuple) else size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(count))


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@everywhere
def test_unedited_features_are_open_clips(fresh: Towers) -> None:
    images, ids = images_for(fresh), fresh.text.token_ids(TEXTS)
    with torch.no_grad():
        image = fresh.model.encode_image(images, normalize=False)
        text = fresh.model.encode_text(ids, normalize=False)
    close(fresh.image.features(fresh.image.tokens(images)), image)
    close(fresh.text.features(fresh.text.tokens(TEXTS)), text)
    assert fresh.embed_dim == image.shape[1] == text.shape[1]


@pytest.mark.parametrize("family", OF_OPEN_CLIP)
def test_what_a_name_offers_is_what_its_towers_offer(family: str) -> None:
    own = towers(family).capabilities  # which registers the name
    assert capabilities_of(f"small-{family}") == own


@everywhere
def test_features_are_computed_once_and_remembered(fresh: Towers) -> None:
    images = images_for(fresh)
    tokens = fresh.image.tokens(images)
    assert fresh.image.features(tokens) is fresh.image.features(fresh.image.tokens(images))
    images += 1
    assert fresh.image.tokens(images) is not tokens


def plain_text(clip: Towers, table: Mapping[int, Edit], deltas: Mapping[int, Delta]) -> Tensor:
    """The text tower in open_clip's modules, over whole rows, as its own forward does."""
    part = getattr(clip.model, "text", clip.model)
    ids = clip.text.token_ids(TEXTS)
    start = clip.text._words.before

    def edited(x: Tensor, number: int) -> Tensor:
        if number not in table:
            return x
        if start:
            return table[number](x)
        return table[number](torch.cat([torch.zeros_like(x[:, :1]), x], dim=1))[:, 1:]

    x = edited(part.token_embedding(ids), 0)
    x = x + part.positional_embedding[: x.shape[1]]
    inserted = 0
    for number, module in enumerate(part.transformer.resblocks, 1):
        before = x.shape[1]
        x = edited(x, number)
        inserted += x.shape[1] - before
        mask = None if part.attn_mask is None else causal(x.shape[1])
        beside = deltas[number].beside if number in deltas else None
        x = module(x, attn_mask=mask) + (beside(module.ln_1(x)) if beside else 0)
    x = part.ln_final(x)
    pooling = getattr(part, "text_pool_type", None) or part.pool_type
    if pooling == "last":
        read = x[:, -1]
    else:
        eos = getattr(part, "text_eos_id", getattr(part, "eos_id", None))
        ends = ids.argmax(-1) if pooling == "argmax" else ids.eq(eos).int().argmax(-1)
        read = x[torch.arange(len(x)), ends + inserted]
    projection = part.text_projection
    return projection(read) if callable(projection) else read @ projection


def causal(length: int) -> Tensor:
    return torch.full((length, length), -torch.inf).triu(1)


def compared(run: Callable[[Any], Tensor], plain: Callable[[Any], Tensor], *shape: int) -> None:
    """Values and gradients of what is learned."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    values, grads = [], []
    for function in (run, plain):
        learned = drawn.clone().requires_grad_()
        found = function(learned)
        found.square().sum().backward()
        assert learned.grad is not None and learned.grad.abs().max() > 0
        values.append(found.detach())
        grads.append(learned.grad)
    close(*values)
    assert (grads[0] - grads[1]).abs().max() <= 1e-4 * grads[1].abs().max()


TEXT_KINDS = of(
    *("ViT-B-16-SigLIP", "ViT-B-16-SigLIP2", "ViT-L-14-CLIPA", "ViT-H-14-worldwide"),
    *("MobileCLIP-S1", "PE-Core-B-16"),
)


@TEXT_KINDS
def test_prompted_texts_equal_plain_modules_with_gradients(fresh: Towers) -> None:
    """Words replaced at the start, tokens inserted and mixed in later blocks, a branch beside."""

    def table(new: Tensor) -> dict[int, Edit]:
        return {
            0: lambda x: edits.replace(x, new[0]),
            6: lambda x: edits.insert(x, new[1]),
            9: lambda x: edits.mix(x, new[2], 0.3),
        }

    def changes(new: Tensor) -> dict[int, Delta]:
        return {12: Delta(beside=low_rank(new[0], new[1].T, 0.1))}

    def run(new: Tensor) -> Tensor:
        tokens = fresh.text.tokens(TEXTS)
        return fresh.text.features(tokens, table(new), changes(new))

    compared(run, lambda n: plain_text(fresh, table(n), changes(n)), 3, 4, fresh.text.width)


@TEXT_KINDS
def test_prompted_texts_in_chunks_are_the_same(fresh: Towers) -> None:
    table = {1: lambda x: edits.insert(x, torch.ones(2, fresh.text.width))}
    whole = fresh.text.features(fresh.text.tokens(TEXTS), table)
    fresh.class_chunk = 3
    close(fresh.text.features(fresh.text.tokens(TEXTS), table), whole)
    fresh.class_chunk = None


@of("ViT-B-16-SigLIP")
def test_words_begin_behind_a_row_of_zeros_where_texts_have_no_start(fresh: Towers) -> None:
    tokens = fresh.text.tokens(TEXTS)
    assert not tokens.embedded[:, 0].any()
    words = fresh.text.embed("a photo of a")
    assert torch.equal(tokens.embedded[0, 1:5], words)


@of("ViT-B-16-SigLIP", "ViT-L-14-CLIPA")
def test_more_words_than_positions_are_refused(fresh: Towers) -> None:
    with pytest.raises(UserError, match="positions; replace tokens there"):
        fresh.text.features(
            fresh.text.tokens(TEXTS), {0: lambda x: edits.insert(x, x[0, :1].clone())}
        )


def plain_images(clip: Towers, images: Tensor, table: Mapping[int, Edit]) -> Tensor:
    """Image towers without CLS in open_clip's and timm's modules, block by block."""
    visual = clip.model.visual
    if hasattr(visual, "trunk"):
        trunk = visual.trunk
        x, blocks = trunk._pos_embed(trunk.patch_embed(images)), trunk.blocks
        x = trunk.norm_pre(table[0](x))
    else:
        patches = visual.conv1(images).flatten(2).transpose(1, 2)
        cls = visual.class_embedding.expand(len(patches), 1, -1)
        x = torch.cat([cls, patches], dim=1) + visual.positional_embedding
        x, blocks = visual.ln_pre(table[0](x)), visual.transformer.resblocks
    for number, module in enumerate(blocks, 1):
        x = module(table[number](x) if number in table else x)
    if hasattr(visual, "trunk"):
        return visual.head(visual.trunk.forward_head(visual.trunk.norm(x)))
    pooled, _ = visual._pool(x)
    return pooled @ visual.proj


@of("ViT-B-16-SigLIP", "ViT-B-16-SigLIP2", "ViT-L-14-CLIPA", "coca_ViT-B-32")
def test_visual_prompts_equal_plain_modules_with_gradients(fresh: Towers) -> None:
    """Prompts behind the patches take part in pooling, by attention or by mean."""
    images = images_for(fresh)

    def table(new: Tensor) -> dict[int, Edit]:
        return {
            0: lambda x: edits.append(x, new[0]),
            7: lambda x: edits.replace_last(x, new[1]),
        }

    compared(
        lambda n: fresh.image.features(fresh.image.tokens(images), table(n)),
        lambda n: plain_images(fresh, images, table(n)),
        *(2, 3, fresh.image.width),
    )


@of("ViT-B-16-SigLIP", "ViT-L-14-CLIPA", "RN50", "EVA02-B-16")
def test_what_reads_cls_is_refused_without_one(fresh: Towers) -> None:
    with pytest.raises(UserError, match="does not offer image_cls: image features that are read"):
        _ = fresh.image.projection
    with pytest.raises(UserError, match="does not offer image_cls"):
        fresh.image.normed(torch.zeros(1, 1, 1))


@of("RN50", "EVA02-B-16", "PE-Core-B-16", "convnext_base")
def test_encoders_that_run_whole_refuse_edits(fresh: Towers) -> None:
    tokens = fresh.image.tokens(images_for(fresh))
    for change in ({"edits": {0: lambda x: x}}, {"deltas": {1: Delta()}}):
        with pytest.raises(UserError, match="image tower does not offer image_blocks"):
            fresh.image.features(tokens, **change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="image_blocks"):
        fresh.image.run(tokens)


@of("coca_ViT-B-32")
def test_texts_that_run_whole_refuse_edits(fresh: Towers) -> None:
    with pytest.raises(UserError, match="text tower does not offer text_embeddings"):
        fresh.text.features(fresh.text.tokens(TEXTS), {0: lambda x: x})


@of("RN50")
def test_batch_norms_use_their_stored_statistics_whatever_a_method_does(fresh: Towers) -> None:
    from promptbench.core.method import ClassSet
    from promptbench.methods.coop import CoOp

    images = images_for(fresh, 4)
    method = CoOp(fresh, ClassSet(("cat", "dog"), "a photo of a {}."))
    before = {name: value.clone() for name, value in fresh.model.named_buffers()}
    method.train()
    prepared = method.prepare(method.classes)
    method.total(method.losses(images, torch.tensor([0, 1, 0, 1]), prepared)).backward()
    alone = torch.cat([method.image_features(image[None]) for image in images])
    close(method.image_features(images), alone)  # statistics of the batch would differ
    assert all(torch.equal(value, before[n]) for n, value in fresh.model.named_buffers())
    assert not any(module.training for module in fresh.model.modules())


@of("ViT-B-16-SigLIP", "RN50")
def test_a_bias_of_logits_is_part_of_zero_shot_logits(fresh: Towers) -> None:
    from promptbench.core.method import ClassSet
    from promptbench.methods.zeroshot import ZeroShot

    images, classes = images_for(fresh), ClassSet(("cat", "red fox"), "a photo of a {}.")
    method = ZeroShot(fresh, classes)
    theirs, _ = fresh.model.get_logits(images, fresh.text.token_ids(classes.prompts))
    close(method.logits(images, method.prepare(classes)), theirs)


@of("RN50", "EVA02-B-16", "ViT-B-16-SigLIP", "coca_ViT-B-32")
def test_half_precision_keeps_features_close(fresh: Towers) -> None:
    """Towers that run whole are converted by autocast only; none of them breaks."""
    name = f"small-{fresh_family(fresh)}"
    tokenizer = fresh.text._tokenizer
    half = Towers(randomised(build(name, config_of(fresh_family(fresh)))), tokenizer)
    half.cast(torch.bfloat16)
    images = images_for(fresh)
    with torch.autocast("cpu", torch.bfloat16):
        ours = half.image.features(half.image.tokens(images)).float()
        text = half.text.features(half.text.tokens(TEXTS)).float()
    for found, exact in (
        (ours, fresh.image.features(fresh.image.tokens(images))),
        (text, fresh.text.features(fresh.text.tokens(TEXTS))),
    ):
        assert (found - exact).abs().max() <= 0.1 * exact.abs().max()


def fresh_family(clip: Towers) -> str:
    return next(family for family in OF_OPEN_CLIP if towers(family) is clip)

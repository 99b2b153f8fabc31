"""What any method must hold, checked on a tiny CLIP with random weights.

Each check raises AssertionError with what broke and the number; `CHECKS` lists them all. They know
nothing of any particular method.
"""

from __future__ import annotations

import copy
import math
import string
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from promptbench.compat import import_open_clip
from promptbench.method import ClassSet, Method
from promptbench.towers import Towers

TOLERANCE = 1e-5  # relative to the largest logit
TRAIN = ClassSet(("cat", "red_fox", "airplane", "oxford style house"), "a photo of a {}.")
OTHER = ClassSet(("river", "annual crop", "tabby cat", "sea_anemone", "dog"), "a sketch of a {}.")

Build = Callable[[Towers, ClassSet], Method]


class LetterTokenizer:
    """A tokenizer without a vocabulary file: one token per printable character."""

    def __init__(self) -> None:
        self._ids = {character: i for i, character in enumerate(string.printable)}
        self.sot_token_id, self.eot_token_id = len(self._ids), len(self._ids) + 1

    def encode(self, text: str) -> list[int]:
        return [self._ids[character] for character in text.lower()]


def tiny_towers(seed: int = 0) -> Towers:
    """A CLIP of 12 + 12 narrow blocks with random weights, unequal widths, and 8-pixel patches."""
    from promptbench.seeding import torch_seeded

    tokenizer = LetterTokenizer()
    heads = {"layers": 12, "width": 32}
    with torch_seeded(seed, "contract"):
        model = import_open_clip().model.CLIP(
            embed_dim=24,
            quick_gelu=True,
            vision_cfg={
                "image_size": 16,
                "patch_size": 8,
                "head_width": 16,
                "layers": 12,
                "width": 48,
            },
            text_cfg={
                "context_length": 64,
                "vocab_size": tokenizer.eot_token_id + 1,
                "heads": 2,
                **heads,
            },
        )
    model.logit_scale.data.fill_(math.log(100))
    return Towers(model, tokenizer)


@dataclass(frozen=True)
class Bench:
    """A method under test on tiny towers, and how to build another of its kind."""

    build: Build
    towers: Towers
    method: Method
    images: Tensor  # [6, 3, 16, 16]
    labels: Tensor  # [6]

    @classmethod
    def of(cls, build: Build) -> Bench:
        towers = tiny_towers()
        stream = torch.Generator().manual_seed(0)
        images = torch.randn(6, 3, 16, 16, generator=stream)
        torch.manual_seed(0)
        return cls(build, towers, build(towers, TRAIN), images, torch.tensor([0, 1, 2, 3, 0, 1]))

    def total(self, method: Method | None = None) -> Tensor:
        chosen = method or self.method
        return chosen.total(chosen.losses(self.images, self.labels, chosen.prepare(TRAIN)))

    def logits(self, classes: ClassSet, images: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            method = self.method.eval()
            return method.logits(self.images if images is None else images, method.prepare(classes))


def _assert_close(ours: Tensor, theirs: Tensor, what: str) -> None:
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    assert error <= TOLERANCE, f"{what}: relative error {error:.1e} > {TOLERANCE:.0e}"


def losses_are_finite(bench: Bench) -> None:
    """Every loss term is a finite scalar."""
    prepared = bench.method.prepare(TRAIN)
    for name, term in bench.method.losses(bench.images, bench.labels, prepared).items():
        assert term.dim() == 0, f"loss term {name!r} has shape {tuple(term.shape)}, not a scalar"
        assert math.isfinite(term.item()), f"loss term {name!r} is {term.item()}"


def gradients_reach_all_learnables_and_nothing_else(bench: Bench) -> None:
    """Each learnable gets a gradient, no tower weight does."""
    total = bench.total()
    if total.requires_grad:
        total.backward()
    for name, parameter in bench.method.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert parameter.dtype == torch.float32, f"{name} is {parameter.dtype}, not float32"
    touched = [n for n, p in bench.towers.model.named_parameters() if p.grad is not None]
    assert not touched, f"tower weights get gradients: {touched[:3]}"


def towers_stay_bit_identical(bench: Bench) -> None:
    """An optimiser step changes no tower weight."""
    before = copy.deepcopy(bench.towers.model.state_dict())
    learnt = [p for p in bench.method.parameters() if p.requires_grad]
    if learnt:
        optimizer = torch.optim.SGD(learnt, lr=0.1)
        bench.total().backward()
        optimizer.step()
    for name, value in bench.towers.model.state_dict().items():
        assert torch.equal(value, before[name]), f"tower weight {name} changed"


def logits_have_the_shape_of_an_unseen_class_list(bench: Bench) -> None:
    """Another class list gives [batch, its length]."""
    shape = tuple(bench.logits(OTHER).shape)
    assert shape == (6, len(OTHER)), (
        f"logits of shape {shape} for 6 images and {len(OTHER)} classes"
    )


def logits_do_not_depend_on_the_other_samples(bench: Bench) -> None:
    """A sample alone has the logits it has in a batch."""
    batch = bench.logits(OTHER)
    alone = torch.cat([bench.logits(OTHER, image[None]) for image in bench.images])
    _assert_close(alone, batch, "logits of single images against the batch's")


def logits_follow_the_order_of_the_classes(bench: Bench) -> None:
    """Permuting the class list permutes the logits and nothing more."""
    order = [3, 0, 4, 2, 1]
    permuted = ClassSet(tuple(OTHER.names[i] for i in order), OTHER.template)
    _assert_close(bench.logits(permuted), bench.logits(OTHER)[:, order], "permuted class list")


def state_is_its_own_and_round_trips(bench: Bench) -> None:
    """state_dict holds no tower weight and survives safetensors."""
    from safetensors.torch import load, save

    state = {k: v.detach().contiguous() for k, v in bench.method.state_dict().items()}
    towers = {id(p) for p in bench.towers.model.parameters()}
    owned = [n for n, p in bench.method.named_parameters() if id(p) in towers]
    assert not owned, f"the method owns tower weights: {owned[:3]}"
    if not state:
        return
    torch.manual_seed(1)
    other = bench.build(bench.towers, TRAIN)
    other.load_state_dict(load(save(state)), strict=True)
    gap = float((bench.total(other) - bench.total()).detach().abs())
    assert gap == 0, f"a reloaded method has another loss (difference {gap:.1e})"


def same_seed_gives_the_same_losses(bench: Bench) -> None:
    """Two methods built with one seed agree bit for bit."""
    totals = []
    for _ in range(2):
        torch.manual_seed(5)
        totals.append(float(bench.total(bench.build(bench.towers, TRAIN)).detach()))
    assert totals[0] == totals[1], f"losses {totals[0]} and {totals[1]} from one seed"


CHECKS: tuple[Callable[[Bench], None], ...] = (
    losses_are_finite,
    gradients_reach_all_learnables_and_nothing_else,
    towers_stay_bit_identical,
    logits_have_the_shape_of_an_unseen_class_list,
    logits_do_not_depend_on_the_other_samples,
    logits_follow_the_order_of_the_classes,
    state_is_its_own_and_round_trips,
    same_seed_gives_the_same_losses,
)

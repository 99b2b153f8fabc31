"""The three stages that train the demo's CLIP in minutes.

Contrastive learning from scratch stays at chance in that time. So the vision tower first learns
the attributes from labels, the text tower then learns to match its frozen embeddings, and at last
both towers, grown from four blocks to twelve, learn together from captions only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.demo import model as demo_model
from promptbench.demo.world import ATTRIBUTES, Spec
from promptbench.pretraining.batches import Batches, CaptionEncoder, labels, normalised
from promptbench.support import seeding
from promptbench.support.progress import Reporter

Named = Iterable[tuple[str, nn.Parameter]]

SHALLOW_BLOCKS = 4
GROWTH = 3
_WARMUP = 100
_LAST_RATE = 0.02  # of the peak
_WEIGHT_DECAY = 0.05
_START_LOGIT_SCALE = math.log(14)
HIGHEST_LOGIT_SCALE = math.log(100)
_ATTRIBUTE_WEIGHTS = {
    "shape": 2.0, "color": 1.0, "fill": 1.0, "scene": 1.0, "count": 0.5, "style": 0.3,
}  # fmt: skip
_PHOTO_ONLY = ("color", "fill", "scene")  # what sketches and silhouettes do not show


@dataclass(frozen=True)
class Corpus:
    """Pretraining's data: pictures uint8 [n, 32, 32, 3] and what each of them shows."""

    seed: int
    pictures: np.ndarray
    shown: list[Spec]
    encoder: CaptionEncoder

    def images(self, indices: np.ndarray) -> Tensor:
        """float32 [batch, 3, 32, 32]."""
        return normalised(self.pictures[indices])

    def tokens(self, rng: np.random.Generator, indices: np.ndarray) -> Tensor:
        """Fresh captions, int64 [batch, tokens]."""
        return self.encoder.captions(rng, [self.shown[index] for index in indices])


@dataclass(frozen=True)
class Stage:
    """One stage's optimisation: AdamW with warm-up and a cosine."""

    name: str
    steps: int
    batch: int
    rate: float


VISION = Stage("vision tower on attributes", steps=3200, batch=128, rate=2e-3)
TEXT = Stage("text tower on image embeddings", steps=1100, batch=256, rate=2e-3)
JOINT = Stage("both towers on captions", steps=1500, batch=192, rate=7e-4)


def text_features(model: Any, tokens: Tensor) -> Tensor:
    """Unit text embeddings, float32 [batch, 64], from tokens cut to any length."""
    length = tokens.shape[1]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    ends = hidden[torch.arange(len(tokens)), tokens.argmax(dim=1)]
    return F.normalize(model.ln_final(ends) @ model.text_projection, dim=1)


def image_features(model: Any, images: Tensor) -> Tensor:
    """Unit image embeddings, float32 [batch, 64]."""
    return F.normalize(model.visual(images), dim=1)


def contrastive_loss(model: Any, images: Tensor, texts: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy over a batch of pairs."""
    logits = model.logit_scale.clamp(max=HIGHEST_LOGIT_SCALE).exp() * images @ texts.T
    pairs = torch.arange(len(images))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def train_vision(corpus: Corpus, model: Any, recipe: Stage, listener: Reporter) -> None:
    """Stage 1: the vision tower learns to tell the attributes apart, by labels."""
    torch.manual_seed(seeding.stream(corpus.seed, "heads"))
    width = model.visual.output_dim
    heads = nn.ModuleDict({name: nn.Linear(width, len(v)) for name, v in ATTRIBUTES.items()})
    targets = labels(corpus.shown)
    is_photo = torch.tensor([spec.style == "photo" for spec in corpus.shown])

    def loss(indices: np.ndarray) -> Tensor:
        features, rows = model.visual(corpus.images(indices)), torch.from_numpy(indices)
        total = torch.zeros(())
        for name, weight in _ATTRIBUTE_WEIGHTS.items():
            errors = F.cross_entropy(heads[name](features), targets[name][rows], reduction="none")
            counted = errors * is_photo[rows] if name in _PHOTO_ONLY else errors
            total = total + weight * counted.mean()
        return total

    named = [*model.visual.named_parameters(), *heads.named_parameters()]
    _optimise(named, loss, _batches(corpus, recipe), recipe, listener)


def train_text(corpus: Corpus, model: Any, recipe: Stage, listener: Reporter) -> None:
    """Stage 2: the text tower learns to match the embeddings of the finished vision tower."""
    rng = seeding.generator(corpus.seed, "captions", recipe.name)
    model.logit_scale.data.fill_(_START_LOGIT_SCALE)
    with torch.no_grad():
        chunks = np.array_split(np.arange(len(corpus.shown)), math.ceil(len(corpus.shown) / 500))
        embedded = torch.cat([image_features(model, corpus.images(chunk)) for chunk in chunks])

    def loss(indices: np.ndarray) -> Tensor:
        texts = text_features(model, corpus.tokens(rng, indices))
        return contrastive_loss(model, embedded[torch.from_numpy(indices)], texts)

    named = [(n, p) for n, p in model.named_parameters() if not n.startswith("visual.")]
    _optimise(named, loss, _batches(corpus, recipe), recipe, listener)


def train_jointly(corpus: Corpus, model: Any, recipe: Stage, listener: Reporter) -> None:
    """Stage 3: both towers learn from captions."""
    rng = seeding.generator(corpus.seed, "captions", recipe.name)

    def loss(indices: np.ndarray) -> Tensor:
        images = image_features(model, corpus.images(indices))
        return contrastive_loss(model, images, text_features(model, corpus.tokens(rng, indices)))

    _optimise(model.named_parameters(), loss, _batches(corpus, recipe), recipe, listener)


def grown(model: Any) -> Any:
    """The same towers with every block three times in a row.

    The output projections are divided by three, so that three copies add about as much to the
    residual stream as the one block did.
    """
    deep = demo_model.build(SHALLOW_BLOCKS * GROWTH)
    deep.load_state_dict(dict(_grown_entries(model.state_dict())), strict=True)
    return deep


def _grown_entries(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in state.items():
        tower, is_block, rest = name.partition("resblocks.")
        if not is_block:
            yield name, value
            continue
        block, parameter = rest.split(".", 1)
        shared = parameter.startswith(("attn.out_proj", "mlp.c_proj"))
        for copy in range(GROWTH):
            deep_name = f"{tower}resblocks.{int(block) * GROWTH + copy}.{parameter}"
            yield deep_name, value / GROWTH if shared else value


def _batches(corpus: Corpus, recipe: Stage) -> Batches:
    rng = seeding.generator(corpus.seed, "batches", recipe.name)
    return Batches(rng, len(corpus.shown), recipe.batch)


def _optimise(
    named: Named,
    loss_of: Callable[[np.ndarray], Tensor],
    batches: Batches,
    recipe: Stage,
    listener: Reporter,
) -> None:
    parameters = dict(named)
    optimiser = torch.optim.AdamW(_groups(parameters), recipe.rate, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _factor(step, recipe))
    with listener.task(recipe.name, recipe.steps, "steps") as task:
        for indices in itertools.islice(batches, recipe.steps):
            loss = loss_of(indices)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimiser.step()
            schedule.step()
            task.advance(1, f"loss {loss.item():.3f}")


def _groups(parameters: dict[str, nn.Parameter]) -> list[dict[str, Any]]:
    """Matrices decay; embeddings, biases, norms and the logit scale do not."""
    matrices = {n for n, p in parameters.items() if p.ndim >= 2 and "embedding" not in n}
    return [
        {"params": [parameters[n] for n in parameters if n in matrices],
         "weight_decay": _WEIGHT_DECAY},
        {"params": [parameters[n] for n in parameters if n not in matrices], "weight_decay": 0.0},
    ]  # fmt: skip


def _factor(step: int, recipe: Stage) -> float:
    """The learning rate at `step`, as a share of its peak."""
    cosine = (1 + math.cos(math.pi * step / recipe.steps)) / 2
    return min(1.0, (step + 1) / _WARMUP) * (_LAST_RATE + (1 - _LAST_RATE) * cosine)

"""2SFS (Farina et al., arXiv 2503.11609): first the layer norms of both towers, then a classifier.

Stage 1 learns weight and bias of the norms LN1 and LN2 of the blocks, with the cross-entropy of
logit_scale * cos(f_v, f_t) over the prompts "a photo of a {name}." of all classes, encoded again in
every step. Stage 2 keeps what it found, starts a classifier [n_classes, d] at the normalised text
features, and learns it alone, with the cross-entropy of logit_scale * cos(f_v, w); a new optimiser
and a new cosine. A class that was trained on is then scored by its row of the classifier, any other
by the text that the tuned tower makes of its name: one rule for all images and lists, which goes by
the name of the class.

Rulings: ln_pre, ln_post and ln_final stay as they are, as in the code, which hands them to its
optimiser and switches their gradients off again (61,440 numbers; the paper names no exception).
The last, incomplete batch of an epoch is left out, as everywhere here; the steps are as many. The
code's other first stages (low-rank maps, biases only) are not included.

Paradigm: selective. Data beyond the few shots: none. It learns 573,440 parameters on ViT-B/16 and
ImageNet's 1,000 classes, 512,000 of them in stage 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from promptbench.api import (
    ClassSet,
    Count,
    Deltas,
    Method,
    Towers,
    UserError,
    full_precision,
    unit,
)
from promptbench.methods._context import prompted
from promptbench.methods._norms import Norms

Side = Literal["text", "image"]
Sides = Annotated[Sequence[Side], Field(min_length=1)]


@dataclass(frozen=True)
class Prepared:
    """Normalised rows [n_classes, embed_dim]; whether the norms still learn."""

    rows: Tensor
    norms_learn: bool


class TwoSFS(Method):
    """Two-stage few-shot adaptation.

    Args:
        sides: the towers whose norms learn.
        first_text, first_image: the blocks from which on they do, counted from 1.
        prompt: the fixed words before a class name.

    Raises:
        UserError: a first block that the tower does not have.
    """

    title = "2SFS"
    paper = "arXiv 2503.11609"
    paradigm = "selective"
    needs = ("image_blocks", "text_blocks")
    vit_b16_parameters = 573_440
    equations_from = "the paper; code FarinaMatteo/rethinking_fewshot_vlms@64ac143"
    equals = "reference code"
    steady = True
    stages = 2

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        sides: Sides = ("text", "image"),
        first_text: Count = 1,
        first_image: Count = 1,
        prompt: str = "a photo of a",
    ) -> None:
        super().__init__(towers, classes)
        self.prompt = prompt
        own = {"text": (towers.text, first_text), "image": (towers.image, first_image)}
        for side, (tower, first) in own.items():
            if side in sides and first > tower.n_blocks:
                raise UserError(
                    f"TwoSFS.first_{side} = {first}; the {side} tower has {tower.n_blocks} blocks"
                )
        self.norms = nn.ModuleDict({side: Norms(*own[side]) for side in sides})
        self.classifier = nn.Parameter(torch.zeros(len(classes), towers.embed_dim))
        self.register_buffer("stage", torch.tensor(1))
        self.stage: Tensor
        self._stage = 1  # the same on the host: no step waits for a GPU to read it

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"norms": list(self.norms.parameters()), "classifier": [self.classifier]}

    @torch.no_grad()
    def begin_stage(self, number: int) -> None:
        if number == 2:
            self.classifier.copy_(self.text_features(self.classes.words))
        self.stage.fill_(number)
        self._stage = number

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        found = super().load_state_dict(*arguments, **options)
        self._stage = int(self.stage)
        return found

    def _deltas(self, side: Side) -> Deltas | None:
        if side not in self.norms:
            return None
        norms: Any = self.norms[side]
        found: Deltas = norms.deltas()
        return found

    def text_features(self, words: Sequence[str]) -> Tensor:
        """Normalised features [n, embed_dim] of names by the tuned tower."""
        text = self.towers.text
        prompts = text.tokens(prompted(words, 0, self.prompt))
        return unit(text.features(prompts, deltas=self._deltas("text")))

    def image_features(self, images: Tensor) -> Tensor:
        """Normalised features [batch, embed_dim] by the tuned tower."""
        image = self.towers.image
        return unit(image.features(image.tokens(images), deltas=self._deltas("image")))

    def embed_images(self, images: Tensor) -> Tensor:
        return self.image_features(images)

    def embed_classes(self, classes: ClassSet) -> Tensor:
        return self.prepare(classes).rows

    def prepare(self, classes: ClassSet) -> Prepared:
        if self._stage == 1:
            return Prepared(self.text_features(classes.words), norms_learn=True)
        rows = unit(self.classifier)
        if classes.names == self.classes.names:
            return Prepared(rows, norms_learn=False)
        places = {name: row for row, name in enumerate(self.classes.names)}
        unseen = [name for name in classes.names if name not in places]
        if unseen:
            places |= {name: len(rows) + i for i, name in enumerate(unseen)}
            with torch.no_grad():
                others = self.text_features(replace(classes, names=tuple(unseen)).words)
            rows = torch.cat([rows, others])
        wanted = torch.tensor([places[name] for name in classes.names], device=rows.device)
        return Prepared(rows[wanted], norms_learn=False)

    def logits(self, images: Tensor, prepared: Prepared) -> Tensor:
        with torch.set_grad_enabled(prepared.norms_learn and torch.is_grad_enabled()):
            features = self.image_features(images)
        with full_precision(features):
            return self.towers.logit_scale * features @ prepared.rows.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Prepared) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}

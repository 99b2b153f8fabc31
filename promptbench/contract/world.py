"""What a method is examined on: a small CLIP, class names, images, labels.

All of it is drawn from a seed, and each point of the contract has a draw of its own, so that no
method can know what it will be examined on; the seed repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from promptbench.contract.towers import STANDARD, Shape
from promptbench.core.method import ClassSet
from promptbench.support.seeding import stream

TRAIN = ClassSet(("cat", "red_fox", "airplane", "oxford style house"), "a photo of a {}.")
OTHER = ClassSet(("river", "annual crop", "tabby cat", "sea_anemone", "dog"), "a sketch of a {}.")

_KINDS = (
    *("red", "old", "wild", "tall", "striped", "small", "wooden", "royal", "northern", "sea"),
    *("spotted", "long-tailed", "grey", "oxford style", "annual", "giant", "golden", "common"),
)
_THINGS = (
    *("fox", "house", "river", "anemone", "crop", "cat", "airplane", "tulip", "violin", "bridge"),
    *("lorry", "beach", "sparrow", "pasta", "lamp", "texture", "mosque", "rowing boat", "Boeing"),
    *("dog", "forest", "teapot", "bus", "owl", "marsh", "keyboard", "pine", "canoe", "pizza"),
)
_TEMPLATES = (
    *("a photo of a {}.", "a sketch of a {}.", "a centred photo of a {}.", "itap of the {}."),
    *("a {} texture.", "art of the {}.", "a bad photo of a {}."),
)


@dataclass(frozen=True)
class World:
    """A CLIP's shape and weights, two class lists without a common name, and a batch.

    `images` are float32 [n, 3, size, size], `labels` int64 [n] of `train`; `others` are more
    images, which belong to nothing.
    """

    seed: int
    shape: Shape
    train: ClassSet
    other: ClassSet
    images: Tensor
    labels: Tensor
    others: Tensor

    def told(self, texts: bool) -> World:
        """The world with sentences about every class, or with none."""
        train, other = (
            replace(classes, texts=_sentences(classes.words) if texts else ())
            for classes in (self.train, self.other)
        )
        return replace(self, train=train, other=other)

    def shown(self, passes: int) -> list[tuple[Tensor, Tensor]]:
        """The batch as a method is shown all training images: in parts, one pass after the other.

        Passes but the first one are other pictures of the same; 0 passes are one.
        """
        change = [_images(self.seed + 2 + i, *self.images.shape[::2]) for i in range(1, passes)]
        views = [self.images, *(self.images + 0.3 * noise for noise in change)]
        half = len(self.labels) // 2
        parts = (slice(None, half), slice(half, None))
        return [(view[part], self.labels[part]) for view in views for part in parts]

    def viewed(self, views: int) -> Tensor:
        """The batch as `losses` is given it: [n, views, 3, size, size] where there are several,
        of which those but the first are other pictures of the same."""
        if views == 1:
            return self.images
        made = [pictures for pictures, _ in self.shown(views)]
        together: Tensor = torch.cat(made).unflatten(0, (views, -1))
        return together.transpose(0, 1).contiguous()

    @classmethod
    def standard(cls) -> World:
        """The world of tests that compare numbers: always the same."""
        size = STANDARD.image_size
        labels = torch.tensor([0, 1, 2, 3, 0, 1])
        drawn = _images(0, len(labels), size), _images(1, 9, size)
        return cls(0, STANDARD, TRAIN, OTHER, drawn[0], labels, drawn[1])

    @classmethod
    def drawn(cls, seed: int, *names: str) -> World:
        """The world on the stream `names` of a seed."""
        number = stream(seed, "world", *names)
        draw = random.Random(number)
        shape = Shape(
            embed_dim=draw.choice((20, 24, 28, 36)),
            image_width=draw.choice((48, 64)),
            text_width=draw.choice((32, 40)),
            image_size=draw.choice((16, 24)),
            layers=draw.choice((12, 13)),
            context_length=draw.randint(64, 72),
        )
        names_ = [f"{kind}{draw.choice(' _')}{thing}" for kind in _KINDS for thing in _THINGS]
        names_ = draw.sample([*names_, *_THINGS], 12)
        n_train, n_other = draw.randint(4, 6), draw.randint(4, 6)
        n_images = draw.randint(max(n_train, 5), 8)
        train, other = draw.sample(_TEMPLATES, 2)
        labels = [i % n_train for i in range(n_images)]
        draw.shuffle(labels)
        return cls(
            number,
            shape,
            ClassSet(tuple(names_[:n_train]), train),
            ClassSet(tuple(names_[-n_other:]), other),
            _images(number, n_images, shape.image_size),
            torch.tensor(labels),
            _images(number + 1, 9, shape.image_size),
        )


def _sentences(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """From one to three sentences about each class: no method may count on equally many."""
    forms = ("the {} that is meant.", "a drawing of a {} on grey paper", "{}: see above")
    return tuple(
        tuple(form.format(word) for form in forms[: 1 + len(word) % len(forms)]) for word in words
    )


def _images(seed: int, count: int, size: int) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))

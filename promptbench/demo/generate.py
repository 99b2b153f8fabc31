"""The samples of a generated dataset, from the options of its data card.

Every image has a random stream of its own, named by (seed, split, class name, index): the same
bytes in every process and order, whatever other classes the dataset has.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from PIL import Image

from promptbench.demo.captions import read_class_name
from promptbench.demo.render import RenderOptions, render
from promptbench.demo.world import ATTRIBUTES, STYLES, sample_given
from promptbench.support import seeding

_RENDER_KEYS = frozenset(field.name for field in fields(RenderOptions))
_KEYS = frozenset({"seed", "style", "fixed"}) | _RENDER_KEYS


@dataclass(frozen=True)
class CardOptions:
    """A card's options, checked: what all pictures share, and how they are taken."""

    seed: int
    style: str
    fixed: Mapping[str, Any]
    render: RenderOptions

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> CardOptions:
        """A card's options, every one of them written on the card.

        Raises:
            ValueError: an unknown or missing key, or an unknown style, attribute or value.
        """
        _refuse_unknown("option", options, _KEYS)
        for key in sorted(_KEYS - {"fixed"} - options.keys()):
            raise ValueError(f"option {key!r} is missing")
        fixed = options.get("fixed", {})
        _refuse_unknown("style", [options["style"]], STYLES)
        _refuse_unknown("fixed attribute", fixed, ATTRIBUTES)
        for attribute, value in fixed.items():
            _refuse_unknown(f"value of fixed {attribute}", [value], ATTRIBUTES[attribute])
        settings = {key: options[key] for key in _RENDER_KEYS}
        return cls(options["seed"], options["style"], fixed, RenderOptions(**settings))


def _refuse_unknown(kind: str, given: Any, known: Any) -> None:
    for name in given:
        if name not in known:
            choices = ", ".join(map(str, sorted(known, key=str)))
            raise ValueError(f"unknown {kind} {name!r}; known: {choices}")


def sample(options: Mapping[str, Any], class_name: str, split: str, index: int) -> bytes:
    """Image `index` of a class in a split, as PNG bytes."""
    recipe = CardOptions.read(options)
    rng = seeding.generator(recipe.seed, split, class_name, index)
    spec = sample_given(rng, {**recipe.fixed, **read_class_name(class_name)}, recipe.style)
    return _png(Image.fromarray(render(rng, spec, recipe.render)))


def samples(
    options: Mapping[str, Any], classes: Sequence[str], split: str, per_class: int
) -> Iterator[tuple[str, bytes, int]]:
    """All (key, PNG bytes, label) of a split, label by label."""
    for label, class_name in enumerate(classes):
        for index in range(per_class):
            yield f"{label:04d}_{index:05d}", sample(options, class_name, split, index), label


def _png(image: Image.Image) -> bytes:
    """PNG bytes; uncompressed, because compressors differ between builds of Pillow."""
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=0)
    return file.getvalue()

"""How images enter a backbone: size, interpolation, way of resizing, normalisation. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

Triple = tuple[float, float, float]
Interpolation = Literal["bicubic", "bilinear"]
ResizeMode = Literal["shortest", "squash", "longest"]

OPENAI_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocess:
    """Square `size` in pixels, channel mean and std in [0, 1], and how an image gets that size.

    Resize mode "shortest" resizes the shorter side and crops the centre, "squash" resizes both
    sides and crops nothing, "longest" resizes the longer side and fills what is missing on both
    sides with `fill_color`, a level in 0..255 of all channels. The defaults are OpenAI's, which the
    field's protocols use.
    """

    size: int
    mean: Triple = OPENAI_MEAN
    std: Triple = OPENAI_STD
    interpolation: Interpolation = "bicubic"
    resize_mode: ResizeMode = "shortest"
    fill_color: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """Everything, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def departures(self) -> dict[str, Any]:
        """What is not the field's usual preprocessing, by name; the size follows from the model."""
        usual = Preprocess(self.size).facts
        return {name: value for name, value in self.facts.items() if value != usual[name]}

    @property
    def marks(self) -> tuple[str, ...]:
        """The departures in words."""
        return tuple(f"{_WORDS.get(name, name)} {_said(v)}" for name, v in self.departures.items())


_WORDS = {"resize_mode": "resize", "fill_color": "fill"}


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{number:g}" for number in value)
    return str(value)

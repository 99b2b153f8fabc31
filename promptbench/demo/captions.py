"""The words of the world: captions for pretraining, and the reading of class names."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from promptbench.demo.shapes import OUTLINES, SHAPES
from promptbench.demo.world import COLORS, FILLS, Spec, choose, sample_pretraining

Rng = np.random.Generator

_PLURALS = {"leaf": "leaves", "fish": "fish"}
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}
_THINGS = ("object", "thing", "shape", "figure", "item")
_SCENES = {
    "wall": ("wall",),
    "grass": ("grass", "lawn"),
    "water": ("water", "sea"),
    "sand": ("sand", "beach"),
    "brick": ("brick wall", "brick"),
    "night": ("night sky",),
    "snow": ("snow",),
    "wood": ("wood", "wooden board"),
}
_SUBSTANCES = ("grass", "water", "sand", "brick", "snow", "wood")  # said without an article
_OPENINGS = {
    "photo": (
        *("a photo of",) * 5,
        "a picture of",
        "an image of",
        "a good photo of",
        "a close up of",
        "a small picture of",
        "a nice photo of",
        "there is",
        "this is",
        "",
        "",
    ),
    "sketch": ("a sketch of", "a drawing of", "a line drawing of"),
    "silhouette": ("a silhouette of", "a dark silhouette of", "a shadow of"),
}
# Words of usual prompt templates that no caption says: whole tokens all the same.
_UNSAID = (
    "and art background bad blurry bright centered clean color colour corrupted cropped dirty "
    "digits foreground game inverted itap kind large big letters low many negative neon noisy "
    "number numbers one origami painting pattern rendering resolution scene sculpture texture "
    "tiny toy type video with for to up upside down"
)

_SAY_SHAPE = 0.7
_SAY_COLOR = 0.55
_SAY_FILL = 0.5
_SAY_SCENE = 0.4
_SAY_STYLE = 0.6
_SAY_COUNT = 0.85
_SAY_ONE = 0.08
_WRONG_CAPTION = 0.04
_WRONG_COLOR = 0.04
_WRONG_ARTICLE = 0.15
_NO_ARTICLE = 0.05
_FULL_STOP = 0.5


def plural(noun: str) -> str:
    """The plural of one of the world's nouns."""
    return _PLURALS.get(noun, noun + ("es" if noun.endswith(("s", "sh")) else "s"))


def with_article(phrase: str) -> str:
    """A phrase with "a" or "an" before it."""
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def caption(rng: Rng, spec: Spec) -> str:
    """A caption as found on the web: it leaves much out and is sometimes wrong."""
    if rng.random() < _WRONG_CAPTION:
        spec = sample_pretraining(rng)
    told = spec.style != "photo" and rng.random() < _SAY_STYLE
    opening = choose(rng, _OPENINGS[spec.style if told else "photo"])
    parts = [opening, _object(rng, spec)]
    if spec.style == "photo" and rng.random() < _SAY_SCENE:
        parts.append(_scene(rng, spec.scene))
    return " ".join(filter(None, parts)) + ("." if rng.random() < _FULL_STOP else "")


def _object(rng: Rng, spec: Spec) -> str:
    noun = spec.shape if rng.random() < _SAY_SHAPE else choose(rng, _THINGS)
    words = _adjectives(rng, spec)
    if spec.count > 1:
        number = [_NUMBERS[spec.count]] if rng.random() < _SAY_COUNT else []
        return " ".join([*number, *words, plural(noun)])
    return _introduced(rng, " ".join([*words, noun]))


def _adjectives(rng: Rng, spec: Spec) -> list[str]:
    words = []
    if rng.random() < _SAY_COLOR:
        wrong = rng.random() < _WRONG_COLOR
        words.append(choose(rng, list(COLORS)) if wrong else spec.color)
    if rng.random() < _SAY_FILL:
        words.insert(int(rng.integers(len(words) + 1)), spec.fill)
    return words


def _introduced(rng: Rng, phrase: str) -> str:
    """A phrase with its article; sometimes "one", "a" before a vowel, or nothing instead."""
    if rng.random() < _SAY_ONE:
        return f"one {phrase}"
    chance = rng.random()
    if chance < _NO_ARTICLE:
        return phrase
    return f"a {phrase}" if chance < _NO_ARTICLE + _WRONG_ARTICLE else with_article(phrase)


def _scene(rng: Rng, scene: str) -> str:
    phrase = choose(rng, _SCENES[scene])
    bare = phrase in _SUBSTANCES or rng.random() < 0.3
    place = choose(rng, ("on", "in front of", "over"))
    return f"{place} {phrase if bare else with_article(phrase)}"


def vocabulary() -> list[str]:
    """Every word a caption or a usual prompt template says, sorted; all lower case."""
    nouns = [*SHAPES, *_THINGS]
    texts = [*nouns, *map(plural, nouns), *OUTLINES, *COLORS, *FILLS, *_NUMBERS.values(), _UNSAID]
    texts += [phrase for phrases in (*_SCENES.values(), *_OPENINGS.values()) for phrase in phrases]
    texts.append("a an on in front of over")
    return sorted({word for text in texts for word in re.findall("[a-z]+", text)})


@functools.cache
def _phrases() -> Mapping[str, tuple[str, Any] | None]:
    """What each phrase of a class name fixes: (attribute, value), or nothing."""
    table: dict[str, tuple[str, Any] | None] = dict.fromkeys((*_THINGS, *map(plural, _THINGS)))
    table |= {shape: ("shape", shape) for shape in OUTLINES}
    table |= {plural(shape): ("shape", shape) for shape in SHAPES}
    table |= {color: ("color", color) for color in COLORS}
    table |= {fill: ("fill", fill) for fill in FILLS}
    table |= {word: ("count", number) for number, word in _NUMBERS.items()}
    table |= {phrase: ("scene", scene) for scene, said in _SCENES.items() for phrase in said}
    return table


def read_class_name(name: str) -> dict[str, Any]:
    """The attributes that a class name fixes, phrase by phrase, the longest phrase first.

    >>> read_class_name("striped star")
    {'fill': 'striped', 'shape': 'star'}

    Raises:
        ValueError: a word that means nothing in this world.
    """
    fixed: dict[str, Any] = {}
    words = name.split()
    while words:
        length = next((n for n in (2, 1) if " ".join(words[:n]) in _phrases()), 0)
        if not length:
            raise ValueError(f"class name {name!r}: nothing is called {words[0]!r}")
        meaning = _phrases()[" ".join(words[:length])]
        fixed |= dict([meaning]) if meaning else {}
        words = words[length:]
    return fixed

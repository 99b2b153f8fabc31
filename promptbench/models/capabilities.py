"""What towers offer to methods, and what methods need of them: a few names, each with its meaning.

Towers say what they offer (`Towers.capabilities`) and a method says what it needs (`Method.needs`);
whoever plans a run compares the two. What every backbone offers has no name: features of images and
of texts, and the logit scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from promptbench.errors import UserError

OFFERS: Mapping[str, str] = {
    "image_blocks": "an image transformer whose tokens and blocks can be changed",
    "image_cls": "image features that are read at a class token and projected by one matrix",
    "text_embeddings": "a text tower whose embedded tokens can be changed",
    "text_blocks": "a text transformer whose tokens and blocks can be changed",
    "text_causal": "texts in which a token sees only those before it",
    "text_eot": "text features that are read at the token that ends a text",
    "logit_bias": "a trained bias of the logits",
}
Capabilities = frozenset[str]

# What the vision transformers of CLIP offer. A method that says nothing is taken to need all of it.
OF_CLIP: Capabilities = frozenset(OFFERS) - {"logit_bias"}


def missing(needs: Iterable[str], offered: Capabilities) -> list[str]:
    """The names that are needed and not offered, in the order of `OFFERS`.

    Raises:
        UserError: a name that is none.
    """
    wanted = set(needs)
    if unknown := wanted - set(OFFERS):
        named = ", ".join(map(repr, sorted(unknown)))
        raise UserError(f"a method needs {named}; what it can need of towers: {', '.join(OFFERS)}")
    return [name for name in OFFERS if name in wanted - offered]


def in_words(names: Iterable[str]) -> str:
    """Names with their meanings."""
    return " and ".join(f"{name} ({OFFERS[name]})" for name in names)


def lacking(name: str) -> UserError:
    """The error of whoever asks a tower for what it does not offer."""
    side = name.partition("_")[0]
    return UserError(f"this backbone's {side} tower does not offer {name}: {OFFERS[name]}")

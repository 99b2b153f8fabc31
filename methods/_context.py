"""Shared part: learnable context tokens in the prompt text (CoOp and its descendants)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from promptbench.api import TextTower, UserError, normal

_OPENING = re.compile(r"[^{}]*?\bof (?:(?:an?|the) )?", re.IGNORECASE)
_FRAME = 4  # tokens beside the context: SOT, one of a class name at least, full stop, EOT


def context(text: TextTower, n_ctx: int, init: str) -> nn.Parameter:
    """Context tokens [n_ctx, width] from the words of `init`, else drawn from N(0, 0.02^2).

    Raises:
        UserError: a number of tokens that leaves no room for a class name in the prompt, or a
            tokenizer that does not give each placeholder a token of its own.
    """
    if init:
        return nn.Parameter(text.embed(init).float().clone())
    most = text.context_length - _FRAME
    if not 1 <= n_ctx <= most:
        raise UserError(
            f"n_ctx = {n_ctx}: the number of context tokens must be from 1 to {most}; the text "
            f"tower reads {text.context_length} tokens, the class name among them"
        )
    if len(text.encode(placeholders(n_ctx))) != n_ctx:
        raise UserError(
            f"the tokenizer of this backbone does not read {n_ctx} placeholders X as {n_ctx} "
            "tokens; give the context words that it does, with ctx_init"
        )
    return normal(n_ctx, text.width)


def placeholders(n_ctx: int) -> str:
    """The words in whose place learned tokens stand."""
    return " ".join(["X"] * n_ctx)


def prompted(words: Sequence[str], n_ctx: int, init: str) -> list[str]:
    """Prompt texts "{init} {name}.", with n_ctx placeholders X where there is no `init`.

    A placeholder is one token to CLIP's tokenizer; `context` refuses one to which it is not.
    """
    placeholder = init or placeholders(n_ctx)
    return [f"{placeholder} {name}." for name in words]


def reopened(template: str, n_ctx: int) -> str:
    """A template with n_ctx placeholders X in place of its opening, "a photo of a" and the like.

    The opening is what stands before the class name, up to the first "of" and the article after
    it. What else stands there is kept, and so is all where there is no "of": "a photo of a person
    doing {}." gives "X X X X person doing {}.", "{} texture." gives "X X X X {} texture.".
    """
    opening = _OPENING.match(template)
    rest = template[opening.end() :] if opening else template
    return " ".join([*["X"] * n_ctx, rest.lstrip()])


def reordered(n_ctx: int, before: int, name_lengths: list[int], length: int) -> list[int]:
    """Where each position of the reordered prompts comes from, as rows of all [n * length].

    Prompts are tokenised as [SOT][n_ctx placeholders][name][rest]. The result moves the name to
    after the first `before` placeholders; SOT and the rest (full stop, EOT, padding) stay.
    """
    rows: list[int] = []
    for prompt, name in enumerate(name_lengths):
        first = range(1, 1 + before)
        moved = range(1 + n_ctx, 1 + n_ctx + name)
        second = range(1 + before, 1 + n_ctx)
        rest = range(1 + n_ctx + name, length)
        places = (0, *first, *moved, *second, *rest)
        rows += [prompt * length + place for place in places]
    return rows

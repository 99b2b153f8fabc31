"""What methods make of a dataset's template, and the words that they add: TCP, DeKg, ATPrompt."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from promptbench.core.method import ClassSet
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.methods._context import reopened
from promptbench.methods.atprompt_coop import ATPromptCoOp
from promptbench.methods.atprompt_maple import ATPromptMaPLe
from promptbench.methods.tcp import TCP
from promptbench.models.towers import Towers
from tests import golden_set

# The sentences of TCP's released code.
RELEASED = {
    "oxford_pets": "X X X X {}, a type of pet.",
    "oxford_flowers": "X X X X {}, a type of flower.",
    "fgvc_aircraft": "X X X X {}, a type of aircraft.",
    "food101": "X X X X {}, a type of food.",
    "dtd": "X X X X {} texture.",
    "ucf101": "X X X X person doing {}.",
    "stanford_cars": "X X X X {}, a type of car",
}


@functools.cache
def towers() -> Towers:
    """A narrow CLIP with CLIP's tokenizer."""
    return golden_set.towers("tiny64")


def test_tcp_says_what_its_code_says_but_for_cars() -> None:
    suite = [card for card in map(cards.load, cards.names()) if card.suite == "clip"]
    assert len(suite) == 15
    other = {
        card.name
        for card in suite
        if reopened(card.template, 4) != RELEASED.get(card.name, "X X X X {}.")
    }
    assert other == {"stanford_cars"}


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{} texture.", "X X X X red fox texture."),
        ("{}", "X X X X red fox"),
        ("{}, a photo of a pet.", "X X X X red fox, a photo of a pet."),
        ("an origami {}.", "X X X X an origami red fox."),
        ("itap of the {}.", "X X X X red fox."),
        ("A photo of AN {}.", "X X X X red fox."),
        ("a photo of the number: '{}'.", "X X X X number: 'red fox'."),
        ("a photo of another {}.", "X X X X another red fox."),
        ("{0}: a photo of a {0}.", "X X X X red fox: a photo of a red fox."),
        ("a softly lit {}.", "X X X X a softly lit red fox."),
        ("a photo of {{}} {}.", "X X X X {} red fox."),
        ("  a photo of a {}.", "X X X X red fox."),
    ],
)
def test_no_word_of_an_odd_template_is_lost(template: str, sentence: str) -> None:
    """The tokens are those of the sentence: the tower remembers them by their text."""
    classes = ClassSet(("red_fox",), template)
    method = TCP(towers(), classes)
    assert method.prompted(classes) is towers().text.tokens((sentence,))
    assert towers().text.encode(sentence)[:4] == towers().text.encode("X") * 4


def test_tcp_may_have_one_sentence_for_all_datasets() -> None:
    classes = ClassSet(("red_fox",), "a sketch of a {}.")
    method = TCP(towers(), classes, prompt="a photo of a big {}.")
    assert method.prompted(classes) is towers().text.tokens(("a photo of a big red fox.",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompt": "a photo of {}."}, r"TCP\.prompt .* 4 tokens before the class name.* are 3"),
        ({"prompt": "a photo of a{}."}, r"TCP\.prompt .* are 3"),
        ({"prompt": "{} texture."}, r"TCP\.prompt .* are 0"),
        ({"prompt": "a photo of a thing."}, r"TCP\.prompt = .* must have one \{\}"),
        ({"prompt": "a photo of a {} {}."}, r"TCP\.prompt = .* must have one \{\}"),
        ({"guide": "a {name}"}, r"TCP\.guide = .* must have one \{\}"),
        ({"n_tokens": 5}, r"TCP\.n_tokens = 5: .* context, which has 4"),
        ({"n_ctx": 2}, r"TCP\.n_tokens = 4: .* context, which has 2"),
        ({"block": 13}, r"TCP\.block = 13: the text tower has 12 blocks"),
    ],
)
def test_settings_that_would_cover_the_name_are_refused(settings: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TCP(towers(), ClassSet(("red_fox",), "a photo of a {}."), **settings)


def at(words: str) -> list[torch.Tensor]:
    """The embeddings of words, as a text has them."""
    return list(towers().text.embed(words))


FOX = ClassSet(("red_fox",), "a sketch of a {}.")


def placed(method: ATPromptCoOp) -> list[torch.Tensor]:
    tokens = towers().text.tokens(tuple(method.attributes.prompted(FOX.words)))
    return list(method.attributes.placed(tokens.embedded, method.ctx)[0, 1:-1].detach())


@pytest.mark.parametrize(
    "words", [("color", "shape"), ("playfulness", "energy"), ("hair color",), (" luxury ",)]
)
def test_attribute_words_are_whole_whatever_their_length(words: tuple[str, ...]) -> None:
    method = ATPromptCoOp(towers(), FOX, n_ctx=3, n_att=2, attributes=words)
    expected = []
    for soft, word in zip(method.attributes.soft.detach(), words, strict=True):
        expected += [*soft, *at(word)]
    expected += [*method.ctx.detach(), *at("red fox.")]
    found = placed(method)
    assert len(found) == len(expected)
    assert all(map(torch.equal, found, expected))


def test_as_released_a_word_is_one_position() -> None:
    """Of "playfulness" the first piece stays; "energy" is gone, and an X stands before the name."""
    words = ("playfulness", "energy")
    method = ATPromptCoOp(towers(), FOX, attributes=words, one_token=True)
    (first, second), (x,) = method.attributes.soft.detach(), at("X")
    rest = [*method.ctx.detach(), x, *at("red fox.")]
    expected = [*first, at("playfulness")[0], *second, x, *rest]
    assert all(map(torch.equal, placed(method), expected))
    known = ("color", "shape")  # one token each: both readings are one
    own, released = (
        ATPromptCoOp(towers(), FOX, attributes=known, one_token=flag).attributes.starts
        for flag in (False, True)
    )
    assert own == released == [1, 4, 7]


@pytest.mark.parametrize("cls", [ATPromptCoOp, ATPromptMaPLe])
@pytest.mark.parametrize("words", ["color", (), ("color", " ")])
def test_attributes_that_are_no_words_are_refused(cls: Any, words: Any) -> None:
    with pytest.raises(UserError, match=r"attributes = .* must be words such as \('color'"):
        cls(towers(), FOX, attributes=words)


@pytest.mark.parametrize("cls", [ATPromptCoOp, ATPromptMaPLe])
def test_the_words_of_the_source_serve_every_class_list(cls: Any) -> None:
    method = cls(towers(), FOX, attributes=("habitat",), n_att=2, n_ctx=2)
    other = ClassSet(("annual crop", "sea"), "a centered satellite photo of {}.")
    assert list(method.attributes.prompted(other.words)) == [
        "X X habitat X X annual crop.",
        "X X habitat X X sea.",
    ]
    assert len(method.prepare(other)) == 2

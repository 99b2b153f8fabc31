"""Captions, class names and the token table."""

from __future__ import annotations

import gzip
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptbench.demo import captions, model
from promptbench.demo.world import sample_pretraining
from promptbench.pretraining import bpe
from promptbench.pretraining.batches import CaptionEncoder

TOKENIZER = model.tokenizer()
seeds = st.integers(0, 2**32 - 1)
words = st.lists(st.text("abcde", min_size=1, max_size=8), min_size=1, max_size=20, unique=True)


def _caption(seed: int) -> str:
    rng = np.random.default_rng(seed)
    return captions.caption(rng, sample_pretraining(rng))


@settings(max_examples=100)
@given(seed=seeds)
def test_a_caption_is_one_token_per_word(seed: int) -> None:
    text = _caption(seed)
    ids = TOKENIZER.encode(text)
    assert len(ids) == len(text.replace(".", " .").split())
    assert TOKENIZER.decode(ids).replace(" .", ".").strip() == text


@settings(max_examples=50)
@given(some=st.lists(seeds, min_size=1, max_size=4))
def test_the_cached_encoder_agrees_with_the_tokenizer(some: list[int]) -> None:
    texts = [_caption(seed) for seed in some]
    tokens = CaptionEncoder(TOKENIZER).texts(texts)
    expected = TOKENIZER(texts)
    assert tokens.equal(expected[:, : tokens.shape[1]])
    assert not expected[:, tokens.shape[1] :].any()


@settings(max_examples=50)
@given(known=words)
def test_merges_make_every_word_one_symbol(known: list[str]) -> None:
    table = bpe.merges(known)
    assert len(set(table)) == len(table)
    assert {f"{word}</w>" for word in known} <= _symbols(table) | {f"{w}</w>" for w in "abcde"}


def _symbols(table: Iterable[tuple[str, str]]) -> set[str]:
    return {left + right for left, right in table}


def test_the_shipped_table_is_the_one_of_the_vocabulary() -> None:
    expected = gzip.decompress(bpe.encoded(captions.vocabulary()))
    assert gzip.decompress(model.BPE.read_bytes()) == expected


def test_captions_use_the_shared_template_and_sometimes_the_wrong_article() -> None:
    texts = [_caption(seed) for seed in range(2000)]
    assert sum(text.startswith("a photo of a") for text in texts) > 300
    assert any(" a orange " in text or " a octagon" in text or " a item" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("star", {"shape": "star"}),
        ("striped star", {"fill": "striped", "shape": "star"}),
        ("red object", {"color": "red"}),
        ("brick wall", {"scene": "brick"}),
        ("digit 7", {"shape": "digit 7"}),
        ("two objects", {"count": 2}),
    ],
)
def test_class_names_are_read_phrase_by_phrase(name: str, fixed: dict[str, object]) -> None:
    assert captions.read_class_name(name) == fixed


def test_a_word_without_meaning_is_named() -> None:
    with pytest.raises(ValueError, match="'zebra'"):
        captions.read_class_name("striped zebra")

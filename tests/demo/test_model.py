"""The shipped backbone: architecture, tokenizer and weights fit together."""

from __future__ import annotations

import hashlib

import pytest
import torch

from promptbench.demo import model
from promptbench.support.compat import import_open_clip


def test_open_clip_makes_the_model_and_its_tokenizer() -> None:
    model.register()
    model.register()
    open_clip = import_open_clip()
    clip = open_clip.create_model(model.NAME, pretrained=str(model.WEIGHTS))
    tokenizer = open_clip.get_tokenizer(model.NAME)
    vocabulary = clip.token_embedding.num_embeddings
    assert tokenizer.vocab_size == vocabulary
    assert (tokenizer.sot_token_id, tokenizer.eot_token_id) == (vocabulary - 2, vocabulary - 1)
    assert tokenizer.context_length == clip.positional_embedding.shape[0] == 32
    assert len(clip.visual.transformer.resblocks) == len(clip.transformer.resblocks) == 12
    assert type(clip.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    tokens = tokenizer(["a photo of a star.", "a photo of a digit 3."])
    images = torch.zeros(2, 3, 32, 32)
    assert clip.encode_image(images).shape == clip.encode_text(tokens).shape == (2, 64)


def test_the_weights_are_small_half_precision_and_fit_strictly() -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = safetensors.load_file(model.WEIGHTS)
    assert model.WEIGHTS.stat().st_size <= 6e6
    assert {value.dtype for value in state.values()} == {torch.float16}
    floats = {name: value.float() for name, value in state.items()}
    model.build(12).load_state_dict(floats, strict=True)


def test_the_model_card_names_these_weights() -> None:
    card = (model.WEIGHTS.parent / "model_card.md").read_text()
    assert hashlib.sha256(model.WEIGHTS.read_bytes()).hexdigest() in card

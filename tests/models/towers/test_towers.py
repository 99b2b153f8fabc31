"""The frozen towers: equal to open_clip when nothing is edited, to the naive pass else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from promptbench.errors import UserError
from promptbench.models import edits
from promptbench.models.towers import Capture, Towers
from tests.golden_set import SALT, tinyclip, towers


@pytest.fixture(scope="module", params=["tiny64", "tiny128"])
def clip(request: pytest.FixtureRequest) -> Towers:
    return towers(request.param)


def names(count: int) -> list[str]:
    words = (
        "cat",
        "red fox",
        "great white shark",
        "oxford style house",
        "airplane",
        "bull terrier",
    )
    return [f"a photo of a {words[i % len(words)]} number {i}." for i in range(count)]


def close(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


# 77 classes: the number at which a batch can be taken for the context without an error.
@pytest.mark.parametrize("count", [1, 6, 77])
def test_unedited_text_is_open_clips(clip: Towers, count: int) -> None:
    texts = names(count)
    ids = clip.text.token_ids(texts)
    close(clip.text.features(clip.text.tokens(texts)), clip.model.encode_text(ids))


@pytest.mark.parametrize("count", [1, 4, 77])
def test_unedited_images_are_open_clips(clip: Towers, count: int) -> None:
    images = tinyclip.images(SALT, count)
    tokens = clip.image.tokens(images)
    close(clip.image.features(tokens), clip.model.encode_image(images))


def test_text_is_cut_at_the_longest_eot(clip: Towers) -> None:
    tokens = clip.text.tokens(["a cat", "a very long description of a dog"])
    assert tokens.ends is not None
    assert tokens.embedded.shape[1] == int(tokens.ends.max()) + 1 < clip.text.context_length


def test_prompt_beyond_the_context_is_refused(clip: Towers) -> None:
    with pytest.raises(UserError, match="at most 77"):
        clip.text.tokens(["cat " * 80])


def naive(clip: Towers, images: Tensor, block_edits: dict[int, edits.Edit]) -> Tensor:
    """All blocks, nothing shared or cached."""
    x = clip.model.visual._embeds(images)
    for number, block in enumerate(clip.model.visual.transformer.resblocks, 1):
        if number in block_edits:
            x = block_edits[number](x)
        x = block(x)
    return clip.model.visual.ln_post(x)[:, 0] @ clip.model.visual.proj


def test_edits_equal_the_naive_pass_with_gradients(clip: Towers) -> None:
    images = tinyclip.images(SALT, 3)
    new = torch.randn(2, 4, clip.image.width, generator=torch.Generator().manual_seed(0))
    grads, values = [], []
    for run in ("tower", "naive"):
        learned = new.clone().requires_grad_()
        table = {
            5: lambda x, t=learned: edits.insert(x, t[0]),
            9: lambda x, t=learned: edits.mix(x, t[1], 0.3),
        }
        out = (
            clip.image.features(clip.image.tokens(images), table)
            if run == "tower"
            else naive(clip, images, table)
        )
        out.square().sum().backward()
        assert learned.grad is not None
        values.append(out.detach())
        grads.append(learned.grad)
    close(*values)
    close(*grads)


def test_frozen_prefix_is_computed_once_and_shared(clip: Towers) -> None:
    tokens = clip.image.tokens(tinyclip.images(SALT, 2))
    first = clip.image.frozen(tokens, 6)
    clip.image.run(tokens, {6: lambda x: edits.insert(x, x[0, :1])})
    assert clip.image.frozen(tokens, 6) is first
    assert not first.requires_grad


def test_prefix_made_in_inference_mode_can_be_trained_on(clip: Towers) -> None:
    texts = ["a photo of a wolf."]
    with torch.inference_mode():
        clip.text.features(clip.text.tokens(texts))
    learned = torch.zeros(1, clip.text.width, requires_grad=True)
    table = {6: lambda x: edits.insert(x, learned)}
    clip.text.features(clip.text.tokens(texts), table).sum().backward()
    assert learned.grad is not None and learned.grad.abs().max() > 0


def test_eot_is_read_where_insertion_moved_it(clip: Towers) -> None:
    tokens = clip.text.tokens(["a photo of a cat.", "dog"])
    hidden = clip.text.run(tokens, {12: lambda x: edits.insert(x, x[0, 1:3])})
    assert tokens.ends is not None
    rows = torch.arange(2)
    at_eot = clip.model.ln_final(hidden[rows, tokens.ends + 2]) @ clip.model.text_projection
    assert torch.equal(at_eot, clip.text.pool(hidden, tokens))


def test_capture_sees_what_the_blocks_put_out(clip: Towers) -> None:
    tokens = clip.image.tokens(tinyclip.images(SALT, 2))
    capture = Capture([1, 12])
    hidden = clip.image.run(tokens, None, capture)
    assert torch.equal(capture.outputs[12], hidden)
    assert torch.equal(capture.outputs[1], clip.image.frozen(tokens, 2))
    entering = clip.image.frozen(tokens, 1)
    block = clip.model.visual.transformer.resblocks[0]
    close(entering + capture.attention[1], entering + block.attention(block.ln_1(entering)))


def test_edits_of_blocks_that_do_not_exist_are_refused(clip: Towers) -> None:
    with pytest.raises(UserError, match="edits of blocks"):
        clip.image.run(clip.image.tokens(tinyclip.images(SALT, 1)), {14: lambda x: x})


def test_edit_vocabulary() -> None:
    x = torch.arange(2 * 4 * 1.0).reshape(2, 4, 1)
    new = torch.full((2, 1), -1.0)
    assert edits.insert(x, new).squeeze(-1).tolist()[0] == [0, -1, -1, 1, 2, 3]
    assert edits.replace(x, new).squeeze(-1).tolist()[0] == [0, -1, -1, 3]
    assert edits.append(x, new).squeeze(-1).tolist()[1] == [4, 5, 6, 7, -1, -1]
    assert edits.mix(x, new, 0.25).squeeze(-1).tolist()[0] == [0, 0.5, 1.25, 3]
    assert edits.replace(x, new, at=-2 + 4).squeeze(-1).tolist()[0] == [0, 1, -1, -1]

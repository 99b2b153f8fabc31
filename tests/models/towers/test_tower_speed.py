"""What the towers leave out changes no number: values and gradients of plain open_clip modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from promptbench.models import edits
from promptbench.models.edits import Edit
from promptbench.models.towers import Capture, Tokens, Towers, tokens
from promptbench.models.towers.layout import Layout, joined
from tests.golden_set import SALT, tinyclip, towers

TEXTS = ["a cat.", "a photo of a great white shark.", "dog", "an oxford style house", "a cat.", "x"]
N, CPU = len(TEXTS), torch.device("cpu")
Table = dict[int, Edit]
Make = Callable[[Tensor], Table]


@pytest.fixture
def clip() -> Towers:
    chosen = towers("tiny64")
    chosen.forget()
    return chosen


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def naive_text(clip: Towers, table: Table, texts: Sequence[str]) -> Tensor:
    """All 77 positions of all texts, all blocks, the mask written out."""
    model = clip.model
    ids = clip.text.token_ids(texts)
    x = model.token_embedding(ids)
    x = table[0](x) if 0 in table else x
    inserted = 0
    x = x + model.positional_embedding
    for number, block in enumerate(model.transformer.resblocks, 1):
        x = table[number](x) if number in table else x
        inserted = x.shape[1] - 77
        mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu_(1)
        x = block(x, attn_mask=mask)
    x = table[13](x) if 13 in table else x
    at = ids.argmax(dim=-1) + inserted
    return model.ln_final(x)[torch.arange(N), at] @ model.text_projection


def naive_image(clip: Towers, images: Tensor, table: Table) -> Tensor:
    x = clip.model.visual._embeds(images)
    for number, block in enumerate(clip.model.visual.transformer.resblocks, 1):
        x = block(table[number](x) if number in table else x)
    return clip.model.visual.ln_post(x)[:, 0] @ clip.model.visual.proj


def shared_tokens(learned: Tensor) -> Table:
    return {
        6: lambda x: edits.insert(x, learned[0, :3]),
        9: lambda x: edits.mix(x, learned[1, :3], 0.3),
        12: lambda x: edits.replace(x, learned[2, :3]),
    }


def tokens_per_class(learned: Tensor) -> Table:
    """As CoOp's class-specific context: row i belongs to text i, whatever runs together."""
    return {0: lambda x: edits.replace(x, learned[:, :1]), 3: lambda x: edits.insert(x, learned)}


def reordering_per_class(learned: Tensor) -> Table:
    def place(x: Tensor) -> Tensor:
        order = torch.arange(x.shape[1]).repeat(N, 1)
        order[1, 1:3] = torch.tensor([2, 1])
        order[3, 1:4] = torch.tensor([3, 1, 2])
        x = edits.replace(x, learned[0, :1])
        return x.gather(1, order.unsqueeze(-1).expand_as(x))

    return {0: place}


def learnable_shift_of_all(learned: Tensor) -> Table:
    """An edit that touches every position, padding too."""
    return {2: lambda x: x + learned[0, 0]}


def both(run: Callable[[Table], Tensor], naive: Callable[[Table], Tensor], make: Make) -> None:
    """Values and the gradient of the learnable agree."""
    outcome = []
    for compute in (run, naive):
        stream = torch.Generator().manual_seed(0)
        learned = (0.5 * torch.randn(N, 4, 64, generator=stream)).requires_grad_()
        out = compute(make(learned))
        out.square().sum().backward()
        assert learned.grad is not None
        outcome.append((out.detach(), learned.grad))
    for ours, theirs in zip(*outcome, strict=True):
        close(ours, theirs)


def text_as_naive(clip: Towers, make: Make, texts: Sequence[str] = tuple(TEXTS)) -> None:
    """Features of texts, and their gradient, are those of plain modules."""
    both(
        lambda table: clip.text.features(clip.text.tokens(texts), table),
        lambda table: naive_text(clip, table, texts),
        make,
    )


EDITS = [shared_tokens, tokens_per_class, reordering_per_class, learnable_shift_of_all]


@pytest.mark.parametrize("overhead", [0.0, 8.0, 1e9])
@pytest.mark.parametrize("chunk", [None, 1, 4])
@pytest.mark.parametrize("make", EDITS)
def test_text_groups_and_chunks_equal_the_naive_pass(
    clip: Towers, monkeypatch: pytest.MonkeyPatch, make: Make, chunk: int | None, overhead: float
) -> None:
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", overhead * 48 * 64**2)
    monkeypatch.setattr(clip.text, "class_chunk", chunk)
    text_as_naive(clip, make)


@pytest.mark.parametrize("make", [shared_tokens, learnable_shift_of_all])
def test_the_last_image_block_at_the_positions_read_equals_the_naive_pass(
    clip: Towers, make: Make
) -> None:
    images = tinyclip.images(SALT, N)
    both(
        lambda table: clip.image.features(clip.image.tokens(images), table),
        lambda table: naive_image(clip, images, table),
        make,
    )


def test_leading_positions_are_those_of_the_full_run(clip: Towers) -> None:
    for side, sequences in (
        (clip.image, clip.image.tokens(tinyclip.images(SALT, 2))),
        (clip.text, clip.text.tokens(TEXTS)),
    ):
        new = torch.ones(2, side.width)
        table = {4: lambda x, new=new: edits.insert(x, new)}
        few, full = Capture([4, 12]), Capture([4, 12])
        part = side.run(sequences, table, few, leading=3)
        whole = side.run(sequences, table, full)
        close(part, whole[:, :3])
        close(few.outputs[12], full.outputs[12][:, :3])
        close(few.attention[12], full.attention[12][:, :3])
        assert torch.equal(few.outputs[4], full.outputs[4])


def test_chunks_keep_captures_whole(clip: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, seen = clip.text.tokens(TEXTS), []
    for chunk in (None, 4):
        monkeypatch.setattr(clip.text, "class_chunk", chunk)
        capture = Capture([5])
        clip.text.run(tokens, shared_tokens(torch.ones(N, 4, 64)), capture)
        assert tokens.ends is not None
        within = torch.arange(capture.outputs[5].shape[1]) <= tokens.ends.unsqueeze(1)
        seen.append(capture.outputs[5] * within.unsqueeze(-1))
    close(*seen)


def test_frozen_features_are_computed_once_and_carry_no_gradient(clip: Towers) -> None:
    images = tinyclip.images(SALT, 2)
    first = clip.image.features(clip.image.tokens(images))
    assert clip.image.features(clip.image.tokens(images)) is first
    assert not first.requires_grad
    images.add_(1)  # other images in the same tensor
    assert not torch.equal(clip.image.features(clip.image.tokens(images)), first)


def test_frozen_pass_leaves_what_the_prompted_pass_starts_from(clip: Towers) -> None:
    images = tinyclip.images(SALT, 2)
    learned = torch.ones(6, 4, 64)
    clip.image.features(clip.image.tokens(images), shared_tokens(learned))  # begins at block 6
    tokens = clip.image.tokens(images.clone())
    clip.image.features(tokens)
    assert 6 in tokens.entering


def test_text_is_cached_per_class_list_and_dtype(clip: Towers) -> None:
    tokens = clip.text.tokens(TEXTS)
    assert clip.text.tokens(TEXTS) is tokens
    assert clip.text.tokens(TEXTS[1:]) is not tokens
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert clip.text.tokens(TEXTS) is not tokens
    clip.forget()
    assert clip.text.tokens(TEXTS) is not tokens


def test_few_class_lists_are_remembered_and_the_least_recently_used_go(clip: Towers) -> None:
    clip.forget()
    lists = [[f"a photo of {number}"] for number in range(9)]
    first, second = (clip.text.tokens(texts) for texts in lists[:2])
    for texts in lists[2:8]:
        clip.text.tokens(texts)
    assert clip.text.tokens(lists[0]) is first  # eight fit; used now, so that the second is older
    clip.text.tokens(lists[8])
    assert len(clip.text._memo) == 8
    assert clip.text.tokens(lists[0]) is first and clip.text.tokens(lists[1]) is not second


def test_image_memory_does_not_outlive_the_images(clip: Towers) -> None:
    images = tinyclip.images(SALT, 2)
    clip.image.features(clip.image.tokens(images))
    assert len(clip.image._memo) == 1
    del images
    assert len(clip.image._memo) == 0


def test_weights_in_autocasts_dtype_give_the_same_numbers() -> None:
    clip = towers.__wrapped__("tiny64")  # weights of its own
    images = tinyclip.images(SALT, 3)
    outcome = []
    for cast in (False, True):
        if cast:
            clip.cast(torch.bfloat16)
        clip.forget()
        learned = torch.full((N, 4, 64), 0.1, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            table = shared_tokens(learned)
            text = clip.text.features(clip.text.tokens(TEXTS), table)
            image = clip.image.features(clip.image.tokens(images.clone()), table)
        (text.float().square().sum() + image.float().square().sum()).backward()
        assert learned.grad is not None and learned.grad.dtype == torch.float32
        outcome.append((text, image, learned.grad))
    for before, after in zip(*outcome, strict=True):
        assert torch.equal(before, after)


def test_groups_are_the_cheapest_partition() -> None:
    lengths = [5] * 10 + [6] * 10 + [20]
    assert joined(lengths, 0) == {5: 5, 6: 6, 20: 20}
    assert joined(lengths, 12) == {5: 6, 6: 6, 20: 20}
    assert joined(lengths, 1000) == {5: 20, 6: 20, 20: 20}


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    extra=st.integers(0, 2),
    overhead=st.sampled_from([0.0, 3.0, 1e9]),
)
def test_packing_is_reversible_and_its_gradient_exact(
    lengths: list[int], extra: int, overhead: float
) -> None:
    padded = max(lengths) + extra
    layout = Layout(lengths, padded, overhead, CPU)
    x = torch.arange(len(lengths) * padded * 2.0).view(len(lengths), padded, 2) + 1
    x.requires_grad_()
    packed = layout.pack(x)
    assert len(packed) == sum(g.count * g.length for g in layout.groups)
    back = layout.unpack(packed)
    kept = back.detach() != 0
    for row, length in enumerate(lengths):
        assert kept[row, :length].all()
    assert torch.equal(back[kept], x[kept])
    (back * 3).sum().backward()
    assert torch.equal(x.grad, 3.0 * kept)
    read = layout.last()
    ends = read.ordered(read.moves(packed))[:, 0]
    wanted = torch.stack([x[i, n - 1] for i, n in enumerate(lengths)])
    assert torch.equal(ends, wanted)


def test_tokens_may_come_late() -> None:
    calls = []

    def embed() -> Tensor:
        calls.append(1)
        return torch.zeros(2, 3, 4)

    tokens = Tokens(embed)
    assert not calls
    assert len(tokens) == 2 and tokens.embedded.shape == (2, 3, 4)
    assert len(calls) == 1

"""What all texts begin with is computed once, and changes no number: values and gradients are those
of plain open_clip modules."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.memory import held
from promptbench.models import edits
from promptbench.models.deltas import Delta
from promptbench.models.edits import Alike
from promptbench.models.towers import Capture, Towers, memory, tokens
from promptbench.models.towers.compiled import Step
from promptbench.models.towers.layout import Layout
from tests.golden_set import towers
from tests.models.towers.test_tower_speed import Make, N, Table, both, close, text_as_naive

TEXTS = [
    f"a photo of a {name}."
    for name in ("cat", "great white shark", "dog", "oxford style house", "cat", "x")
]
CPU = torch.device("cpu")
OPENING = 5  # SOT and "a photo of a"


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> Towers:
    """Towers for which any opening pays."""
    chosen = towers("tiny64")
    chosen.forget()
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", 0.0)
    return chosen


def context(learned: Tensor) -> Table:
    return {0: Alike(partial(edits.replace, tokens=learned[0]))}


def deep_prompts(learned: Tensor) -> Table:
    return context(learned) | {
        block: Alike(partial(edits.replace, tokens=learned[block, :2])) for block in (2, 3, 5)
    }


def representation_tokens(learned: Tensor) -> Table:
    return {
        6: Alike(partial(edits.insert, tokens=learned[0, :3])),
        9: Alike(partial(edits.mix, tokens=learned[1, :3], beta=0.3)),
        12: Alike(partial(edits.replace, tokens=learned[2, :3])),
    }


def then_one_of_each_class(learned: Tensor) -> Table:
    """As TCP: from the second edit on, texts begin with tokens of their own."""
    return context(learned) | {
        8: partial(edits.replace, tokens=learned[:, :1]),
        10: Alike(partial(edits.replace, tokens=learned[1, 2:3])),
    }


def behind_the_last_block(learned: Tensor) -> Table:
    return context(learned) | {13: lambda x: x * learned[1, 0]}


EDITS = [
    context,
    deep_prompts,
    representation_tokens,
    then_one_of_each_class,
    behind_the_last_block,
]


@pytest.mark.parametrize("overhead", [0.0, 8.0])
@pytest.mark.parametrize("chunk", [None, 1, 4])
@pytest.mark.parametrize("make", EDITS)
def test_values_and_gradients_are_those_of_the_naive_pass(
    clip: Towers, monkeypatch: pytest.MonkeyPatch, make: Make, chunk: int | None, overhead: float
) -> None:
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", overhead * 48 * 64**2)
    monkeypatch.setattr(clip.text, "class_chunk", chunk)
    text_as_naive(clip, make, TEXTS)


def rows_of(clip: Towers, make: Make, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows on which each block of a pass was computed."""
    seen: list[int] = []
    run, read = clip.text._run, clip.text._read

    def counted(step: Step, *arguments: Any) -> tuple[Tensor, Tensor]:
        seen.append(len(arguments[1]))
        return step(*arguments)

    monkeypatch.setattr(clip.text, "_run", partial(counted, run))
    monkeypatch.setattr(clip.text, "_read", partial(counted, read))
    clip.text.features(clip.text.tokens(TEXTS), make(torch.full((N, 4, 64), 0.1)))
    return seen


def test_an_opening_is_computed_once_as_far_as_edits_leave_it_alike(
    clip: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = clip.text.tokens(TEXTS).ends
    assert ends is not None
    every, own = int((ends + 1).sum()), int((ends + 1 - OPENING).sum()) + OPENING
    assert rows_of(clip, context, monkeypatch) == [own] * 12
    assert rows_of(clip, deep_prompts, monkeypatch) == [own] * 12
    assert rows_of(clip, then_one_of_each_class, monkeypatch) == [own] * 7 + [every] * 5
    inserted = rows_of(clip, representation_tokens, monkeypatch)
    assert inserted == [own + 3] * 7  # they stand in the opening, once
    plain = {0: partial(edits.replace, tokens=torch.zeros(4, 64))}
    assert rows_of(clip, lambda _: plain, monkeypatch) == [every] * 12
    longer = int(ends.max()) + 1  # with a cost, shorter texts join the longest
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", 1e3 * 48 * 64**2)
    clip.forget()
    assert rows_of(clip, context, monkeypatch) == [longer * N] * 12  # and the opening does not pay


def test_chunks_have_an_opening_each(clip: Towers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip.text, "class_chunk", 4)
    ends = clip.text.tokens(TEXTS).ends
    assert ends is not None
    own = ends + 1 - OPENING
    wanted = [OPENING + int(own[:4].sum())] * 12 + [OPENING + int(own[4:].sum())] * 12
    assert rows_of(clip, context, monkeypatch) == wanted


def test_who_reads_the_first_positions_gets_those_of_every_text(clip: Towers) -> None:
    texts, learned = clip.text.tokens(TEXTS), torch.full((N, 4, 64), 0.1)
    table = context(learned)
    plain = {0: partial(edits.replace, tokens=learned[0])}
    close(clip.text.run(texts, table, leading=2), clip.text.run(texts, plain, leading=2))


def test_tokens_that_see_later_ones_have_no_opening(clip: Towers) -> None:
    """As SigLIP's, whose texts are not causal, and others that are read elsewhere than at EOT."""
    ids = clip.text.token_ids(TEXTS)
    own = towers.__wrapped__("tiny64").text
    own._whole = True
    table = {0: Alike(partial(edits.insert, tokens=torch.ones(2, 64)))}
    whole = own._tokens(ids, CPU)
    assert whole.layout(whole.embedded.shape[1] + 2, 0, N, alike=True).opening == 0
    assert len(table[0](whole.embedded)[0]) == 79
    close(own.run(whole, {5: table[0]}), own.run(whole, {5: table[0].edit}))


def test_captures_and_whole_runs_have_all_positions(clip: Towers) -> None:
    texts = clip.text.tokens(TEXTS)
    table = representation_tokens(torch.full((N, 4, 64), 0.1))
    unmarked = {block: edit.edit for block, edit in table.items() if isinstance(edit, Alike)}
    outcome = []
    for own in (table, unmarked):
        capture = Capture([7, 12])
        hidden = clip.text.run(texts, own, capture)
        assert texts.ends is not None
        within = torch.arange(hidden.shape[1]) <= texts.ends.unsqueeze(1) + 3
        parts = (hidden, *capture.outputs.values(), *capture.attention.values())
        outcome.append([part * within.unsqueeze(-1) for part in parts])
    for ours, theirs in zip(*outcome, strict=True):
        close(ours, theirs)


def test_texts_that_are_all_the_same_have_an_end_of_their_own(clip: Towers) -> None:
    texts = ["a photo of a cat."] * N
    text_as_naive(clip, context, texts)
    only = clip.text.tokens(texts[:1])
    assert only.layout(only.embedded.shape[1], 0, 1, alike=True).opening == 0  # nothing to share


def test_functions_of_deltas_see_every_token(clip: Towers) -> None:
    """They may draw, for each token something else."""
    seen: list[int] = []

    def noted(x: Tensor) -> Tensor:
        seen.append(len(x))
        return torch.zeros_like(x)

    texts, learned = clip.text.tokens(TEXTS), torch.full((N, 4, 64), 0.1)
    assert texts.ends is not None
    clip.text.features(texts, context(learned), {3: Delta(q=noted)})
    assert seen == [int((texts.ends + 1).sum())]


@pytest.mark.parametrize("make", [context, deep_prompts])
def test_what_backward_keeps_is_what_the_estimate_says(clip: Towers, make: Make) -> None:
    texts = clip.text.tokens(TEXTS * 4)
    learned = torch.full((N, 4, 64), 0.1, requires_grad=True)
    kept = held(lambda: clip.text.run(texts, make(learned)), clip.model)
    layout = texts.layout(texts.embedded.shape[1], 0, len(texts), alike=True)
    assert layout.opening == OPENING
    estimate = memory.kept_bytes(
        layout.rows, 64, 12, torch.float32, torch.float32, copied=layout.copied
    )
    assert 0.8 * kept < estimate < 1.25 * kept


@pytest.mark.parametrize("first", [1, 7])
def test_chunks_are_for_what_is_kept(
    clip: Towers, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(memory, "total", lambda _: 10**12)
    monkeypatch.setattr(memory, "fitting", lambda n, needed, room: seen.append(needed))
    learned = torch.full((4, 64), 0.1, requires_grad=True)
    edit = partial(edits.replace, tokens=learned)
    for table in ({first: edit}, {first: Alike(edit)}):
        clip.forget()
        clip.text.features(clip.text.tokens(TEXTS), table)
    ends = clip.text.tokens(TEXTS).ends
    assert ends is not None
    every = int((ends + 1).sum())
    shared, left = every - (N - 1) * OPENING, 13 - first
    assert seen == [every * 10 * left * 64 * 4, (shared * 10 + (every) * 2) * left * 64 * 4]


@given(
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=8),
    opening=st.integers(1, 4),
    extra=st.integers(0, 2),
    overhead=st.sampled_from([0.0, 3.0]),
)
def test_packing_behind_an_opening_is_reversible_and_its_gradient_exact(
    lengths: list[int], opening: int, extra: int, overhead: float
) -> None:
    whole = [opening + length for length in lengths]
    n, padded = len(whole), max(whole) + extra
    layout = Layout(whole, padded, overhead, CPU, opening=opening)
    pays = (n - 1) * opening > overhead
    assert layout.opening == (opening if pays else 0)
    x = torch.arange(n * padded * 2.0).view(n, padded, 2) + 1
    x[:, :opening] = x[0, :opening].clone()
    x.requires_grad_()
    packed = layout.pack(x)
    assert len(packed) == layout.rows
    back = layout.unpack(packed)
    for row, length in enumerate(whole):
        assert torch.equal(back[row, :length], x[row, :length])
    read = layout.last()
    ends = read.ordered(read.moves(packed))[:, 0]
    assert torch.equal(ends, torch.stack([x[i, m - 1] for i, m in enumerate(whole)]))
    own = torch.arange(padded) < torch.tensor(whole).unsqueeze(1)
    (back * own.unsqueeze(-1) * 3).sum().backward()
    wanted = 3.0 * own
    if pays:  # what the first sequence's opening stands for
        wanted[:, :opening] = 0.0
        wanted[0, :opening] = 3.0 * n
    assert x.grad is not None and torch.equal(x.grad, wanted.unsqueeze(-1).expand_as(x))


def test_queries_behind_an_opening_see_it_and_their_own_past() -> None:
    layout = Layout([5, 5, 7], 7, 0.0, CPU, opening=3)
    two, four = layout.sights
    assert two.tolist() == [[True] * 4 + [False], [True] * 5]
    assert four.tolist() == [[True] * (4 + i) + [False] * (3 - i) for i in range(4)]
    joined = Layout([5, 7], 7, 2.0, CPU, opening=3)  # the shorter is padded
    (mask,) = joined.last().masks
    assert mask is not None
    assert mask[:, 0, 0].tolist() == [[True] * 5 + [False] * 2, [True] * 7]


@pytest.mark.parametrize("chunk", [None, 4])
def test_compiled_passes_have_the_same_numbers(clip: Towers, chunk: int | None) -> None:
    own = towers.__wrapped__("tiny64")
    own.text.compile(pytest.fail, {"backend": "aot_eager"})
    own.text.class_chunk = chunk
    both(
        lambda table: own.text.features(own.text.tokens(TEXTS), table),
        lambda table: clip.text.features(clip.text.tokens(TEXTS), table),
        deep_prompts,
    )
    assert not own.text.has_given_up

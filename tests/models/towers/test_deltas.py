"""Deltas against the naive computation: plain modules, all tokens of all blocks, no cache."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.memory import held
from promptbench.contract.towers import tiny_towers
from promptbench.errors import UserError
from promptbench.models import edits
from promptbench.models.deltas import Affine, Delta, low_rank
from promptbench.models.edits import Edit
from promptbench.models.towers import Capture, Towers, memory, passes, tokens
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute, Precision
from tests.golden_set import SALT, tinyclip, towers
from tests.models.towers.test_tower_speed import TEXTS, N, close

CPU = torch.device("cpu")
MAPS = {"q": (1, 1), "k": (1, 1), "v": (1, 1), "out": (1, 1), "fc": (1, 4), "proj": (4, 1)}
PARTS = (*MAPS, "ln_1", "ln_2", "beside")
Side = Any
Learned = dict[tuple[int, str], list[Tensor]]  # what a part of a block learns
Table = Mapping[int, Edit]


@pytest.fixture
def clip() -> Towers:
    chosen = towers("tiny64")
    chosen.forget()
    return chosen


def learned(parts: Mapping[int, tuple[str, ...]], width: int, seed: int = 0) -> Learned:
    """Learnables of the parts of each block, as large as to be seen."""
    stream = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return (0.1 * torch.randn(*shape, generator=stream)).requires_grad_()

    found: Learned = {}
    for number, names in parts.items():
        for name in names:
            if name in MAPS or name == "beside":
                wide, high = MAPS.get(name, (1, 1))
                found[number, name] = [drawn(3, wide * width), drawn(high * width, 3)]
            else:
                found[number, name] = [drawn(width), drawn(width)]
    return found


def branch(x: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """A function that no change of a weight expresses."""
    return torch.tanh(x @ down.T) @ up.T


def deltas_of(learnables: Learned) -> dict[int, Delta]:
    """The deltas as a method hands them to a tower; even blocks have low-rank maps, odd others."""
    found: dict[int, Delta] = {}
    for (number, name), (a, b) in learnables.items():
        part: Any = Affine(a, b)
        if name in MAPS and number % 2 == 0:
            part = low_rank(a, b, 0.5)
        elif name in MAPS or name == "beside":
            part = partial(branch, down=a, up=b)
        found[number] = found.get(number, Delta())._replace(**{name: part})
    return found


class Plain(nn.Module):
    """A block of open_clip with the deltas written out, over whole sequences and with a mask."""

    def __init__(self, block: Any, number: int, learnables: Learned) -> None:
        super().__init__()
        self.block, self.number = block, number
        self.own = {name: pair for (n, name), pair in learnables.items() if n == number}

    def add(self, name: str, x: Tensor) -> Tensor | float:
        if name not in self.own:
            return 0.0
        a, b = self.own[name]
        if name in MAPS and self.number % 2 == 0:
            return 0.5 * x @ (b @ a).T
        return branch(x, a, b)

    def norm(self, name: str, x: Tensor) -> Tensor:
        norm = getattr(self.block, name)
        a, b = self.own.get(name, (torch.zeros(()), torch.zeros(())))
        centred = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, unbiased=False) + norm.eps
        ).sqrt()
        return centred * (norm.weight + a) + (norm.bias + b)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        attn, mlp = self.block.attn, self.block.mlp
        normed = self.norm("ln_1", x)
        weights, biases = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
        q, k, v = (
            (F.linear(normed, w, c) + self.add(name, normed))
            .unflatten(-1, (attn.num_heads, -1))
            .transpose(1, 2)
            for name, w, c in zip("qkv", weights, biases, strict=True)
        )
        scores = q @ k.mT * q.shape[-1] ** -0.5
        heads = (scores if mask is None else scores + mask).softmax(-1) @ v
        heads = heads.transpose(1, 2).flatten(2)
        attended = attn.out_proj(heads) + self.add("out", heads)
        y = x + attended
        m = self.norm("ln_2", y)
        h = mlp.gelu(mlp.c_fc(m) + self.add("fc", m))
        output = y + mlp.c_proj(h) + self.add("proj", h) + self.add("beside", normed)
        return output, attended


def naive(
    clip: Towers, side: str, images: Tensor, table: Table, learnables: Learned
) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
    """Features, and output and attention branch of every block."""
    model = clip.model
    if side == "image":
        modules, x, mask = model.visual.transformer.resblocks, model.visual._embeds(images), None
        ends = torch.zeros(len(images), dtype=torch.long)
    else:
        ids = clip.text.token_ids(TEXTS)
        modules, ends = model.transformer.resblocks, ids.argmax(dim=-1)
        x = model.token_embedding(ids)
        x = (table[0](x) if 0 in table else x) + model.positional_embedding
    length, seen = x.shape[1], {}
    for number, block in enumerate(modules, 1):
        x = table[number](x) if number in table else x
        if side == "text":
            mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu_(1)
        x, attended = Plain(block, number, learnables)(x, mask)
        seen[number] = (x, attended)
    x = table[len(modules) + 1](x) if len(modules) + 1 in table else x
    if side == "image":
        return model.visual.ln_post(x)[:, 0] @ model.visual.proj, seen
    read = x[torch.arange(N), ends + x.shape[1] - length]
    return model.ln_final(read) @ model.text_projection, seen


def ours(
    clip: Towers, side: str, images: Tensor, table: Table, learnables: Learned
) -> tuple[Tensor, None]:
    tower: Side = getattr(clip, side)
    given = clip.image.tokens(images) if side == "image" else clip.text.tokens(TEXTS)
    return tower.features(given, table, deltas_of(learnables)), None


def same(
    clip: Towers,
    side: str,
    parts: Mapping[int, tuple[str, ...]],
    table: Table,
    tolerance: float = 1e-5,
) -> None:
    """Values and gradients of both computations agree, gradients to ten times the tolerance."""
    images = tinyclip.images(SALT, 3)
    outcome = []
    for compute in (ours, naive):
        learnables = learned(parts, getattr(clip, side).width)
        features, _ = compute(clip, side, images, table, learnables)
        if features.requires_grad:
            features.square().sum().backward()
        grads = [x.grad for pair in learnables.values() for x in pair]
        assert all(g is not None and g.abs().max() > 0 for g in grads)
        outcome.append([features.detach(), *grads])
    close(outcome[0][0], outcome[1][0], tolerance)
    for mine, theirs in zip(outcome[0][1:], outcome[1][1:], strict=True):
        assert mine is not None and theirs is not None
        close(mine, theirs, 10 * tolerance)


TABLES: dict[str, Table] = {
    "none": {},
    "inserted": {4: lambda x: edits.insert(x, torch.full((2, x.shape[-1]), 0.3))},
    "before": {0: lambda x: 1.1 * x},
    "behind": {13: lambda x: x + 0.5 * x.flip(-1)},
    "inserted behind": {13: lambda x: edits.insert(x, torch.full((1, x.shape[-1]), 0.3))},
}


@pytest.mark.parametrize("side", ["text", "image"])
@pytest.mark.parametrize("number", [5, 12])
@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_block(clip: Towers, side: str, number: int, part: str) -> None:
    """In the last block, too, of which only the tokens that are read are computed."""
    same(clip, side, {number: (part,), 11: (part,)}, {})


@pytest.mark.parametrize("side", ["text", "image"])
@pytest.mark.parametrize("name", TABLES)
def test_edits_and_deltas_together(clip: Towers, side: str, name: str) -> None:
    same(clip, side, {3: PARTS, 4: ("k", "beside"), 12: PARTS}, TABLES[name])


@pytest.mark.parametrize("side", ["text", "image"])
@pytest.mark.parametrize("name", ["behind", "inserted behind"])
def test_an_edit_behind_the_last_block_by_itself(clip: Towers, side: str, name: str) -> None:
    same(clip, side, {}, TABLES[name])


def test_an_activation_other_than_quickgelu() -> None:
    clip = towers.__wrapped__("tiny64")
    for module in (*clip.model.transformer.resblocks, *clip.model.visual.transformer.resblocks):
        module.mlp.gelu = nn.GELU()
    other = Towers(clip.model, clip.text._tokenizer)
    for side in ("text", "image"):
        same(other, side, {7: PARTS, 12: PARTS}, {})


@pytest.mark.parametrize("overhead", [0.0, 8.0, 1e9])
@pytest.mark.parametrize("chunk", [None, 1, 4])
def test_groups_and_chunks(
    clip: Towers, monkeypatch: pytest.MonkeyPatch, chunk: int | None, overhead: float
) -> None:
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", overhead * 48 * 64**2)
    monkeypatch.setattr(clip.text, "class_chunk", chunk)
    same(clip, "text", {1: PARTS, 6: ("q", "ln_2"), 12: PARTS}, TABLES["inserted"])


blocks = st.dictionaries(
    st.integers(1, 12),
    st.lists(st.sampled_from(PARTS), min_size=1, unique=True).map(tuple),
    min_size=1,
    max_size=4,
)


@settings(max_examples=15)
@given(parts=blocks, table=st.sampled_from(sorted(TABLES)), side=st.sampled_from(["text", "image"]))
def test_random_deltas(parts: dict[int, tuple[str, ...]], table: str, side: str) -> None:
    clip = towers("tiny64")
    clip.forget()
    same(clip, side, parts, TABLES[table], 5e-5)  # large ones in early blocks add up float noise


def test_captures_and_views_see_what_the_naive_blocks_put_out(clip: Towers) -> None:
    images = tinyclip.images(SALT, 2)
    made = learned({3: PARTS, 5: ("q", "beside"), 12: PARTS}, clip.image.width)
    capture = Capture([2, 4, 5, 12])
    found = clip.image.run(clip.image.tokens(images), {}, capture, deltas=deltas_of(made))
    _, seen = naive(clip, "image", images, {}, made)
    for number in capture.blocks:
        close(capture.outputs[number], seen[number][0])
        close(capture.attention[number], seen[number][1])
    close(found, seen[12][0])
    for number in (1, 3, 4, 12):
        entering = seen[number - 1][0] if number > 1 else clip.model.visual._embeds(images)
        view = clip.image.view(number, entering, deltas_of(made))
        close(view.output, seen[number][0])
        close(view.attended, seen[number][1])


def test_leading_positions_with_an_edit_behind_the_last_block(clip: Towers) -> None:
    images, table = tinyclip.images(SALT, 2), TABLES["inserted behind"]
    given = clip.image.tokens(images)
    made = deltas_of(learned({10: PARTS}, clip.image.width))
    whole = clip.image.run(given, table, deltas=made)
    assert whole.shape[1] == given.embedded.shape[1] + 1
    close(clip.image.run(given, table, leading=2, deltas=made), whole[:, :2])
    close(
        clip.image.run(given, {}, leading=2, deltas=made), clip.image.run(given, deltas=made)[:, :2]
    )


def test_blocks_before_the_first_that_is_touched_are_computed_once(
    clip: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    original = clip.image._packed

    def packed(x: Tensor, **rest: Any) -> tuple[Tensor, Tensor]:
        ran.extend(rest["numbers"])
        return original(x, **rest)

    monkeypatch.setattr(clip.image, "_packed", packed)
    given = clip.image.tokens(tinyclip.images(SALT, 2))
    made = deltas_of(learned({8: ("q",), 10: ("fc",)}, clip.image.width))
    clip.image.features(given, {9: lambda x: x}, made)
    assert ran == [*range(1, 13)] and clip.image.touched_from == 8
    ran.clear()
    clip.image.features(given, None, made)
    assert ran == [*range(8, 13)]
    ran.clear()
    clip.image.features(given)  # the frozen features start there as well
    assert ran == [*range(8, 13)]
    clip.forget()
    assert clip.image.touched_from is None


def test_the_last_block_gives_its_functions_the_tokens_read(
    clip: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tokens._GROUP_WORK, "cpu", 0.0)  # a group for each length
    rows: dict[str, int] = {}

    def noting(name: str) -> Any:
        def note(x: Tensor) -> Tensor:
            rows[name] = len(x)
            return torch.zeros(64 * MAPS.get(name, (1, 1))[1])

        return note

    made = Delta(**{name: noting(name) for name in (*MAPS, "beside")})
    given = clip.text.tokens(TEXTS)
    clip.text.features(given, None, {12: made})
    every = given.layout(given.embedded.shape[1], 0, N).rows
    assert rows == {"k": every, "v": every} | dict.fromkeys(("q", "out", "fc", "proj", "beside"), N)
    assert every < N * given.embedded.shape[1]  # no padding


def test_chunks_draw_the_same_dropout_when_they_are_computed_again(
    clip: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Along a line through the learnable the loss changes as the gradient says."""
    monkeypatch.setattr(clip.text, "class_chunk", 2)
    up = (0.1 * torch.randn(64, 3, generator=torch.Generator().manual_seed(1))).double()
    down = torch.randn(3, 64, generator=torch.Generator().manual_seed(2)) * 0.1

    def loss(value: Tensor) -> Tensor:
        torch.manual_seed(7)
        table = {n: Delta(v=lambda x: F.dropout(x, 0.5) @ down.T @ value.T) for n in (2, 9)}
        return clip.text.features(clip.text.tokens(TEXTS), None, table).square().sum()

    learnable = up.float().requires_grad_()
    loss(learnable).backward()
    assert learnable.grad is not None
    step = 1e-2 * learnable.grad / learnable.grad.norm()
    with torch.no_grad():
        slope = (loss(learnable + step) - loss(learnable - step)) / (2 * step.norm())
    assert float(slope) == pytest.approx(float(learnable.grad.norm()), rel=2e-3)


def test_chunks_are_computed_again_where_only_functions_learn(
    clip: Towers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What enters the first touched block is frozen, and needs no gradient."""
    again: list[int] = []
    original = passes.checkpoint

    def counting(*given: Any, **options: Any) -> Any:
        again.append(1)
        return original(*given, **options)

    monkeypatch.setattr(passes, "checkpoint", counting)
    monkeypatch.setattr(clip.text, "class_chunk", 2)
    made = deltas_of(learned({1: ("q",)}, 64))
    with torch.no_grad():
        clip.text.features(clip.text.tokens(TEXTS), None, made)
    assert not again
    clip.text.features(clip.text.tokens(TEXTS), None, made)
    assert len(again) == N / 2


@pytest.mark.parametrize(("precision", "most"), [("bf16", 2e-2), ("fp16", 3e-3)])
def test_half_precision_keeps_the_stream_float32_and_the_numbers_near(
    precision: Precision, most: float
) -> None:
    """Functions that widen what they are given change no dtype."""
    half, full = towers.__wrapped__("tiny64"), towers.__wrapped__("tiny64")
    compute = Compute(CPU, precision)
    half.cast(compute.dtype)
    made = learned({4: PARTS, 9: PARTS, 12: PARTS}, 64)
    table = {
        n: Delta(*(part if isinstance(part, Affine) else _widened(part) for part in delta))
        for n, delta in deltas_of(made).items()
    }
    for side in ("text", "image"):
        captures, outcome = [], []
        for clip, how in ((half, compute), (full, Compute(CPU, "fp32"))):
            tower: Side = getattr(clip, side)
            images = tinyclip.images(SALT, 2)
            given = evaluating(how, tower.tokens, images if side == "image" else TEXTS)
            captures.append(Capture([4, 12]))
            evaluating(how, tower.run, given, {}, captures[-1], deltas=table)
            outcome.append(evaluating(how, tower.features, given, {}, table).float())
        assert (outcome[0] - outcome[1]).abs().max() <= most * outcome[1].abs().max()
        assert captures[0].outputs[4].dtype == captures[0].outputs[12].dtype == torch.float32
        assert captures[0].attention[4].dtype == compute.dtype


def _widened(function: Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor] | None:
    return None if function is None else lambda x: function(x).float()


def test_weights_are_copies_and_what_the_block_computes_with() -> None:
    clip = tiny_towers()
    for side in (clip.text, clip.image):
        weights = side.weights(3)
        assert set(weights) == set(Delta._fields) - {"beside"}
        before = copy.deepcopy(side._blocks[2].fc.weight)
        weights["fc"][0].zero_()
        assert torch.equal(side._blocks[2].fc.weight, before)
    # Deltas that take every map away leave the stream as it is.
    weights = clip.image.weights(3)
    gone = {
        name: lambda x, w=w, b=b: -F.linear(x, w, b)
        for name, (w, b) in weights.items()
        if name in ("out", "proj")
    }
    given = clip.image.tokens(torch.randn(2, 3, 16, 16))
    capture = Capture([2, 3])
    clip.image.run(given, {}, capture, deltas={3: Delta(**gone)})
    close(capture.outputs[3], capture.outputs[2])
    scale, shift = weights["ln_2"]
    flat = {3: Delta(ln_2=Affine(-scale, -shift), fc=lambda x: x @ torch.ones(48, 192))}
    bare = {3: Delta(ln_2=Affine(-scale, -shift))}
    close(*(clip.image.features(given, {}, table) for table in (flat, bare)))


def test_what_does_not_fit_is_refused(clip: Towers) -> None:
    given = clip.text.tokens(TEXTS)
    for number in (0, 13, -1):
        with pytest.raises(UserError, match=rf"deltas of blocks \[{number}\].*from 1 to 12"):
            clip.text.features(given, None, {number: Delta()})
    with pytest.raises(UserError, match=r"edits of blocks \[14\].*from 0 to 13"):
        clip.text.features(given, {14: lambda x: x})
    for name, wrong in (
        ("q", torch.ones(1, 64)),
        ("fc", torch.ones(64)),
        ("beside", torch.ones(3)),
    ):
        with pytest.raises(UserError, match=f"a delta's {name} returns .* token by token"):
            clip.text.features(given, None, {12: Delta(**{name: lambda x, w=wrong: w})})


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_what_backward_keeps_is_what_the_estimate_says(clip: Towers, dropout: float) -> None:
    a, b = torch.zeros(2, 64, requires_grad=True), torch.ones(64, 2, requires_grad=True)

    def lora(x: Tensor) -> Tensor:
        return low_rank(a, b)(F.dropout(x, dropout))

    table = {n: Delta(q=lora, k=lora, v=lora) for n in range(1, 13)}
    given = clip.text.tokens(TEXTS)
    clip.text.frozen(given, 1)
    kept = held(lambda: clip.text.run(given, {}, None, 1, table), clip.model)
    rows = given.layout(given.embedded.shape[1], 0, N).rows
    estimate = memory.kept_bytes(rows, 64, 12, torch.float32, torch.float32, table.values())
    assert 0.65 * estimate < kept < 1.1 * estimate

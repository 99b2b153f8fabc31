"""Rows that move to distinct places: values and gradients are those of torch's own indexing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from promptbench.models import edits
from promptbench.models.moves import Moves
from promptbench.models.towers.layout import Layout

CPU = torch.device("cpu")
Function = Callable[[Tensor], Tensor]
# Some of 1 to 12 rows, none twice, in any order: how many rows there are, and those taken.
SOME = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=1, unique=True))
)


def both_ways(function: Function, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The values, and the gradient of a sum in which every value has a weight of its own."""
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=stream, requires_grad=True)
    values = function(x)
    weights = torch.randn(values.shape, generator=stream)
    # x takes part a second time, as it does in a block.
    (gradient,) = torch.autograd.grad((values * weights).sum() + x.square().sum(), x)
    return values.detach(), gradient


def same(ours: Function, theirs: Function, shape: tuple[int, ...]) -> None:
    for mine, yours in zip(both_ways(ours, shape), both_ways(theirs, shape), strict=True):
        assert torch.equal(mine, yours)


@given(SOME)
def test_moved_rows_are_those_of_index_select(given: tuple[int, list[int]]) -> None:
    rows, taken = given
    moves, index = Moves.of(taken, rows, CPU), torch.tensor(taken, dtype=torch.long)
    same(moves, lambda x: x.index_select(0, index), (rows, 3))
    same(
        moves.back,
        lambda x: torch.zeros(rows, 3).index_copy(0, index, x),
        (len(taken), 3),
    )


def test_the_gradient_is_that_of_finite_differences() -> None:
    moves = Moves.of([3, 1, 4], 5, CPU)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    for function in (moves, lambda x: moves.back(moves(x) ** 2)):
        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    extra=st.integers(0, 2),
    overhead=st.sampled_from([0.0, 3.0, 1e9]),
    most=st.sampled_from([None, 1, 2]),
)
def test_readings_of_ragged_sequences_are_those_of_plain_indexing(
    lengths: list[int], extra: int, overhead: float, most: int | None
) -> None:
    n, padded = len(lengths), max(lengths) + extra
    layout = Layout(lengths, padded, overhead, CPU, most)
    ends = torch.tensor(lengths) - 1
    for reading, plain in (
        (layout.last(), lambda x: x[torch.arange(n), ends].unsqueeze(1)),
        (layout.leading(1, causal=True), lambda x: x[:, :1]),
    ):
        same(lambda x, r=reading: r.ordered(r.moves(layout.pack(x))), plain, (n, padded, 2))
    assert layout.last() is layout.last()
    assert layout.leading(1, causal=True) is layout.leading(1, causal=True)
    starts = 0
    for group, mask in zip(layout.groups, layout.last().masks, strict=True):
        own = layout._lengths[starts : starts + group.count]
        starts += group.count
        seen = torch.arange(group.length) < torch.tensor(own).view(-1, 1, 1, 1)
        assert seen.all() if mask is None else torch.equal(mask, seen) and not seen.all()


@given(st.lists(st.permutations(range(4)), min_size=1, max_size=5))
def test_reordered_tokens_are_those_of_gather(orders: list[list[int]]) -> None:
    index = torch.tensor(orders)
    taken = [4 * row + place for row, order in enumerate(orders) for place in order]
    moves = Moves.of(taken, len(taken), CPU)
    same(
        lambda x: edits.reorder(x, moves),
        lambda x: x.gather(1, index.unsqueeze(-1).expand_as(x)),
        (len(orders), 4, 3),
    )


@pytest.mark.parametrize(
    ("taken", "message"),
    [([0, 2, 0], "twice"), ([0, 3], "from 0 to 3"), ([-1], "from -1"), ([], "no row")],
)
def test_what_is_not_a_move_is_refused(taken: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Moves.of(taken, 3, CPU)


class Watched(TorchDispatchMode):
    """Notes which operations run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def test_the_way_back_adds_nothing_up() -> None:
    """What a GPU would sort for: `index_add`, `scatter_add` and `index_put`."""
    x = torch.randn(4, 2, requires_grad=True)
    moves = Moves.of([3, 1], 4, CPU)
    with Watched() as ours:
        moves(x).sum().backward()
    with Watched() as theirs:
        x.index_select(0, moves.index).sum().backward()
    adding = ("index_add", "scatter", "index_put")
    assert not [op for op in ours.seen if any(word in op for word in adding)]
    assert [op for op in theirs.seen if any(word in op for word in adding)]

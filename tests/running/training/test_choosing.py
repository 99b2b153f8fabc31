"""What a training shows a selection rule, and how what the rule has chosen becomes the method."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from promptbench.contract import TRAIN, tiny_towers
from promptbench.core.averaging import EpochAverage
from promptbench.core.selection import Observation, Selection
from promptbench.errors import UserError
from promptbench.isolation.entering import state_of
from promptbench.methods.coop import CoOp
from promptbench.running.training.choosing import Rules

States = dict[str, Tensor]


class Shown(Selection):
    """Keeps all that it is shown, and chooses what it is told to."""

    title = "shown"

    def __init__(self, answer: Callable[[list[States]], Any]) -> None:
        self.answer, self.states, self.losses = answer, [], []
        self.drawn: list[float] = []

    def observe(self, seen: Observation) -> None:
        self.states.append(dict(seen.state()))
        self.losses.append((seen.number, dict(seen.losses)))
        self.drawn.append(float(torch.rand(())))
        seen.losses["total"] = 0.0  # type: ignore[index]

    def chosen(self) -> Any:
        return self.answer(self.states)


class Measured:
    """In the place of a validator: what it is told to measure."""

    def __init__(self) -> None:
        self.averaged: list[dict[str, Tensor]] = []
        self.seconds = 0.0

    def accuracy(self, epoch: int, averaged: dict[str, Tensor]) -> float:
        assert epoch == len(self.averaged)
        self.averaged.append({name: value.clone() for name, value in averaged.items()})
        return 100.0


def trained(
    answer: Callable[[list[States]], Any], weights: tuple[float, ...] = (), stream: int = 0
) -> Any:
    """A training of three epochs, each of which adds 1 to what is learned; the process's random
    stream stands at `stream`."""
    torch.manual_seed(0)
    method, average = CoOp(tiny_towers(), TRAIN), EpochAverage(weights)
    method.register_buffer("seen", torch.zeros((), dtype=torch.long))
    rule, start = Shown(answer), method.ctx.detach().clone()
    plugin: Any = SimpleNamespace(name="shown", cls=lambda: rule, source_sha256=None)
    measured: Any = Measured()
    rules = Rules([plugin], 1, method, average, measured)
    torch.manual_seed(stream)
    for epoch in range(3):
        with torch.no_grad():
            method.ctx += 1
            method.seen += 1
        losses = {"total": float(epoch)}
        average.add(epoch, method)
        rules.observe(epoch, losses, at_end=epoch == 2)
        assert losses == {"total": float(epoch)}  # a rule has copies
    rules.choose("shown")
    return SimpleNamespace(rule=rule, method=method, start=start, averaged=measured.averaged)


@pytest.mark.parametrize("epoch", range(3))
def test_the_chosen_epoch_is_the_method(epoch: int) -> None:
    fit = trained(lambda states: states[epoch])
    assert fit.rule.losses == [(n, {"total": float(n)}) for n in range(3)]
    state = state_of(fit.method)
    torch.testing.assert_close(state["ctx"], fit.start + 1 + epoch)
    assert int(state["seen"]) == epoch + 1


def test_what_a_rule_draws_is_a_function_of_seed_and_epoch() -> None:
    first, second = (trained(lambda _: None, stream=n).rule.drawn for n in range(2))
    assert first == second and len({*first}) == 3


def test_the_state_after_the_last_epoch_is_the_average() -> None:
    weights = (0.5, 0.25, 0.25)
    named = trained(lambda states: states[-1], weights)
    usual = trained(lambda _: None, weights)
    plain = trained(lambda _: None).rule.states
    states = named.rule.states
    assert all(torch.equal(states[n]["ctx"], plain[n]["ctx"]) for n in range(2))
    expected = named.start + 0.5 * 1 + 0.25 * 2 + 0.25 * 3
    torch.testing.assert_close(states[2]["ctx"], expected)
    assert named.averaged[:2] == [{}, {}]  # what is measured is what would be scored
    assert torch.equal(named.averaged[2]["ctx"], states[2]["ctx"])
    for fit in (named, usual):
        assert torch.equal(fit.method.ctx, states[2]["ctx"])
        assert int(fit.method.seen) == 3  # only what is learned is averaged


def test_a_state_is_a_copy() -> None:
    def spoil(states: list[States]) -> None:
        for state in states:
            state["ctx"].zero_()

    spoiled, usual = trained(spoil), trained(lambda _: None)
    assert torch.equal(spoiled.method.ctx, usual.method.ctx)
    assert not any(state["ctx"].requires_grad for state in usual.rule.states)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda _: 1, "'shown' has chosen is of type int, not a mapping of names to tensors"),
        (lambda _: {}, "'shown' has chosen is not one of the method's: .*Missing key.*ctx"),
        (lambda s: {**s[0], "more": torch.zeros(1)}, "not one of the method's: .*Unexpected key"),
        (lambda s: {**s[0], "ctx": torch.zeros(1)}, "not one of the method's: .*size mismatch"),
        (lambda s: {**s[0], "ctx": 1.0}, "has chosen holds 'ctx' as builtins.float"),
        (lambda s: {**s[0], "ctx": s[0]["ctx"] / 0}, "is broken: parameter 'ctx' is not finite"),
    ],
)
def test_a_choice_that_is_no_state_of_the_method_is_refused(answer: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        trained(answer)

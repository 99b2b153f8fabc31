"""What any selection rule must hold, over all members: a choice is a function of the epochs."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptbench.core import selection
from promptbench.core.protocol import Protocol
from promptbench.core.registry import SELECTIONS, Plugin
from promptbench.core.selection import Observation, Selection, State
from promptbench.errors import UserError

THEIRS = Path(__file__).with_name("lowest_loss.py")
EPOCHS = 6
LOSSES = (3.0, 1.5, 2.0, 1.0, 1.0, 2.5)


@pytest.fixture(params=[*SELECTIONS.names(), str(THEIRS)], ids=lambda name: Path(name).stem)
def rule(request: pytest.FixtureRequest) -> Plugin[Selection]:
    return SELECTIONS.load(SELECTIONS.add_path(request.param))


def epochs(seed: int, losses: Sequence[float] = LOSSES) -> Iterator[tuple[Observation, State]]:
    """The epochs of a training, each with its state: a parameter and a counter of steps."""
    draw = torch.Generator().manual_seed(seed)
    for number, loss in enumerate(losses):
        state = {"shift": torch.randn(3, generator=draw), "steps": torch.tensor(4 * (number + 1))}
        copied = {name: value.clone() for name, value in state.items()}
        terms = {"ce": loss / 2, "total": loss}
        seen = Observation(
            number, terms, lambda copied=copied: dict(copied), lambda loss=loss: 100 - loss
        )
        yield seen, state


def saved(rule: Selection) -> Any:
    """What a rule has noted, through the bytes of a snapshot."""
    file = io.BytesIO()
    torch.save(selection.noted(rule), file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def plain(chosen: State | None) -> Any:
    return None if chosen is None else {name: value.tolist() for name, value in chosen.items()}


def choice(rule: Plugin[Selection], seed: int = 1, cut: int = -1) -> Any:
    """What is chosen of a training; `cut`: after that epoch another process goes on."""
    own = rule.cls()
    for seen, _ in epochs(seed):
        own.observe(seen)
        if seen.number == cut:
            noted, own = saved(own), rule.cls()
            own.load_state_dict(noted)
    return plain(own.chosen())


def test_the_same_epochs_give_the_same_choice(rule: Plugin[Selection]) -> None:
    states = [plain(state) for _, state in epochs(1)]
    found = choice(rule)
    assert found is None or found in states
    assert choice(rule) == found


@pytest.mark.parametrize("cut", range(EPOCHS))
def test_a_training_that_goes_on_ends_in_the_same_choice(rule: Plugin[Selection], cut: int) -> None:
    assert choice(rule, cut=cut) == choice(rule)


def test_trainings_leave_each_other_alone(rule: Plugin[Selection]) -> None:
    first, second = rule.cls(), rule.cls()
    for (seen, state), (other, _) in zip(epochs(1), epochs(2, LOSSES[::-1]), strict=True):
        losses = dict(seen.losses)
        first.observe(seen)
        second.observe(other)
        assert seen.losses == losses and plain(seen.state()) == plain(state)
    assert plain(first.chosen()) == choice(rule)


def test_titles_tell_rules_apart() -> None:
    assert Protocol.selection in SELECTIONS.names()
    titles = [SELECTIONS.load(name).cls.title for name in SELECTIONS.names()]
    assert all(titles) and len({*titles}) == len(titles)


def test_what_records_call_a_rule_says_whose_it_is() -> None:
    assert selection.recorded(SELECTIONS.load("last")) == "last epoch"
    theirs = SELECTIONS.load(SELECTIONS.add_file(THEIRS))
    assert selection.recorded(theirs) == f"lowest training loss ({theirs.provider})"
    assert theirs.provider.startswith("file ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lsat", "unknown selection rule 'lsat'; did you mean 'last'? (named by the protocol p"),
        ("valdation", "unknown selection rule 'valdation'; did you mean 'validation'? "),
        (None, "unknown selection rule 'None'; "),
    ],
)
def test_a_protocol_that_names_no_rule_is_refused(name: Any, said: str) -> None:
    protocol: Any = SimpleNamespace(
        name="p", provider="pack 1.0", cls=SimpleNamespace(selection=name)
    )
    with pytest.raises(UserError) as refused:
        selection.of_protocol(protocol)
    assert str(refused.value).startswith(said)
    assert "the protocol p, pack 1.0; --plugin" in str(refused.value)


class Keeps(Selection):
    """Keeps whatever it is given."""

    title = "keeps"

    def __init__(self, **kept: Any) -> None:
        vars(self).update(kept)

    def observe(self, seen: Observation) -> None: ...

    def chosen(self) -> None: ...


def test_what_a_snapshot_can_hold_goes_through_it() -> None:
    kept: dict[str, Any] = {"n": None, "i": 1, "x": 0.5, "t": "text", "b": True}
    nested = {**kept, "list": [1, (2, {"a": [3.0]})], 4: "four"}
    own = Keeps(**kept, all=nested, tensor=torch.arange(3.0))
    again = Keeps()
    again.load_state_dict(saved(own))
    assert {k: v for k, v in vars(again).items() if k != "tensor"} == {**kept, "all": nested}
    assert torch.equal(again.tensor, own.tensor)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Observation(0, {}, dict), "promptbench.core.selection.Observation"),
        (lambda: None, "builtins.function"),
        ({1}, "builtins.set"),
        ([1, {"a": (torch.nn.Parameter(torch.zeros(1)),)}], "torch.nn.parameter.Parameter"),
        ({Path("a"): 1}, "pathlib"),
    ],
    ids=["an observation", "a function", "a set", "a parameter", "a path as a key"],
)
def test_what_it_cannot_hold_is_named(value: Any, kind: str) -> None:
    said = "the selection rule 'keeps' keeps a .*" + kind + ".* as 'best', which a snapshot cannot"
    with pytest.raises(UserError, match=said):
        selection.noted(Keeps(best=value))

"""What a selection rule is: which of a training's states is scored.

The rule is the protocol's unless the user names others (`--select`), and the same for all
methods. Several rules look on at one training, and each chooses a state of its own. A recipe's
`average` over epochs is not a rule: it is how a method's paper ends a training, and what a rule
sees as the state after the last epoch.

A rule never meets a test image: it is shown mean training losses and, if it `validates`, the
accuracy on validation images of the classes that are learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from promptbench.core.registry import BUILT_IN, SELECTIONS, Plugin
from promptbench.errors import UserError, unknown

if TYPE_CHECKING:  # who reads records needs no torch
    from torch import Tensor

USUAL = "last epoch"  # what records call the rule of the field's papers, which rows do not say
State = Mapping[str, "Tensor"]  # parameters and buffers by name, as in `Method.state_dict`


@dataclass(frozen=True)
class Observation:
    """A training after one of its epochs.

    Args:
        number: of the epoch, from 0.
        losses: the epoch's mean unweighted loss terms, and "total", which is minimised.
        state: copies what would be scored if the training ended here, to the CPU.
        accuracy: measures that state on the validation images, in percent; None for a rule that
            does not say that it `validates`.
    """

    number: int
    losses: Mapping[str, float]
    state: Callable[[], State]
    accuracy: Callable[[], float] | None = None


class Selection(ABC):
    """Base class of all selection rules; each training has an object of its own.

    `title` is what records and tables call the rule. `validates`: it needs validation images of the
    dataset that is learned, and records hold their accuracy after each epoch. Snapshots of a
    training hold the attributes of the object: None, numbers, text and plain tensors, and lists,
    tuples and dicts of them. A training that goes on from one must end in the same choice.
    """

    title: ClassVar[str]
    validates: ClassVar[bool] = False

    @abstractmethod
    def observe(self, seen: Observation) -> None:
        """Take note of an epoch; called after each, in order."""

    @abstractmethod
    def chosen(self) -> State | None:
        """Return the state to score, with all its names; None for the one at the end."""

    def chosen_epoch(self) -> int | None:
        """Return the number of the epoch, from 0, whose state is chosen; None if it is not that of
        one epoch. Records of rules that validate hold it."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule has noted so far."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        vars(self).update(state)


def of_protocol(protocol: Plugin[Any]) -> Plugin[Selection]:
    """Load the selection rule that a protocol names.

    Raises:
        UserError: there is none of this name (with the nearest), or it cannot be loaded.
    """
    name, known = protocol.cls.selection, SELECTIONS.names()
    if name not in known:
        remedy = (
            f"named by the protocol {protocol.name}, {protocol.provider}; --plugin adds a rule's "
            "file that is not installed"
        )
        raise unknown(SELECTIONS.kind, str(name), known, remedy)
    return SELECTIONS.load(name)


def of_record(title: str, usual: Plugin[Selection]) -> Plugin[Selection]:
    """Load the rule that a record names by what `recorded` calls it.

    Args:
        usual: the rule of the record's protocol, which is looked at first.

    Raises:
        UserError: no rule that is installed here is called so.
    """
    if recorded(usual) == title:
        return usual
    for name in SELECTIONS.names():
        if recorded(rule := SELECTIONS.load(name)) == title:
            return rule
    raise UserError(
        f"the record was selected by {title!r}, and no selection rule that is installed here is "
        "called so (promptbench ls selections); --plugin adds a rule's file"
    )


def name_of(title: str) -> str:
    """Return the name of the rule that a record names by `title`, as `--select` takes it; the title
    of a rule that is not installed here."""
    for name in SELECTIONS.names():
        if recorded(SELECTIONS.load(name)) == title:
            return name
    return title


def recorded(rule: Plugin[Selection]) -> str:
    """Return what records call a rule: its title, and whose it is if not promptbench's."""
    title = rule.cls.title
    return title if rule.provider == BUILT_IN else f"{title} ({rule.provider})"


def noted(rule: Selection) -> dict[str, Any]:
    """Return what a rule has noted so far, which a snapshot can hold.

    Raises:
        UserError: a value is of another type than those that `Selection` names.
    """
    found = dict(rule.state_dict())
    for name, value in found.items():
        odd = _odd(value)
        if odd is not None:
            raise UserError(
                f"the selection rule {rule.title!r} keeps {odd} as {name!r}, which a snapshot "
                "cannot hold; keep None, numbers, text and plain tensors, and lists, tuples and "
                "dicts of them"
            )
    return found


def _odd(value: Any) -> str | None:
    """The type of the first value inside that is not plain; None if all are."""
    from torch import Tensor

    kind = type(value)
    if kind is dict:
        found = [_odd(each) for pair in value.items() for each in pair]
    elif kind in (list, tuple):
        found = [_odd(each) for each in value]
    else:
        plain = value is None or kind in (bool, int, float, str, Tensor)
        found = [None if plain else f"a {kind.__module__}.{kind.__qualname__}"]
    return next((odd for odd in found if odd is not None), None)

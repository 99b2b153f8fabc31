"""The selection rules that look on at a training, and the states that they choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from promptbench.core import selection
from promptbench.core.averaging import EpochAverage
from promptbench.core.method import Method
from promptbench.core.registry import Plugin
from promptbench.core.selection import Observation, Selection, State
from promptbench.errors import UserError, one_line
from promptbench.isolation.entering import enter, plain_tensors, state_of
from promptbench.running.training.step import not_finite
from promptbench.running.training.validating import Validator
from promptbench.support.seeding import seeded


@dataclass(frozen=True)
class Validation:
    """What a rule that validates has gone by: plain data of a record's `validation`.

    `accuracy` is after each epoch, in percent; of a method without epochs, of its one state.
    `epoch` counts from 1, 0 stands for a method without epochs, None for no single epoch.
    """

    keys: tuple[str, ...]
    accuracy: tuple[float, ...]
    epoch: int | None
    seconds: float

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Validation:
        """The one that JSON has."""
        stated: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in plain.items()}
        return cls(**stated)


class Rules:
    """The rules of one training, by name; each is shown every epoch, in order.

    All that they note, and the accuracies that were measured for them, is part of snapshots.
    """

    def __init__(
        self,
        rules: Sequence[Plugin[Selection]],
        seed: int,
        method: Method,
        average: EpochAverage,
        validator: Validator | None = None,
    ) -> None:
        self._rules = {rule.name: rule.cls() for rule in rules}
        self._sources = {rule.name: rule.source_sha256 for rule in rules}
        self._seed, self._method, self._average = seed, method, average
        self._validator = validator
        self._accuracies: list[float] = []

    def noted(self) -> dict[str, Any]:
        """What all rules have noted so far, which a snapshot can hold.

        Raises:
            UserError: a rule keeps what a file cannot hold.
        """
        return {
            "rules": {
                name: {"source": self._sources[name], "noted": selection.noted(rule)}
                for name, rule in self._rules.items()
            },
            "accuracies": list(self._accuracies),
            "seconds": self.seconds,
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what `noted` returned, of these rules and perhaps of others."""
        for name, rule in self._rules.items():
            rule.load_state_dict(state["rules"][name]["noted"])
        self._accuracies = list(state["accuracies"])
        if self._validator is not None:
            self._validator.seconds = state["seconds"]

    @property
    def seconds(self) -> float:
        """The time that measuring on validation images has taken so far."""
        return self._validator.seconds if self._validator else 0.0

    def observe(self, epoch: int, losses: Mapping[str, float], at_end: bool) -> None:
        """Show an epoch to all rules; what they draw is a function of seed and epoch."""
        averaged = self._average.sums if at_end else {}

        def state() -> State:
            own = state_of(self._method)
            found = {name: averaged.get(name, value) for name, value in own.items()}
            return {name: value.detach().to("cpu", copy=True) for name, value in found.items()}

        if self._validator is not None:
            self._accuracies.append(self._validator.accuracy(epoch, averaged))
        for rule in self._rules.values():
            told = (lambda: self._accuracies[epoch]) if rule.validates else None
            with seeded(self._seed, "selection", epoch):
                rule.observe(Observation(epoch, dict(losses), state, told))

    def measure_only_state(self) -> None:
        """Measure a method that has learned without epochs, whose one state every rule chooses."""
        if self._validator is not None:
            self._accuracies.append(self._validator.accuracy(0))

    def validation_of(self, name: str, epochs: int) -> Validation | None:
        """What a rule has gone by in a training of so many epochs; None if it does not validate."""
        rule = self._rules[name]
        if self._validator is None or not rule.validates:
            return None
        chosen = rule.chosen_epoch()
        number = None if chosen is None else chosen + 1
        return Validation(
            self._validator.keys,
            tuple(self._accuracies),
            number if epochs else 0,
            round(self._validator.seconds, 3),
        )

    def choose(self, name: str, end: State | None = None) -> None:
        """Give the method the state that a rule has chosen, once all epochs are seen.

        Args:
            end: the state at the end; None: the method has it, but for the average of its epochs.

        Raises:
            UserError: it is not a state of the method, or not finite.
        """
        method, chosen = self._method, self._rules[name].chosen()
        if chosen is None and end is None:
            self._average.load_into(method)
            return
        chosen = end if chosen is None else chosen
        whose = f"the state that the selection rule {name!r} has chosen"
        if not isinstance(chosen, Mapping):
            kind = type(chosen).__name__
            raise UserError(f"{whose} is of type {kind}, not a mapping of names to tensors")
        try:
            enter(method.load_state_dict, plain_tensors(chosen, whose), strict=True)
        except RuntimeError as error:  # torch's words for names and shapes
            raise UserError(f"{whose} is not one of the method's: {one_line(error)}") from error
        broken = not_finite(method)
        if broken is not None:
            raise UserError(f"{whose} is broken: parameter {broken!r} is not finite")

    def outcomes(self, last: str) -> dict[str, dict[str, Tensor]]:
        """The state that each rule has chosen, on the CPU; the method ends with that of `last`."""
        if len(self._rules) == 1:
            self.choose(last)
            return {last: _on_cpu(self._method)}
        self._average.load_into(self._method)
        end, found = _on_cpu(self._method), {}
        for name in [*(name for name in self._rules if name != last), last]:
            self.choose(name, end)
            found[name] = _on_cpu(self._method)
        return found


def _on_cpu(method: Method) -> dict[str, Tensor]:
    """A copy of a method's state, as it is stored."""
    learned = state_of(method)
    return {key: value.to("cpu", copy=True).contiguous() for key, value in learned.items()}

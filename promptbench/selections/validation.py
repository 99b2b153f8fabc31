"""The epoch that is best on the validation images is scored; of equal ones the earliest."""

from __future__ import annotations

from promptbench.api import Observation, Selection, State


class Validation(Selection):
    """Keeps one state: the first of those with the highest validation accuracy so far."""

    title = "best validation epoch"
    validates = True

    def __init__(self) -> None:
        self.best = -1.0  # percent
        self.epoch: int | None = None
        self.kept: State | None = None

    def observe(self, seen: Observation) -> None:
        """Keep the state if it is better than all before."""
        assert seen.accuracy is not None, "a rule that validates is told the accuracy"
        found = seen.accuracy()
        if found > self.best:
            self.best, self.epoch, self.kept = found, seen.number, seen.state()

    def chosen(self) -> State | None:
        """Return the state that was kept."""
        return self.kept

    def chosen_epoch(self) -> int | None:
        """Return its epoch."""
        return self.epoch

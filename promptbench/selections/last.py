"""The state after the last epoch is scored, as in the papers of prompt learning."""

from __future__ import annotations

from promptbench.api import Observation, Selection, State


class Last(Selection):
    """Looks at no epoch."""

    title = "last epoch"

    def observe(self, seen: Observation) -> None:
        """Note nothing."""

    def chosen(self) -> State | None:
        """Return None: the state at the end."""
        return None

"""The backbone that all cells of a run share, and the proof that no cell has changed it."""

from __future__ import annotations

from collections.abc import Callable

from promptbench.errors import RunError, UserError
from promptbench.models.backbones.loading import Backbone
from promptbench.models.towers.fingerprint import code_or_numbers, difference, fingerprint


class TowersChanged(UserError):
    """A method has changed the towers, which are frozen and belong to all."""


class Keeper:
    """Keeps a backbone as `load` gave it.

    Whatever is to be kept of a cell (a snapshot, a training, cached features, the record) is asked
    for here first, so that nothing is kept that changed towers have computed.
    """

    def __init__(self, load: Callable[[], Backbone]) -> None:
        self._load = load
        self.backbone = load()
        self._loaded = fingerprint(self.backbone.towers)

    def refuse_changed(self) -> None:
        """Let pass what the towers as they were loaded have computed.

        Raises:
            TowersChanged: they are others now, with what has changed.
        """
        change = self._change()
        if change is not None:
            raise TowersChanged(
                f"the frozen towers were changed ({change}), which all methods share: what was "
                "computed with them is not kept. A method acts on them only through edits and "
                "deltas (promptbench.api); `promptbench check` finds where it does more"
            )

    def renew(self) -> str | None:
        """Load the backbone again if it was changed; what had changed, or None.

        Raises:
            RunError: what has changed is not of the backbone, but of this process.
        """
        change = self._change()
        if change is None:
            return None
        self.backbone = self._load()
        found = fingerprint(self.backbone.towers)
        lasting = code_or_numbers(self._loaded, found)
        if lasting is not None:
            raise RunError(
                f"the code that runs the towers was changed in this process ({lasting}), so that "
                "later cells would be wrong; run the same command again, without the method whose "
                "cell failed last"
            )
        self._loaded = found
        return change

    def _change(self) -> str | None:
        return difference(self._loaded, fingerprint(self.backbone.towers))

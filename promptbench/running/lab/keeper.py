"""The backbone that all cells of a run share, and the proof that no cell has changed it."""

from __future__ import annotations

import time
from collections.abc import Callable

from promptbench.errors import RunError, UserError, one_line
from promptbench.models.backbones.loading import Backbone
from promptbench.models.gpu_errors import is_lost, is_out_of_memory
from promptbench.models.towers.fingerprint import code_or_numbers, difference, fingerprint
from promptbench.support.stopping import refuse_wrapped
from promptbench.support.surroundings import lacks_memory

SHARE = 0.05  # of the time, at most, that `refuse_changed_of_late` takes


class TowersChanged(UserError):
    """A method has changed the towers, which are frozen and belong to all."""


class Keeper:
    """Keeps a backbone as `load` gave it.

    Whatever is to be kept of a cell (a snapshot, a training, cached features, the record) is asked
    for here first, so that nothing is kept that changed towers have computed. To look at them takes
    longer than a short epoch does: what is kept for as long as a training runs, again and again, is
    looked after in a share of the time.
    """

    def __init__(self, load: Callable[[], Backbone]) -> None:
        self._load = load
        self.backbone = load()
        self._loaded = fingerprint(self.backbone.towers)
        self._device = self.backbone.towers.device
        self._looked, self._took = 0.0, 0.0  # when the last look ended, and its seconds

    def refuse_changed_of_late(self) -> None:
        """Do as `refuse_changed`, unless the last look is so short a time ago that this one would
        take more than its share (`SHARE`): then a later one, or the one before the training is
        kept, finds what has changed.

        Raises:
            TowersChanged: as `refuse_changed`.
        """
        if (time.monotonic() - self._looked) * SHARE >= self._took:
            self.refuse_changed()

    def refuse_changed(self) -> None:
        """Let pass what the towers as they were loaded have computed.

        Raises:
            TowersChanged: they are others now, with what has changed.
        """
        change = self.change()
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
        change = self.change()
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

    def change(self) -> str | None:
        """What has changed in the towers since they were loaded, in words; None if nothing has."""
        began = time.monotonic()
        change = self._change()
        self._looked = time.monotonic()
        self._took = self._looked - began
        return change

    def _change(self) -> str | None:
        try:
            return difference(self._loaded, fingerprint(self.backbone.towers))
        except Exception as error:  # whatever reading raises of what was put in a part's place
            refuse_wrapped(error)
            if lacks_memory(error) or is_out_of_memory(error) or is_lost(self._device):
                raise
            return f"they cannot be read any more, {one_line(error)}"

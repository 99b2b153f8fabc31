"""Where runs for Weights & Biases go, and how much of a cell goes there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from promptbench.errors import UserError, near_miss
from promptbench.tracking.facts import PROJECT

Mode = Literal["offline", "online"]
NUMBERS = "numbers"  # behind a plus: nothing but numbers and the record
TAKES = (
    "offline (the default) or online; online+numbers and offline+numbers leave out images and "
    "learned parameters"
)


@dataclass(frozen=True)
class Place:
    """Where runs go: `folder` holds the local files.

    With `numbers_only` neither thumbnails of test images nor learned parameters go there.
    """

    mode: Mode
    folder: Path
    project: str = PROJECT
    entity: str | None = None
    numbers_only: bool = False

    @classmethod
    def of_argument(cls, argument: str, folder: Path) -> Place:
        """Read what stands behind the tracker's name, as `TAKES` says it.

        Raises:
            UserError: it means nothing.
        """
        mode, plus, more = argument.partition("+")
        modes: tuple[Mode, ...] = get_args(Mode)
        if plus and more != NUMBERS:
            raise UserError(f"unknown {more!r} behind {mode}+; there is {mode}+{NUMBERS}")
        for known in modes:
            if mode in (known, ""):  # the first is the default
                return cls(known, folder, numbers_only=bool(plus))
        raise UserError(f"unknown mode {mode!r}; {near_miss(mode, modes)}")

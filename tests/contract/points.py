"""Some points of the contract, where a test is about them: each has a bench of its own, and the
others take most of the time."""

from __future__ import annotations

import pytest

from promptbench.contract import examination
from promptbench.contract.verdicts import point_of


def only(patch: pytest.MonkeyPatch, *starts: str) -> None:
    """From here on, whoever examines a method looks at the points that begin so."""
    chosen = tuple(check for check in examination.CHECKS if point_of(check).startswith(starts))
    assert len(chosen) == len(starts), "a point has another name"
    patch.setattr(examination, "CHECKS", chosen)

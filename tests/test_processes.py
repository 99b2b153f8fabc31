"""How a process has ended, in words."""

from __future__ import annotations

import signal

import pytest

from promptbench.support.processes import ending


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (None, "exit code None"),
        (-signal.SIGKILL, "SIGKILL, perhaps for lack of memory"),
        (-signal.SIGTERM, "SIGTERM"),
        (-99, "signal 99"),
    ],
)
def test_an_ending_in_words(code: int | None, said: str) -> None:
    """Also by a signal that has no name, as those in between the first and the last real-time
    one."""
    assert ending(code) == said

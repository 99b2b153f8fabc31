"""Progress and messages on stderr: bars at the foot of a terminal, plain lines elsewhere."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from promptbench.api import Tracker, TrackerOptions
from promptbench.tracking.terminal import Terminal


class RunOnTerminal(Terminal, Tracker):
    """The terminal of a run; it says nothing where the user wants it quiet."""

    title = "Progress on the terminal"

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        Tracker.__init__(self, out, options)
        Terminal.__init__(self, Console(stderr=True, quiet=options.quiet))

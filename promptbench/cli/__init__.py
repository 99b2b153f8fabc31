"""The command line: parse, call, print. One module per group of commands.

Importing these modules imports click alone; everything heavy lives inside the commands, so that
`promptbench --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any

import click

from promptbench import __version__, stopping
from promptbench.cli import analyze, catalogue, data, develop, leaderboard, results, run, wandb
from promptbench.cli.options import examples
from promptbench.errors import UserError
from promptbench.safe_text import visible

_EXAMPLES = examples(
    "run --method alignednorm --protocol cross_dataset",
    "run --method coop,mmrlpp,alignednorm --protocol base_to_new --seeds 1,2,3",
    "plan --grid settings",
    "ls methods",
    "report --format markdown",
    "compare coop alignednorm",
    "COMMAND --help    (each has examples of its own)",
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Commands(click.Group):
    """Turns UserError into one sentence and its exit code, a signal into 128 + its number.

    Ctrl-C is answered even in a job that a shell has started in the background.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with stopping.answering(second=stopping.die, take_back=(signal.SIGINT,)):
                return super().main(*args, **kwargs)
        except UserError as error:
            _complain(visible(str(error)))
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _forget_output()
            _complain(f"cannot write: {error.strerror}; make room and try again")
            sys.exit(UserError.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (stopping.Stopped, KeyboardInterrupt) as error:
            stop = error if isinstance(error, stopping.Stopped) else stopping.Interrupted()
            with suppress(OSError):  # nobody may be there to read it
                _say(str(stop))
            sys.exit(stop.exit_code)


def _complain(text: str) -> None:
    _say(f"error: {text}")


def _say(text: str) -> None:
    from rich.console import Console

    from promptbench.prose import say

    say(Console(stderr=True), text)


def _forget_output() -> None:
    """Let nothing be written to stdout any more: the interpreter would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _plain_warning(message: Any, *_: Any, **__: Any) -> str:
    from rich.console import Console

    from promptbench.prose import fitted

    return fitted(Console(stderr=True), f"note: {visible(str(message))}") + "\n"


@click.group(
    cls=_Commands, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="promptbench")
def main() -> None:
    """One benchmark suite for prompt-learning methods of vision-language models."""
    warnings.formatwarning = _plain_warning


_MODULES = (run, results, analyze, data, catalogue, develop, leaderboard, wandb)
for command in (command for module in _MODULES for command in module.COMMANDS):
    main.add_command(command)

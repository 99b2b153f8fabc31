"""The command line: parse, call, print. One module per group of commands.

Importing these modules imports only click; everything heavy lives inside the commands, so that
`promptbench --help` answers at once.
"""

from __future__ import annotations

import atexit
import errno
import gc
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from promptbench.cli import (
    analyze,
    catalogue,
    compare,
    data,
    develop,
    leaderboard,
    machine,
    records,
    results,
    run,
    streams,
    tune,
    using,
    wandb,
    workers,
)
from promptbench.cli.usage import examples, sentence
from promptbench.errors import UserError
from promptbench.support import stopping
from promptbench.support.safe_text import shortened, visible
from promptbench.support.version import __version__

_EXAMPLES = examples(
    "run --method alignednorm --protocol cross_dataset",
    "run --method coop,maple --protocol base_to_new --seeds 1,2,3",
    "plan --grid settings",
    "ls methods",
    "report --format markdown",
    "compare coop alignednorm",
    "COMMAND --help    (each has examples of its own)",
)
_FULL = (errno.ENOSPC, errno.EDQUOT)

# Before it exits, Python looks for garbage among all that torch has made: a quarter of a second.
atexit.register(gc.freeze)


class _Commands(click.Group):
    """Turns UserError into one sentence and its exit code, a signal into 128 + its number.

    Ctrl-C is answered even in a job that a shell has started in the background.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            signals = stopping.answering(second=stopping.die, take_back=(signal.SIGINT,))
            with streams.ready(), signals:
                return super().main(*args, **kwargs)
        except UserError as error:
            _complain(visible(str(error)))
            sys.exit(error.exit_code)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                _complain(f"{shortened(visible(str(error.filename)))}: {error.strerror}")
            elif error.errno in _FULL:
                streams.forget(sys.stdout)
                _complain(f"cannot write: {error.strerror}; make room and try again")
            else:
                _complain_of_memory(error)
            sys.exit(UserError.exit_code)
        except ValueError as error:
            if "embedded null" not in str(error):
                raise
            _complain("a path holds a NUL character, which no file's name can have")
            sys.exit(UserError.exit_code)
        except (MemoryError, ImportError, RuntimeError, SystemError) as error:
            _complain_of_memory(error)
            sys.exit(UserError.exit_code)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _one_sentence():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _one_sentence():
                return super().invoke(ctx)
        except (stopping.Stopped, KeyboardInterrupt) as error:
            stop = error if isinstance(error, stopping.Stopped) else stopping.Interrupted()
            with suppress(OSError):  # nobody may be there to read it
                _say(str(stop))
            sys.exit(stop.exit_code)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """A wrong call is told as anything else that is wrong, not in three lines of click's."""
    try:
        yield
    except getattr(click.exceptions, "NoArgsIsHelpError", ()):  # since click 8.2
        raise
    except click.UsageError as error:
        raise UserError(sentence(error)) from error


def _complain(text: str) -> None:
    _say(f"error: {text}")


def _say(text: str) -> None:
    from rich.console import Console

    from promptbench.support.prose import say

    say(Console(stderr=True), text)


def _complain_of_memory(error: Exception) -> None:
    """Say that memory is used up, if an error means that; others pass as they are."""
    from promptbench.support.surroundings import lacks_memory, memory_limit

    if not lacks_memory(error):
        raise error
    limit = memory_limit()
    why = "" if limit is None else f" (ulimit -v allows this process {limit // 2**20} MiB)"
    said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    error.__traceback__ = None  # its frames hold what has filled the memory
    click.echo(  # not `_complain`: importing rich takes memory
        f"error: there is not enough memory{why}: {visible(shortened(said, 200))}; free some or "
        "raise the limit, and run the same command again, finished parts are kept",
        err=True,
    )


def _plain_warning(message: Any, *_: Any, **__: Any) -> str:
    from rich.console import Console

    from promptbench.support.prose import fitted

    return fitted(Console(stderr=True), f"note: {visible(str(message))}") + "\n"


@click.group(
    cls=_Commands, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="promptbench")
def main() -> None:
    """One benchmark suite for prompt-learning methods of vision-language models."""
    from promptbench.support.surroundings import only_show_warnings, tight_memory

    only_show_warnings()
    warnings.formatwarning = _plain_warning
    if (tight := tight_memory()) is not None:
        click.echo(f"note: {tight}", err=True)


_MODULES = (
    run,
    tune,
    workers,
    machine,
    results,
    compare,
    records,
    using,
    analyze,
    data,
    catalogue,
    develop,
    leaderboard,
    wandb,
)
for command in (command for module in _MODULES for command in module.COMMANDS):
    main.add_command(command)

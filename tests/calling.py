"""Calling the command line in this process."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner, Result

from promptbench.cli import main


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])

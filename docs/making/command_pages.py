"""The command line, from its commands: what `--help` says of each.

Not mkdocs-click, which shows defaults that click leaves open as `Sentinel.UNSET`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from promptbench.cli import main


def commands() -> str:
    """Return every command, with its usage, options and examples, as Markdown."""
    return "\n\n".join(_shown(main, click.Context(main, info_name="promptbench"), 2))


def _shown(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {ctx.command_path}"
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f"```text\n{ctx.command_path} {usage}\n```"
    yield from _paragraphs(command.help)
    records = [r for p in command.get_params(ctx) if (r := p.get_help_record(ctx))]
    rows = [(name, said) for name, said in records if said and "--help" not in name]
    if rows:
        lines = [f"| <code>{_cell(name)}</code> | {_cell(said)} |" for name, said in rows]
        yield "\n".join(["| option | |", "|---|---|", *lines])
    yield from _paragraphs(command.epilog)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child is not None and not child.hidden:
                inside = click.Context(child, info_name=name, parent=ctx)
                yield from _shown(child, inside, level + 1)


def _paragraphs(text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a help text; those that click leaves as they are, as code."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        as_it_is, _, lines = paragraph.rpartition("\b\n")
        if lines.startswith("Examples:"):
            yield f"```text\n{inspect.cleandoc(lines.partition(':')[2])}\n```"
        elif as_it_is or "\b" in paragraph:
            yield f"```text\n{lines}\n```"
        elif lines:
            yield _cell(lines)


def _cell(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, also in a table."""
    parts = " ".join(text.split()).split("`")  # every second one is code
    for sign in "|<>*_[]":
        parts[::2] = [part.replace(sign, f"&#{ord(sign)};") for part in parts[::2]]
    return "`".join(parts)

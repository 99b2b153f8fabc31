"""How commands are called: examples that fit a terminal, and in one sentence what click refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from promptbench.errors import unknown

_WIDTH = 76  # of an example, which a help text of 80 columns indents by 4
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
# How click proposes one option, or several.
_MEANT = re.compile(r"\.? \(?Did you mean (?:one of: )?([^?]*)\?\)?$")


def examples(*lines: str) -> str:
    """The epilog of a command's help: calls of it that are worth copying."""
    calls = (f"  {line}" for call in lines for line in _folded(f"promptbench {call}"))
    return "\n".join(("\b", "Examples:", *calls))


def _folded(call: str) -> Iterator[str]:
    """Yield a call as lines that a shell takes for one, none parting an option from its value."""
    line = ""
    for part in _parts(call):
        longer = f"{line} {part}" if line else part
        if line and len(longer) + 2 > _WIDTH:
            yield f"{line} \\"
            longer = f"    {part}"
        line = longer
    yield line


def _parts(call: str) -> Iterator[str]:
    """Yield what stays together: a word, or an option with its value."""
    words = _WORD.findall(call)
    while words:
        part = words.pop(0)
        if part.startswith(("-", ">")) and words and not words[0].startswith(("-", ">")):
            part = f"{part} {words.pop(0)}"
        yield part


def sentence(error: click.UsageError) -> str:
    """What is wrong with a call, where the help is, and what was probably meant."""
    said = _MEANT.sub(r"; did you mean \1?", error.format_message().strip()).removesuffix(".")
    said = said[:1].lower() + said[1:]
    ctx = error.ctx
    if ctx is None:
        return said
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Parameter):
        said = _of_choice(error, error.param) or said
    if isinstance(error, click.NoSuchOption) and (setting := _setting(error, ctx)):
        said += f"; it is a setting: --set {setting}=VALUE"
    if isinstance(error, click.MissingParameter):
        pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
        said += f"; the usage is `{ctx.command_path} {pieces}`"
    return f"{said} (see `{ctx.command_path} --help`)"


def _of_choice(error: click.BadParameter, parameter: click.Parameter) -> str | None:
    """What is said of a value that is none of those to choose from; None of other values."""
    given = re.match(r"'(.*)' is not one of ", error.message)
    if given is None or not isinstance(parameter.type, click.Choice):
        return None
    kind = parameter.opts[0] if isinstance(parameter, click.Option) else "name"
    return str(unknown(kind, given[1], map(str, parameter.type.choices)))


def _setting(error: click.NoSuchOption, ctx: click.Context) -> str | None:
    """The setting of trainings that an unknown option is named like, where there is --set."""
    if not any("--set" in option.opts for option in ctx.command.params):
        return None
    from promptbench.config.checking import parameters
    from promptbench.core.recipe import Recipe

    name = error.option_name.lstrip("-").replace("-", "_")
    return f"Recipe.{name}" if name in parameters(Recipe) else None

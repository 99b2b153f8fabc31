"""What commands share: examples and the parsing of lists."""

from __future__ import annotations

import click

EXAMPLES = """\b
Examples:
  promptbench run --method alignednorm --protocol cross_dataset
  promptbench run --method coop,mmrlpp,alignednorm --protocol base_to_new --seeds 1,2,3
  promptbench run --method coop --protocol base_to_new --set "Recipe.epochs=50"
  promptbench run --method mmrlpp --protocol cross_dataset --suite clip --data ~/data
  promptbench ls methods
  promptbench report --format markdown
  promptbench doctor
"""


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def numbers(_: click.Context, __: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,2,3") from error

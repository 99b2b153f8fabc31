"""`promptbench leaderboard audit`: published tables recomputed."""

from __future__ import annotations

from pathlib import Path

import click

from promptbench.cli import streams
from promptbench.cli.options import existing, plugins_option
from promptbench.cli.usage import examples
from promptbench.errors import UserError


@click.command(
    epilog=examples(
        "leaderboard audit",
        "leaderboard audit --protocol base_to_new --format csv > findings.csv",
        "leaderboard audit my_numbers/base_to_new.csv",
    )
)
@click.argument("places", nargs=-1, callback=existing, type=click.Path(path_type=Path))
@click.option("--protocol", help="Only the tables of this protocol.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    help="For programs: the findings as CSV, or with all tables as JSON.  "
    "[default: for the terminal]",
)
@plugins_option
def audit(places: tuple[Path, ...], protocol: str | None, form: str | None) -> None:
    """Recompute published tables and name what contradicts itself.

    Averages, harmonic means, the number of datasets behind an average, the same numbers under two
    names. PLACES are CSV files called as their protocols, or folders of them, with the columns of
    leaderboard/published/; by default these. Findings are not errors of promptbench: numbers
    stay as their sources print them.
    """
    from rich.console import Console

    from promptbench.core.registry import PROTOCOLS
    from promptbench.leaderboard import audit as auditing

    if protocol is not None:
        PROTOCOLS.load(protocol)
    paths = auditing.files_of(places) if places else auditing.own_files()
    rows = [row for row in auditing.read(paths) if protocol in (None, row.protocol)]
    if not rows:
        raise UserError(f"there is no published number{f' of {protocol}' if protocol else ''} here")
    found = auditing.audit(rows)
    if form is None:
        auditing.show(found, Console())
    else:
        streams.document(auditing.FORMATS[form](found))
    click.echo(auditing.summary(found), err=True)

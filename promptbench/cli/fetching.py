"""`promptbench data fetch`: consent, one dataset after another, and what is next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from promptbench.data import fetching
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.places import user_home
from promptbench.data.fetching import Places
from promptbench.errors import OutputError, UserError
from promptbench.support.safe_text import visible
from promptbench.tracking.terminal import Terminal


def fetch_all(
    names: Sequence[str],
    to: Path | None,
    accept_licence: bool,
    keep_archives: bool,
    dry_run: bool,
) -> None:
    """Fetch datasets into a folder; one that cannot be had does not keep the others from coming.

    Raises:
        UserError: what kept one from coming, or all of it where it were several.
    """
    folder = (to or user_home() / "sources").absolute()
    wanted = [cards.load(name) for name in dict.fromkeys(names)]
    for card in wanted:
        fetching.refuse_unfetchable(card, folder)
    if dry_run:
        for card in wanted:
            for line in (fetching.licence_notice(card), *fetching.announced(card, folder)):
                click.echo(visible(line))
        return
    for card in wanted:  # all questions first, so that nobody has to wait for the second
        _consent(card, Places(folder), accept_licence)
    done, problems = [], []
    for card in wanted:
        try:
            fetching.fetch(card, Places(folder, keep_archives), Terminal())
            done.append(card.name)
            click.echo(f"{card.name}: complete in {folder}")
        except OutputError:
            raise  # the others would not fit either
        except UserError as error:
            problems.append(str(error))
    if done:
        click.echo(f"next: promptbench data prepare {' '.join(done)} --source {_quoted(folder)}")
    if problems:
        raise UserError("; ".join(problems))


def _consent(card: DataCard, places: Places, is_given: bool) -> None:
    """Say what the licence is, and ask where it binds whoever uses the images.

    Raises:
        UserError: nobody consents, or nobody can be asked.
    """
    click.echo(visible(fetching.licence_notice(card)), err=True)
    if fetching.is_offline():  # nothing is downloaded: who put the files there has accepted it
        return
    if not card.asks_consent or is_given or fetching.has_consented(card, places):
        return
    if not _can_ask():
        raise UserError(
            f"{card.name}: its licence asks for consent ({card.licence}), and nobody can be asked "
            "here; pass --accept-licence if you accept it"
        )
    if not click.confirm("Do you accept it?", err=True):
        raise UserError(f"{card.name} is not fetched, since its licence was not accepted")
    fetching.note_consent(card, places)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _quoted(folder: Path) -> str:
    return shlex.quote(str(folder))

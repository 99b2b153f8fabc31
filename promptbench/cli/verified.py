"""What commands remember of records that they have verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from promptbench.cli import streams

if TYPE_CHECKING:
    from promptbench.report.index import Index
    from promptbench.storage.remembered import Remembered


@contextmanager
def opened(again: bool = False) -> Iterator[Remembered]:
    """Give the block what was verified before; nothing, if all is to be verified `again`. Many
    records may be verified by processes beside the command's own, which know its plugins, and many
    be kept until the block ends."""
    from promptbench.core import registry
    from promptbench.data.cards.places import cache_folder
    from promptbench.storage import remembered
    from promptbench.support import crew, garbage

    plugins = partial(registry.add_files, tuple(registry.files()))
    beside = crew.Crew(crew.most(), plugins)
    known = remembered.opened(cache_folder(), again, beside, streams.progress().message)
    with garbage.seldom_sought(), known as found:
        yield found


@contextmanager
def indexed() -> Iterator[Index]:
    """Give the block what tables need of records that were read before."""
    from promptbench.data.cards.places import cache_folder
    from promptbench.report import index

    with index.opened(cache_folder(), streams.progress().message) as found:
        yield found

"""What there is: tables for `promptbench ls`, descriptions for `promptbench info`, citations.

The site only cites, and the rest imports torch: each is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptbench.catalogue.descriptions import describe, describe_card
    from promptbench.catalogue.tables import datasets, table

__all__ = ["datasets", "describe", "describe_card", "table"]

_HOMES = {"descriptions": ("describe", "describe_card"), "tables": ("datasets", "table")}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What there is: tables for `promptbench ls` and descriptions for `promptbench info`."""

from promptbench.catalogue.descriptions import describe, describe_card
from promptbench.catalogue.tables import datasets, table

__all__ = ["datasets", "describe", "describe_card", "table"]

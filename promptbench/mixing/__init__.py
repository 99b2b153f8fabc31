"""What may share a row of numbers: one decision per fact of a record, for every table and figure.

`facts` decides, `rows` sorts records by it, `words` says what distinguishes rows, `marks` what a
row mixes. Plain data in, plain data out; whoever averages, compares or groups records asks here.
"""

from promptbench.mixing.facts import DECISIONS, Role, agreements, shots_together, table_of
from promptbench.mixing.marks import between, clash, marks, on_one_data
from promptbench.mixing.rows import Variant, latest, learns_nothing, rows, tables, variant_of
from promptbench.mixing.words import labels

__all__ = [
    "DECISIONS",
    "Role",
    "Variant",
    "agreements",
    "between",
    "clash",
    "labels",
    "latest",
    "learns_nothing",
    "marks",
    "on_one_data",
    "rows",
    "shots_together",
    "table_of",
    "tables",
    "variant_of",
]

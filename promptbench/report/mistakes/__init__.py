"""What goes wrong: confusions, classes, calibration and the most confident mistakes of records.

`confusions` counts, `surest` lists mistakes, `finding` puts records of one row together, `grids`
makes tables of texts of them, `figures` draws them, `pictures` finds the images of mistakes on this
disk.
"""

from __future__ import annotations

from promptbench.report.mistakes.confusions import Block, Confusions
from promptbench.report.mistakes.finding import Errors, errors, of_record, of_targets
from promptbench.report.mistakes.grids import grids, summary
from promptbench.report.mistakes.pictures import Pictures, at_hand, of_shards, pictures
from promptbench.report.mistakes.surest import Mistake

__all__ = [
    "Block",
    "Confusions",
    "Errors",
    "Mistake",
    "Pictures",
    "at_hand",
    "errors",
    "grids",
    "of_record",
    "of_shards",
    "of_targets",
    "pictures",
    "summary",
]

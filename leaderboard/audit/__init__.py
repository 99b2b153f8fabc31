"""The audit of published tables: do their numbers follow from each other, as far as they say?

`lines` reads them, `rules` takes from a protocol what follows from what, `intervals` knows what a
rounded number may stand for, `arithmetic` recomputes rows, `causes` looks for one number behind
several contradictions, `names` finds rows under two names, `report` puts it together and `output`
writes it. Plain data in, plain data out: nothing is corrected.
"""

from promptbench.leaderboard.audit.findings import KINDS, Finding
from promptbench.leaderboard.audit.lines import PrintedRow, files_of, own_files, read
from promptbench.leaderboard.audit.output import FORMATS, NOTES, show, summary
from promptbench.leaderboard.audit.report import Audit, PrintedTable, audit

__all__ = [
    "FORMATS",
    "KINDS",
    "NOTES",
    "Audit",
    "Finding",
    "PrintedRow",
    "PrintedTable",
    "audit",
    "files_of",
    "own_files",
    "read",
    "show",
    "summary",
]

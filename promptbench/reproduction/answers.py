"""How the predictions of a target differ from those of its record, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from promptbench.records import TargetResult
from promptbench.records.predictions import DIGITS, OPEN, PROBABILITIES
from promptbench.records.verify import predictions_path, read_table
from promptbench.support.prose import counted

Place = tuple[TargetResult, Path]  # and the folder of its record


def answers_differ(old: Place, new: Place) -> str | None:
    """Say in what predictions differ; None if every row is the same as far as the record has it.

    Those of schema 1 hold labels only, which are what is compared then.
    """
    (target, folder), (again, _) = old, new
    if target.predictions_sha256 == again.predictions_sha256:
        return None
    if not predictions_path(target, folder).is_file():
        if target.labels_only:
            return "same counts; predictions not compared: those of the record are not beside it"
        return "same counts, other predictions"
    then, now = read_table(*old), read_table(*new)
    if (then.keys, then.rows()) != (now.keys, now.rows()):
        moved = len(set(then.rows()) ^ set(now.rows())) // 2
        return f"same counts, other predictions of {counted(moved, 'image')}"
    for name in (*PROBABILITIES, *OPEN):
        if name not in then.columns or name not in now.columns:
            continue
        apart = np.abs(then.columns[name].astype(float) - now.columns[name].astype(float))
        if (many := int((apart > 10.0 ** -(DIGITS.get(name, 0) + 1)).sum())) > 0:
            return (
                f"same labels, but {name} differs on {counted(many, 'image')}, by up to "
                f"{apart.max():.{DIGITS.get(name, 0)}f}"
            )
    return None

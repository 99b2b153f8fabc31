"""What a record was computed from, as a person would type it: settings and a command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from promptbench.core import selection
from promptbench.leaderboard.checking import known
from promptbench.records import Record
from promptbench.support.safe_text import printable


def settings_of(record: Record) -> dict[str, str]:
    """The parameters of a record's method and of its recipe, as Python writes them."""
    own = {f"{record.method.name}.{key}": value for key, value in record.method.parameters.items()}
    own |= {f"Recipe.{key}": value for key, value in record.training.recipe.items()}
    return {key: repr(value) for key, value in own.items()}


def command_of(record: Record, seeds: Sequence[int] | None = None) -> str:
    """The command line that computes a record's cell, from its settings; under other `seeds`."""
    own, suite = record.backbone, known.suite(record.suite)
    chosen = [record.seed] if seeds is None else seeds
    parts = ["--method", record.method.name, "--protocol", record.protocol.name]
    parts += ["--suite", record.suite, "--seeds", ",".join(map(str, chosen))]
    parts += ["--shots", str(record.source.shots)]
    if record.tuning is None:
        parts += ["--preset", record.preset]
    else:
        parts[parts.index("--seeds") + 1] = ",".join(map(str, record.tuning.seeds))
        parts += ["--trials", str(record.tuning.budget)]
    parts += ["--inference", record.inference, "--precision", record.environment.precision]
    rule = known.selection_of(record.protocol.name)
    chosen_by = selection.of_record(record.protocol.selection, rule)
    if chosen_by.name != rule.name and record.tuning is None:
        parts += ["--select", chosen_by.name]
    if (own.name, own.weights) != (suite.backbone, suite.weights):
        parts += ["--backbone", own.name, "--weights", own.weights]
    if len(record.data) == 1:
        parts += ["--datasets", record.source.dataset]
    for override in record.overrides:
        parts += ["--set", override]
    command = "run" if record.tuning is None else "tune"
    return printable(f"promptbench {command} " + " ".join(map(shlex.quote, parts)))

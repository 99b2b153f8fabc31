"""A run of Weights & Biases that sums up a grid: the tables that a paper would print.

`results` has a row for every number, with its interval and its count of seeds; `paper` has the
methods as rows and a number with its spread in every cell, as `promptbench report` shows it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from promptbench.report import assemble, flat
from promptbench.report.text import figure
from promptbench.support import whereabouts
from promptbench.tracking import wandb_log
from promptbench.tracking.facts import RunFacts

if TYPE_CHECKING:
    from promptbench.records import Record
    from promptbench.report.table import Heading, Table
    from promptbench.tracking.wandb_place import Place

JOB_TYPE = "summary"
RESULTS = (
    "table", "protocol", "method", "paradigm", "kind", "track", "group", "column", "shots",
    "metric", "mean", "half_width", "low", "high", "spread", "n", "difference", "source",
)  # fmt: skip


def facts(records: Sequence[Record], planned: Collection[str] = ()) -> RunFacts:
    """The run of a grid; the same cells make the same one.

    Args:
        records: those that are there, at least one.
        planned: the ids of all cells, where some may have no record yet.
    """
    cells = sorted(planned or (record.cell_id for record in records))
    digest = hashlib.sha256("".join(cells).encode()).hexdigest()
    held = {
        "suite": _of(record.suite for record in records),
        "protocol": _of(record.protocol.name for record in records),
        "method": _of(record.method.name for record in records),
        "source": _of(record.source.dataset for record in records),
        "shots": _of(record.source.shots for record in records),
        "seed": _of(record.seed for record in records),
        "backbone": _of(record.backbone.name for record in records),
        "preset": _of(record.preset for record in records),
    }
    tags = [*held["suite"], *held["protocol"], *held["method"], JOB_TYPE]
    return RunFacts(
        id=digest[:24],
        name=f"{'+'.join(held['protocol'])} {JOB_TYPE} {digest[:6]}"[-128:],
        group=JOB_TYPE,
        job_type=JOB_TYPE,
        tags=tuple(dict.fromkeys(tag[:64] for tag in tags)),
        config={**held, "cells": cells, "host": whereabouts.host(), "job": whereabouts.job()},
    )


def _of(values: Iterable[Any]) -> list[Any]:
    return sorted(set(values))


def results(tables: Sequence[Table]) -> list[list[Any]]:
    """Every number of the tables, one row each (`RESULTS`)."""
    return [[row[name] for name in RESULTS] for row in flat.rows(tables)]


def paper(table: Table) -> tuple[list[str], list[list[Any]]]:
    """The columns and rows of a table as it is printed; n counts the seeds of a row."""
    several = len({heading.shots for heading in table.headings}) > 1
    columns = ["method", "paradigm", *(_titled(h, several) for h in table.headings), "n"]
    rows = [
        [row.title, row.section, *(figure(entry) for entry in row.entries), row.n]
        for row in table.rows
    ]
    return columns, rows


def _titled(heading: Heading, several: bool) -> str:
    shots = f"{heading.shots}-shot" if several and str(heading.shots) not in heading.group else ""
    return " / ".join(filter(None, (heading.group, shots, heading.title)))


def log(
    records: Sequence[Record],
    place: Place,
    planned: Collection[str] = (),
    failed: int = 0,
) -> RunFacts:
    """Log the tables of records as a run of its own; its facts.

    Raises:
        UserError: wandb is not installed.
    """
    wandb = wandb_log.module()
    known = facts(records, planned)
    tables = assemble.of_records(records)
    run = wandb_log.start(wandb, known, place)
    exit_code = 1
    try:
        run.log(_logged(wandb, tables))
        counts = {"planned": len(known.config["cells"]), "finished": len(records), "failed": failed}
        run.summary.update(
            {
                **{f"cells/{name}": count for name, count in counts.items()},
                "titles": [table.title for table in tables],
                "notes": [note for table in tables for note in table.notes],
            }
        )
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)
    return known


def _logged(wandb: Any, tables: Sequence[Table]) -> dict[str, Any]:
    """The tables by the names they are logged under: `paper_few_shot`, numbered if several."""
    made = {"results": wandb.Table(columns=list(RESULTS), data=results(tables))}
    for number, table in enumerate(tables, 1):
        columns, rows = paper(table)
        name = re.sub(r"\W+", "_", f"paper_{table.protocol}", flags=re.ASCII)
        called = name if len(tables) == 1 else f"{name}_{number}"
        made[called] = wandb.Table(columns=columns, data=rows)
    return made

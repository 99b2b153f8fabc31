"""The page of what methods cost, device by device, as plain data for its template and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from promptbench.leaderboard.boards import plots
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import STATES, State, Verdict
from promptbench.report.costs.efficiency import Cost, CostTable, costs
from promptbench.report.costs.efficiency_grid import grid

_PLOTS = (
    ("parameters", "learned parameters"),
    ("time", "seconds of a training"),
    ("memory", "peak memory"),
    ("throughput", "test images per second"),
)
_HOW = "Logarithmic scale; only rows of this device, precision, threads and number of shots."


def efficiency_page(accepted: Sequence[Verdict]) -> dict[str, Any]:
    """All tables of costs by protocol, suites that compare with papers first."""
    states = {id(v.record): v.state for v in accepted if v.record}
    order = known.protocol_names(), known.suite_names()

    def place(table: CostTable) -> tuple[int, int]:
        return order[0].index(table.protocol), order[1].index(table.suite)

    made = sorted(costs(v.record for v in accepted if v.record), key=place)
    numbered = list(enumerate(made, 1))
    return {
        "protocols_with_costs": [
            {
                "name": name,
                "title": known.protocol(name).cls.title,
                "tables": [_section(f"costs-{i}", table, states) for i, table in same],
            }
            for name, same in groupby(numbered, key=lambda item: item[1].protocol)
        ]
    }


def of_method(page: Mapping[str, Any], method: str) -> list[dict[str, Any]]:
    """The tables of a page of costs, each with only the rows of a method; without empty ones."""
    return [
        {**table, "protocol": protocol["title"], "rows": rows}
        for protocol in page["protocols_with_costs"]
        for table in protocol["tables"]
        if (rows := [row for row in table["rows"] if row["method"] == method])
    ]


def _section(identity: str, table: CostTable, states: Mapping[int, State]) -> dict[str, Any]:
    shown = grid(table)
    return {
        "id": identity,
        "device": table.place,
        "title": table.title,
        "banner": table.banner,
        "columns": shown.columns,
        "notes": shown.notes,
        "rows": [
            {
                "id": f"{identity}-{number}",
                "method": cost.method,
                "title": row.title,
                "cells": row.cells,
                "split": row.muted,
            }
            for number, (cost, row) in enumerate(zip(table.rows, shown.rows, strict=True))
        ],
        "plots": [
            {"kind": kind, "title": f"{table.value_label} against {what}", "text": _HOW}
            for kind, what in _PLOTS
        ],
        "data": _data(table, states),
    }


def _data(table: CostTable, states: Mapping[int, State]) -> dict[str, Any]:
    """What the scripts draw from: the form of a board's data, with one value per row."""
    return {
        "metric": plots.metric_data(table.metric),
        **plots.look(cost.method for cost in table.rows),
        "methods": plots.METHODS,
        "main": {"key": "value", "label": table.value_label},
        "rows": [_point(cost, table, states) for cost in table.rows],
    }


def _point(cost: Cost, table: CostTable, states: Mapping[int, State]) -> dict[str, Any]:
    shown = cost.value and plots.value(cost.value, table.metric.decimals)
    found = [states[id(record)] for record in cost.records]
    return {
        "method": cost.method,
        "title": cost.title,
        "state": max(found, key=STATES.index),
        "reference": cost.paradigm == plots.REFERENCE,
        "shots": table.shots,
        "n": cost.seeds,
        "split": cost.uses_split,
        "parameters": cost.parameters[1],
        "seconds": cost.training_seconds,
        "memory": cost.memory_mb,
        "throughput": cost.images_per_second,
        "values": {"value": shown} if shown else {},
    }

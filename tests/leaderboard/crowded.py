"""Boards of 100 made-up methods in all metrics of a protocol: rows, and no record is written."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from promptbench.core.metric import Metric
from promptbench.leaderboard.boards.board import Board, BoardColumn, BoardRow, board_id
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import board_files, pages, site
from promptbench.leaderboard.web.folder import Templates, fresh
from promptbench.records import Record
from promptbench.records.scores import registered
from promptbench.statistics import Estimate, estimate
from tests.made_records import record

SHOTS = (1, 4, 16)
METHODS = 100
DATASETS = (
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101",
    "fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101",
)  # fmt: skip


def boards(
    protocol: str, shots: Sequence[int] = SHOTS, seeds: int = 3, suite: str = "clip"
) -> list[Board]:
    """The boards of few_shot or base_to_new in all metrics, with a row of each method for every
    count of shots."""
    return [_board(protocol, metric, shots, seeds, suite) for metric in registered()]


def site_of(made: Sequence[Board], out: Path) -> Path:
    """The pages of the boards' protocols, with what they load."""
    with fresh(out) as folder:
        found = [each for each in pages.protocols(made) if each["boards"]]
        facts = {"protocols": found, "version": "0", "alone": False, "links": {}, "feed": False}
        templates = Templates(folder, facts)
        for each in found:
            about = {"title": each["title"], "protocol": each, "here": each["name"]}
            about |= {"boards": each["boards"], "scripts": site.SCRIPTS}
            templates.write(f"protocols/{each['name']}.html", "protocol.html", **about)
            board_files.write(templates, each)
    return out


def _board(protocol: str, metric: Metric, shots: Sequence[int], seeds: int, name: str) -> Board:
    suite = known.suite(name)
    columns = tuple(_columns(protocol))
    rng = random.Random(metric.name)
    drawn = [_estimate(metric.whole or 1.0, seeds, rng) for _ in range(200)]
    rows = [
        replace(
            _row(protocol, number, count, seeds),
            id=f"{board_id(suite, metric)}-{number:05x}{count:03x}",
            values={column.key: rng.choice(drawn) for column in columns},
            over={column.key: column.members for column in columns if column.summary},
        )
        for count in sorted(shots, reverse=True)
        for number in range(METHODS)
    ]
    return Board(protocol, suite, metric, columns, tuple(rows))


def _columns(protocol: str) -> Iterator[BoardColumn]:
    if protocol == "few_shot":
        yield BoardColumn("Average", "", "Average", True, True, len(DATASETS), DATASETS)
        yield from (BoardColumn(name, "", name, False) for name in DATASETS)
        return
    for title in ("HM", "base", "new"):
        parts = tuple(f"{name}/{title}" for name in DATASETS)
        main = title == "HM"
        yield BoardColumn(f"Average/{title}", "Average", title, True, main, len(parts), parts)
    for name in DATASETS:
        for title in ("base", "new", "HM"):
            yield BoardColumn(f"{name}/{title}", name, title, False)


def _row(protocol: str, number: int, shots: int, seeds: int) -> BoardRow:
    return BoardRow(
        id="", method=f"method_{number:02}", title=f"Method {number:02} [by someone 1.0]",
        paradigm="end-to-end", state="consistent", preset="paper", inference="unified",
        backbone="ViT-B-16-quickgelu", shots=shots, n=seeds, uses_split=False, values={},
        rank=(1, METHODS), parameters=2048 + number, seconds=10 + number + shots / 7,
        accepted=_verdicts(protocol, number, shots),
    )  # fmt: skip


def _estimate(whole: float, seeds: int, rng: random.Random) -> Estimate:
    scores = [rng.uniform(0.5, 0.9) * whole for _ in range(seeds)]
    mean = sum(scores) / seeds
    found = estimate(mean, scores, (0.0, whole))
    facts = {"by_seed": tuple(enumerate(scores, 1)), "images": (mean - 1, mean + 1)}
    return Estimate(**{**vars(found), **facts})


@cache
def _verdicts(protocol: str, number: int, shots: int) -> tuple[Verdict, ...]:
    """Records of the first seed, to whose pages numbers lead."""
    return tuple(
        Verdict(Path("r"), _record(protocol, number, shots, name), "consistent")
        for name in DATASETS
    )


@cache
def _first(protocol: str) -> Record:
    about = {"name": protocol, "version": 1, "selection": "last epoch"}
    return record(method="coop", protocol=about, cell_id="0123456789abcdef")


def _record(protocol: str, number: int, shots: int, dataset: str) -> Record:
    first = _first(protocol)
    halves = ("all",) if protocol == "few_shot" else ("base", "new")
    target = first.targets[0]
    targets = [target.model_copy(update={"dataset": dataset, "classes": half}) for half in halves]
    method = first.method.model_copy(update={"name": f"method_{number:02}"})
    own = {"dataset": dataset, "classes": halves[0], "shots": shots}
    source = first.source.model_copy(update=own)
    return first.model_copy(update={"method": method, "source": source, "targets": targets})

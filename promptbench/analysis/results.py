"""What an analysis leaves: numbers as CSV and JSON, figures as PNG and SVG, one folder each.

`<out>/<suite>/<protocol>/<method>/norms.json` (and .csv, .png, .svg); several methods in one figure
are under `compared`. The JSON says what it is about and names its figures, so that a page can show
them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from promptbench.analysis.analysis import Analysis
from promptbench.analysis.figures import Drawing, Page, finish, styled
from promptbench.analysis.kinds import Kind
from promptbench.analysis.rows import Number, as_csv
from promptbench.core.registry import ANALYSES, PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning import standing
from promptbench.report.text import MIXED
from promptbench.statistics import ENOUGH_SEEDS
from promptbench.storage import reading
from promptbench.storage.files import write_whole
from promptbench.support.prose import counted
from promptbench.support.version import __version__

if TYPE_CHECKING:
    from promptbench.analysis.runs import Run

SCHEMA = "promptbench-analysis/1"
COMPARED = "compared"
_MOST_BYTES = 64 * 2**20


class RunInfo(BaseModel):
    """A run that an analysis is about."""

    model_config = ConfigDict(extra="forbid")

    title: str
    method: str
    dataset: str
    seed: int
    cell_id: str
    parameters_sha256: str | None


class Result(BaseModel):
    """One analysis of one method, or of several compared."""

    model_config = ConfigDict(extra="forbid")

    schema_version: str = SCHEMA
    promptbench: str = __version__
    analysis: str
    title: str
    suite: str
    comparable: bool
    protocol: str
    backbone: str
    images: int
    methods: list[str]
    runs: list[RunInfo]
    figures: list[str]
    mixed: list[str] = []  # what runs of one title were not computed alike with
    rows: list[dict[str, Any]]


def write(
    name: str,
    analysis: Analysis,
    kind: Kind,
    rows: Sequence[Number],
    drawn: Sequence[Number],
    out: Path,
    images: int,
    compared: bool,
    series: Sequence[str],
    on: Page | None = None,
) -> tuple[Path, Result]:
    """Write an analysis of runs of one kind; the JSON's path, and what it holds.

    `rows` are all its numbers, `drawn` those of the runs that count in averages; without any there
    are not figures. `series` are all of the study (see `Drawing`), `on` is where figures go.

    Raises:
        UserError: matplotlib is missing, a folder that cannot be written, or what an analysis of
            somebody else's raises.
    """
    record = kind.runs[0].record
    folder = out / record.suite / record.protocol.name / _name(kind, compared)
    path = folder / f"{name}.json"
    seeds = len({row.seed for row in drawn})
    title = "\n".join(filter(None, (analysis.title, *_circumstances(kind, seeds, images))))
    drawing = Drawing.of_rows(drawn, compared, series)
    figures = _figures(name, analysis, drawing, title, folder, on) if drawn else []
    result = Result(
        analysis=name,
        title=analysis.title,
        suite=record.suite,
        comparable=record.comparable,
        protocol=record.protocol.name,
        backbone=_backbone(kind),
        images=images,
        methods=list(dict.fromkeys(run.record.method.name for run in kind.runs)),
        runs=[_info(run) for run in kind.runs],
        figures=[path.name for path in figures],
        mixed=kind.mixed,
        rows=[_plain(row) for row in rows],
    )
    text = result.model_dump_json(indent=1) + "\n"
    write_whole(path, text.encode())
    write_whole(path.with_suffix(".csv"), as_csv(rows).encode())
    return path, result


def _backbone(kind: Kind) -> str:
    """How the backbone is called, with the start of the weights' hash where others are shown."""
    own = kind.runs[0].record.backbone
    mark = own.sha256[:8] if any(own.sha256[:8] in mark for mark in kind.marks) else ""
    return f"{own.name} ({' '.join(filter(None, (own.weights, mark)))})"


def _figures(
    name: str,
    analysis: Analysis,
    drawing: Drawing,
    title: str,
    folder: Path,
    on: Page | None,
) -> list[Path]:
    drawers = {name: analysis.figure}
    if analysis.over_training and any(row.epoch is not None for row in drawing.rows):
        drawers[f"{name}-over-training"] = analysis.curves
    found = []
    with styled(on):
        for stem, draw in drawers.items():
            with ANALYSES.blaming(name):
                figure, entries = draw(drawing)
            found += finish(figure, entries, title, folder / stem)
    return found


def read(path: Path) -> Result:
    """An analysis that was written.

    Raises:
        UserError: not one of this version.
    """
    try:
        text = reading.read_bytes(path, _MOST_BYTES, "the analysis").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not an analysis of this version: {error}") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Result:
    """An analysis from the text of its file, as `read`."""
    try:
        found = Result.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path} is not an analysis of this version: {error}") from error
    if found.schema_version != SCHEMA:
        raise UserError(f"{path} has the schema {found.schema_version!r}, this version {SCHEMA!r}")
    return found


def find(folders: Iterable[Path], method: str) -> list[Path]:
    """The analyses under `folders` that are about a method, its own before the compared ones."""
    own = [p for folder in folders for p in written(folder) if method in read(p).methods]
    return sorted(set(own), key=lambda path: (len(read(path).methods), path))


def written(folder: Path) -> list[Path]:
    """The analyses under a folder: JSON files named like one that is installed, or that say that
    they are one."""
    installed = ANALYSES.names()
    return sorted(
        path for path in folder.glob("**/*.json") if path.stem in installed or _says_so(path)
    )


def _says_so(path: Path) -> bool:
    """Whether a file starts as `write` starts it: of an analysis that is not installed here."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return b'"promptbench-analysis/' in file.read(100)
    except OSError:
        return False


def _name(kind: Kind, compared: bool) -> str:
    """The folder of a method (settings that were changed tell them apart), or of a comparison."""
    record = kind.runs[0].record
    several = PROTOCOLS.load(record.protocol.name).cls.shots_together
    suffix = (f"-{record.source.shots}shot" if several else "") + kind.suffix
    if compared:
        return COMPARED + suffix
    labels = list(kind.runs[0].labels)
    marks = json.dumps([record.preset, record.overrides, labels])
    usual = record.preset == "paper" and not record.overrides and not labels
    digest = hashlib.sha256(marks.encode()).hexdigest()[:8]
    return record.method.name + ("" if usual else f"-{digest}") + suffix


def _circumstances(kind: Kind, seeds: int, images: int) -> tuple[str, str]:
    record = kind.runs[0].record
    some = f", at most {images} images per target" if images else ""
    shots = counted(record.source.shots, "shot")
    facts = (record.protocol.name, shots, *kind.marks, counted(seeds, "seed"))
    text = ", ".join(facts) + some
    over = "95% interval over seeds" if seeds >= ENOUGH_SEEDS else "the values of two seeds"
    bars = f"; bars: {over}" if seeds > 1 else ""
    mark = f"; {MIXED} runs of one title were not all computed alike" if kind.mixed else ""
    return text + bars + mark, standing.of_records([run.record for run in kind.runs]).banner


def _info(run: Run) -> RunInfo:
    record = run.record
    return RunInfo(
        title=run.title,
        method=record.method.name,
        dataset=record.source.dataset,
        seed=record.seed,
        cell_id=record.cell_id,
        parameters_sha256=record.training.parameters_sha256,
    )


def _plain(row: Number) -> dict[str, Any]:
    """A row without what it does not have; numbers that are not defined are null."""
    facts = {
        name: value
        for name, value in vars(row).items()
        if name != "bounds" and value not in (None, "")
    }
    return facts | {"value": None if row.value != row.value else row.value}

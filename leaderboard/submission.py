"""Collecting records for the leaderboard: a folder that a pull request adds as it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from promptbench.leaderboard.verdicts import Verdict, judge_all

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.safe_text import printable

RESULTS = Path("leaderboard") / "results"


def place_of(record: Record) -> Path:
    """Where an accepted record lies under the results folder."""
    source = record.source
    cell = f"{source.dataset}-{source.shots}shot-seed{record.seed}-{record.cell_id[:10]}"
    return Path(record.suite, record.protocol.name, record.method.name, cell)


def submit(places: Sequence[Path], out: Path, root: Path | None = None) -> list[Verdict]:
    """Copy the records under `places` that hold, with their predictions, to `out`.

    `out` then has leaderboard/results/... as the repository has it, and the text of a pull request.
    Nothing is written if a record is refused.

    Raises:
        UserError: no records, or a folder that cannot be written.
    """
    paths = store.find(places)
    if not paths:
        raise UserError(f"no record.json under {', '.join(map(str, places))}")
    verdicts = judge_all(paths, root)
    if any(verdict.state == "refused" for verdict in verdicts):
        return verdicts
    try:
        for verdict in verdicts:
            _copy(verdict, out / RESULTS)
        (out / "PULL_REQUEST.md").write_text(_text(verdicts))
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from error
    return verdicts


def _copy(verdict: Verdict, results: Path) -> None:
    assert verdict.record is not None, "only accepted records are copied"
    folder = results / place_of(verdict.record)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(verdict.path, folder / "record.json")
    for target in verdict.record.targets:
        file = verdict.path.parent / target.predictions
        if file.is_file():
            copy = folder / target.predictions
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def _text(verdicts: Sequence[Verdict]) -> str:
    """The pull request in words: what it adds, in which state."""
    lines = [
        "# Results for the leaderboard",
        "",
        "| suite | protocol | method | source | shots | seed | state |",
        "|---|---|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        r = verdict.record
        assert r is not None, "only accepted records are listed"
        cells = (r.suite, r.protocol.name, r.method.name, r.source.dataset)
        lines.append(f"| {' | '.join(cells)} | {r.source.shots} | {r.seed} | {verdict.state} |")
    notes = dict.fromkeys(note for verdict in verdicts for note in verdict.notes)
    lines += ["", *(f"- {printable(note)}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"

"""Collecting records for the leaderboard: a folder that a pull request adds as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.leaderboard.accepting import copies, standing
from promptbench.leaderboard.checking import acceptance, pointing
from promptbench.leaderboard.checking import places as own
from promptbench.leaderboard.checking.verdicts import Verdict, once
from promptbench.sharing import HubPlace
from promptbench.support.safe_text import printable

RESULTS = own.RESULTS


def submit(
    places: Sequence[Path], out: Path, root: Path | None = None, learned: Sequence[str] = ()
) -> list[Verdict]:
    """Copy the records under `places` that hold, with their predictions, to `out`.

    `out` then has results/... as a results repository has it, and the text of a pull request.
    A cell that lies there several times with equal numbers is copied once. `learned` are places of
    the hub that hold what records have learned, which the submission points to. Nothing is
    written if a record is refused, by itself or beside what stands on the leaderboard.

    Raises:
        UserError: no records, two records of a cell with different numbers, or a folder that cannot
            be written, or a place whose parameters no record has learned.
    """
    verdicts = standing.judge(store.find_some(places), root)
    if any(verdict.state == "refused" for verdict in verdicts):
        return verdicts
    counting = once(verdicts)
    where = pointing.pointers(learned, counting)
    try:
        copies.copy(counting, out / RESULTS)
        for verdict in counting:
            if verdict.record and verdict.path in where:
                folder = out / RESULTS / copies.place_of(verdict.record)
                (folder / pointing.POINTER).write_bytes(pointing.encoded(where[verdict.path]))
        (out / "PULL_REQUEST.md").write_text(_text(counting, where), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}") from error
    return verdicts


def incomplete(verdicts: Sequence[Verdict]) -> list[str]:
    """What rows of submitted records lack for an average or a rank; see `acceptance`."""
    records = [verdict.record for verdict in once(verdicts) if verdict.record]
    paths = store.find([own.results()])
    return acceptance.warnings_of(records, [r for _, r in standing.readable(paths)])


def _text(verdicts: Sequence[Verdict], where: Mapping[Path, HubPlace]) -> str:
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
    if where:
        places = dict.fromkeys(str(where[v.path]) for v in verdicts if v.path in where)
        lines += ["", f"Learned parameters: {', '.join(places)}"]
    notes = dict.fromkeys(note for verdict in verdicts for note in verdict.notes)
    lines += ["", *(f"- {printable(note)}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"

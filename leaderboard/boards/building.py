"""Build the boards: for each protocol and suite one list of rows, from accepted records and papers.

The numbers come from `promptbench.report`: one table per group of records that may stand together.
A board puts the tables of a suite under each other, one row per method, variant, source of numbers
and count of shots, with what can be filtered by as plain fields.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from promptbench import mixing
from promptbench import records as store
from promptbench.config.suites import Suite
from promptbench.core.metric import Metric
from promptbench.core.registry import BUILT_IN
from promptbench.leaderboard.accepting import claims, standing
from promptbench.leaderboard.boards.board import Board, BoardColumn, BoardRow, State, board_id
from promptbench.leaderboard.boards.groups import Group, grouped
from promptbench.leaderboard.boards.ranking import (
    difference_to_best,
    in_order,
    ranked,
    with_supported_marks,
)
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import STATES, Verdict
from promptbench.mixing import Variant
from promptbench.planning.legs import legs_of
from promptbench.planning.standing import of_records as suite_of
from promptbench.records import BackboneInfo, Record
from promptbench.records.scores import Scorer, find_values, folders_of, load, together
from promptbench.report import assemble
from promptbench.report.build import build
from promptbench.report.rows import SaidByRows
from promptbench.report.table import Heading, Row, Table
from promptbench.storage.remembered import Remembered
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable

_LONGEST = 120  # characters of a fact beside a title


def judged(
    more: Sequence[Path],
    root: Path | None,
    memory: Remembered | None = None,
    reporter: Reporter | None = None,
    metrics: Sequence[str] = (),
) -> list[Verdict]:
    """The verdicts on all accepted results, and on the records under `more`; see `standing.judge`.
    `metrics` are those of which `boards` are wanted next, as `scores.load_all` takes them.

    Raises:
        UserError: there is none under `more`.
    """
    own = store.find_some(more) if more else []
    then = partial(find_values, tuple(metrics)) if metrics else None
    return claims.promoted(standing.judge_with_accepted(own, root, memory, reporter, then))


def accepted(verdicts: Sequence[Verdict], left_out: Callable[[Verdict], None]) -> list[Verdict]:
    """The verdicts that count, as `standing.counting`; `left_out` hears of the refusals."""
    for verdict in verdicts:
        if verdict.state == "refused":
            left_out(verdict)
    return standing.counting(verdicts)


def boards(
    verdicts: Sequence[Verdict],
    metrics: Sequence[Metric] | None = None,
    memory: Remembered | None = None,
) -> list[Board]:
    """One board per protocol, suite and metric that has rows: comparable suites first, and within
    a suite `metrics` in their order, by default the usual one only; `memory` knows their values."""
    places = folders_of((v.record, v.path.parent) for v in verdicts if v.record)
    scorers = together(metrics or [load()], places, memory)
    found: list[Board] = []
    of_table: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for v in verdicts:
        if v.record:
            of_table[v.record.protocol.name, v.record.suite].append(v)
    for protocol in known.protocol_names():
        for name in known.suite_names():
            own = of_table[protocol, name]
            tables = mixing.tables([v.record for v in own if v.record])
            suite, said = known.suite(name), SaidByRows()
            made = [_board(protocol, suite, own, tables, scorer, said) for scorer in scorers]
            found += [board for board in made if board.rows]
    return found


def _board(
    protocol: str,
    suite: Suite,
    verdicts: Sequence[Verdict],
    tables: Sequence[Sequence[Record]],
    scorer: Scorer,
    said: SaidByRows | None = None,
) -> Board:
    metric = scorer.metric
    by_record = {id(v.record): v for v in verdicts if v.record}
    rows: list[BoardRow] = []
    columns: dict[str, BoardColumn] = {}
    alike: list[bool] = []
    for group in grouped(protocol, suite, tables, metric):
        records = sorted(group.records, key=lambda record: record.created, reverse=True)[::-1]
        made = _table(protocol, suite, replace(group, records=records), scorer, said)
        rows_of = mixing.rows(records)
        members = {variant: [by_record[id(r)] for r in own] for variant, own in rows_of.items()}
        alike.append(mixing.on_one_data(rows_of.values()))
        for shots in dict.fromkeys(heading.shots for heading in made.headings):
            keys = _columns(made, shots, protocol)
            columns = {column.key: column for column in keys.values()} | columns
            found = [_row(row, shots, keys, suite, group.backbone, members) for row in made.rows]
            some = [row for row in found if row.values]
            rows += _complete(some, list(columns.values()), alike[-1], metric)
    unique = {
        (r.method, r.inference, r.source, r.origin, r.note, r.shots, r.backbone): r
        for r in rows
        if r.state == "published"
    }
    rows = [r for r in rows if r.state != "published"] + list(unique.values())
    ordered = _ordered(columns)
    place = board_id(suite, metric)
    sorted_rows = in_order(rows, ordered[0], suite.backbone, metric) if rows else []
    numbered = tuple(_named(sorted_rows, place))
    remarks = tuple(scorer.remarks([v.record for v in verdicts if v.record]))
    return Board(protocol, suite, metric, ordered, numbered, all(alike), remarks)


def _named(rows: Sequence[BoardRow], place: str) -> Iterator[BoardRow]:
    """The rows with ids; of several alike, the later ones also have their number."""
    seen: Counter[str] = Counter()
    for row in rows:
        name = row.identity
        seen[name] += 1
        yield replace(row, id=f"{place}-{name}" + (f"-{seen[name]}" if seen[name] > 1 else ""))


def _complete(
    rows: list[BoardRow], columns: Sequence[BoardColumn], on_one_data: bool, metric: Metric
) -> list[BoardRow]:
    """The rows of one group and count of shots, with differences, and with ranks unless they were
    scored on other images or class names."""
    main = next((column.key for column in columns if column.main), "")
    compared = [difference_to_best(row, rows, main, metric) for row in rows]
    marked = with_supported_marks(compared)
    return ranked(marked, main, metric) if on_one_data else marked


def _table(
    protocol: str, suite: Suite, group: Group, scorer: Scorer, said: SaidByRows | None
) -> Table:
    """The table of a group over all datasets of the protocol, so that averages are comparable."""
    records = group.records
    made, legs = assemble.usual(protocol, suite, group.shots)
    have = {leg.source.shots for leg in legs}
    for record in records:  # other counts of shots than the protocol's own
        if record.source.shots not in have:
            legs = [*legs, *legs_of(made, record.source.shots)]
            have.add(record.source.shots)
    suite = suite_of(records) if records else group.suite
    return build(records, protocol, made, legs, suite, group.printed, scorer=scorer, said=said)


def _columns(made: Table, shots: int, protocol: str) -> dict[int, BoardColumn]:
    """The columns of one count of shots, by their number in the table."""
    together = known.protocol(protocol).cls.shots_together
    headings = made.headings
    numbers = [i for i, h in enumerate(headings) if h.shots == shots]
    last = max((i for i in numbers if headings[i].summary), default=numbers[-1])

    def group(heading: Heading) -> str:
        return "" if together else heading.group

    def key(heading: Heading) -> str:
        return f"{group(heading)}/{heading.title}" if group(heading) else heading.title

    def column(number: int, heading: Heading) -> BoardColumn:
        parts = tuple(key(headings[member]) for member in heading.members)
        return BoardColumn(
            key(heading),
            group(heading),
            heading.title,
            heading.summary,
            main=number == last,
            members=len(parts),
            parts=parts,
        )

    return {number: column(number, headings[number]) for number in numbers}


def _ordered(columns: dict[str, BoardColumn]) -> tuple[BoardColumn, ...]:
    """Averages first, the main one foremost; then the datasets."""
    return tuple(sorted(columns.values(), key=lambda c: (not c.main, not c.summary)))


def _row(
    row: Row,
    shots: int,
    columns: dict[int, BoardColumn],
    suite: Suite,
    backbone: str,
    members: Mapping[Variant, Sequence[Verdict]],
) -> BoardRow:
    assert row.variant is not None, "tables say what their rows stand for"
    method, inference, preset = row.variant[:3]
    values = {c.key: e for i, c in columns.items() if (e := row.entries[i]) is not None}
    behind = members.get(row.variant, ()) if row.kind == "ours" else ()
    own = [v for v in behind if v.record and v.record.source.shots == shots]
    records = [v.record for v in own if v.record]
    elsewhere = backbone if backbone != suite.backbone else ""
    about = _about(records[0], suite) if records else elsewhere
    return BoardRow(
        id="",
        method=method,
        title=f"{row.title} [{about}]" if about else row.title,
        paradigm=row.paradigm,
        state=_state(row, own),
        preset=printable(preset),
        inference=printable(inference),
        backbone=printable(backbone),
        shots=shots,
        n=row.n,
        uses_split=row.uses_split,
        values=values,
        parameters=records[0].method.learned_parameters if records else _stated(method),
        seconds=sum(r.training.seconds for r in records) / len(records) if records else None,
        source=row.source,
        origin=row.origin,
        note=row.note,
        mixed=row.mixed,
        accepted=tuple(own),
        track=row.track,
        settings=row.settings,
        selection=row.selection,
        around=printable("; ".join(_around(records[0], suite))) if records else "",
        over={c.key: _over(row, i, c) for i, c in columns.items() if c.summary and c.key in values},
        slips={c.key: row.slips[i] for i, c in columns.items() if row.slips and row.slips[i]},
        best=frozenset(c.key for i, c in columns.items() if i in row.best),
        second=frozenset(c.key for i, c in columns.items() if i in row.second),
    )


def _over(row: Row, number: int, column: BoardColumn) -> int | None:
    """How many datasets an average is over, if that is known."""
    return row.over[number] if row.over else column.members


def _about(record: Record, suite: Suite) -> str:
    """What is unusual about a row and its numbers do not tell: whose method it is, and what it
    learns from; another backbone or precision than the suite's."""
    own, facts = record.method, []
    if own.provider != BUILT_IN:
        facts.append(f"by {own.provider}")
        if own.extra_data != "none":
            facts.append(f"learns also from {own.extra_data or 'what it does not say'}")
    return printable("; ".join(fact[:_LONGEST] for fact in (*facts, *_around(record, suite))))


def _around(record: Record, suite: Suite) -> list[str]:
    """What is unusual about the network, what enters it, and its arithmetic: such rows stand in a
    table of their own, and rank among themselves."""
    backbone, precision = record.backbone, record.environment.precision
    other = (backbone.name, backbone.weights) != (suite.backbone, suite.weights)
    facts = [f"{backbone.name} ({_weights(backbone)})"] if other else []
    facts += backbone.preprocess.marks
    return facts + ([precision] if precision != "fp32" else [])


def _weights(backbone: BackboneInfo) -> str:
    """Weights by their tag, or by the name of a file with the start of its hash: another file may
    have this name as well."""
    of_a_file = "." in backbone.weights or "/" in backbone.weights
    return f"{backbone.weights} {backbone.sha256[:8]}" if of_a_file else backbone.weights


def _state(row: Row, own: Sequence[Verdict]) -> State:
    if row.kind == "published":
        return "published"
    worst = max((STATES.index(verdict.state) for verdict in own), default=STATES.index("verified"))
    return cast("State", STATES[worst])


def _stated(method: str) -> int | None:
    """The parameters on ViT-B/16 that a method's card states."""
    if method not in known.method_names():
        return None
    parameters: int | None = known.stated(method, "vit_b16_parameters")
    return parameters

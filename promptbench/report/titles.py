"""What rows of tables are called, and what is said below a table since all its rows have it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from promptbench import mixing
from promptbench.core.selection import USUAL
from promptbench.core.traits import CLASS_TEXTS
from promptbench.mixing import variants
from promptbench.mixing.variants import Setup
from promptbench.records import Record
from promptbench.report.tracks import PAPER
from promptbench.support.safe_text import printable, shortened

_LONGEST = 60  # characters of a badge, which a stranger's method may have written


def titles(
    rows: Sequence[Sequence[Record]], shifted: bool = True, without: Collection[str] = ()
) -> list[str]:
    """What the rows of a table are called, each with its records: the method's title with what
    distinguishes it from the others (see `promptbench.mixing.variants` and `promptbench.mixing`).

    `shifted`: the table has targets on which the two inference rules of a method differ. `without`:
    what stands below the table, since all rows have it in common (`shared`).
    """
    changed = variants.marks([setups(records) for records in rows], without)
    return [
        _title(records, [*settings, *labels], shifted, without)
        for records, settings, labels in zip(rows, changed, mixing.labels(rows), strict=True)
    ]


def row_title(record: Record, labels: Sequence[str], shifted: bool = True) -> str:
    """What a record's row is called with all that it changes, and with what distinguishes it from
    others (see `mixing.labels`)."""
    return _title([record], [*record.overrides, *labels], shifted, ())


def _title(
    records: Sequence[Record], settings: Sequence[str], shifted: bool, without: Collection[str]
) -> str:
    record = records[0]
    info = record.method
    around = [mark for mark in (*_presets(records), *_limit(record)) if mark not in without]
    beyond = _beyond(record)
    told = CLASS_TEXTS in " ".join(beyond)  # or the setting would say it again
    chosen_by = record.protocol.selection  # in every row: tables of one rule have no other place
    selected = [] if chosen_by == USUAL else [printable(chosen_by)]
    marks = [
        *beyond,
        *selected,
        *around,
        *(s for s in settings if not (told and _asks_for_texts(s))),
    ]
    return title_of(info.title, info.paradigm, record.inference, shifted, marks)


def shared(rows: Sequence[Sequence[Record]]) -> list[str]:
    """The preset, limit and changed settings that all rows have, of several that can."""
    limits = [_limit(records[0]) for records in rows]
    presets = [_presets(records) for records in rows if not mixing.learns_nothing(records)]
    same = [*_common(presets), *_common(limits)]
    return [*sorted(same), *variants.common([setups(records) for records in rows])]


def _common(marks: Sequence[Sequence[str]]) -> set[str]:
    return set.intersection(*map(set, marks)) if len(marks) > 1 else set()


def setups(records: Sequence[Record]) -> list[Setup]:
    """The settings of records."""
    return [
        Setup(
            r.method.name,
            tuple(r.overrides),
            r.method.parameters,
            {} if "epochs" in r.training.recipe and not r.training.epochs else r.training.recipe,
        )
        for r in records
    ]


def _presets(records: Sequence[Record]) -> list[str]:
    """The preset of a row, if it is not the usual one; all, where they are one in fact. A method
    that learns nothing has none."""
    found = sorted({r.preset for r in records}, key=lambda preset: (preset != PAPER, preset))
    if mixing.learns_nothing(records) or found == [PAPER]:
        return []
    return [f"preset {' = '.join(found)}"]


def _limit(record: Record) -> list[str]:
    return [] if record.limit is None else [f"first {record.limit} images"]


def _asks_for_texts(setting: str) -> bool:
    """Whether a setting, with or without its class, says that class texts are used."""
    return setting.replace(" ", "").rpartition(".")[2] == "class_texts=True"


def _beyond(record: Record) -> list[str]:
    """The badge of a row that learns from more than the few shots, where its record says so."""
    extra = (record.method.extra_data or "").strip()  # a stranger's record may leave it blank
    return [] if extra in ("", "none") else [f"+ {shortened(extra, _LONGEST)}"]


def title_of(
    title: str, paradigm: str, inference: str, shifted: bool, marks: Sequence[str] = ()
) -> str:
    if inference != "unified":
        marks = [f"{inference} inference", *marks]
    elif paradigm == "decoupled" and shifted:
        title += " w/o decoupling"
    return title + (f" ({'; '.join(marks)})" if marks else "")

"""One row means one thing: every fact of a record, changed in one of two seeds."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from rich.console import Console

from promptbench import mixing
from promptbench.core.registry import FORMATS
from promptbench.errors import UserError
from promptbench.formats import rich
from promptbench.mixing import DECISIONS, Role, facts
from promptbench.records import Record
from promptbench.records.scores import Scorer, load
from promptbench.report import assemble
from promptbench.report.comparing.comparison import compare
from promptbench.report.format import TERMINAL, render
from promptbench.report.table import Table
from promptbench.report.titles import titles
from tests.made_records import record
from tests.mixing.changing import changed, made

# What differs between seeds by nature; whoever adds to it has a reason in `DECISIONS`.
BY_NATURE = {
    "cell_id",
    "training_id",
    "seed",
    "created",
    "source.keys",
    "source.keys_sha256",
    "training.seconds",
    "training.losses",
    "training.parameters_sha256",
    "validation.fingerprint",
    "validation.keys",
    "validation.accuracy",
    "validation.epoch",
    "validation.seconds",
    "targets.*.confusions",
    "targets.*.learned",
    "targets.*.correct",
    "targets.*.predictions",
    "targets.*.predictions_sha256",
    "targets.*.seconds",
    "targets.*.class_seconds",
    "environment.peak_memory_mb",
}


def leaves(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """The paths of all facts of a model, through its parts, lists and tables of parts."""
    for name, field in model.model_fields.items():
        parts = [each for each in _types(field.annotation) if _is_part(each)]
        several = field.annotation not in parts and type(None) not in get_args(field.annotation)
        for part in parts:
            yield from leaves(part, f"{path}{name}.{'*.' if several else ''}")
        if not parts:
            yield path + name


def _types(annotation: Any) -> list[Any]:
    found = [annotation]
    for inner in get_args(annotation) if get_origin(annotation) else ():
        found += _types(inner)
    return found


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def of_role(*roles: Role) -> list[str]:
    return [path for path, decision in DECISIONS.items() if decision.role in roles]


FACTS = list(leaves(Record))
MARKS = ("§", r"\textsection{}")


def tables(*found: Record) -> list[Table]:
    return assemble.of_records(found)


def outcome(first: Record, other: Record) -> str:
    """What becomes of two records: other tables, rows or columns, a mark, or one number."""
    both = mixing.tables([first, other])
    if len(both) > 1:
        return "table"
    rows = mixing.rows([first, other])
    if len(rows) > 1:
        return "row"
    if mixing.marks([first, other]):
        return "mark"
    scored = [Scorer(load()).score(r).values for r in (first, other)]
    return "column" if set(scored[0]) != set(scored[1]) else "nothing"


def test_every_fact_has_a_decision_and_no_decision_is_left_over() -> None:
    assert set(DECISIONS) == set(FACTS)
    assert all(decision.why for decision in DECISIONS.values())
    told = set(re.findall(r"^\| ([A-Z]+) ", facts.__doc__ or "", re.MULTILINE))
    assert told == {role.name for role in Role}


@pytest.mark.parametrize("path", FACTS)
def test_a_changed_fact_splits_refuses_or_marks(path: str) -> None:
    first, role = made(1), DECISIONS[path].role
    other = changed(made(2), path)
    found = outcome(first, other)
    assert found == outcome(other, first), "the rule is symmetrical"
    expected = {Role.AGREE: "row", Role.SEED: "nothing"}.get(role, role.value)
    if path == "source.shots":
        expected = "table"  # cross_dataset shows one number of shots
    assert found == expected
    assert (path in BY_NATURE) == (found == "nothing"), path


@pytest.mark.parametrize("path", of_role(Role.ROW, Role.AGREE))
def test_rows_that_are_split_are_called_differently(path: str) -> None:
    rows = list(mixing.rows([made(1), changed(made(2), path)]).values())
    called = zip((row[0].method.paradigm for row in rows), titles(rows), strict=True)
    assert len(set(called)) == len(rows) == 2


@pytest.mark.parametrize("path", of_role(Role.MARK))
def test_a_mark_names_the_values_and_their_seeds(path: str) -> None:
    (text,) = mixing.marks([made(1), changed(made(2), path)])
    assert "(seed 1), " in text and text.endswith("(seed 2)")


def test_a_mark_is_in_every_form_of_a_table() -> None:
    (table,) = tables(made(1), changed(made(2), "environment.packages"))
    (row,) = [row for row in table.rows if row.kind == "ours" and row.n == 2]
    assert row.mixed == ("torch 2.1 (seed 1), 2.2 (seed 2)",)
    for form in set(FORMATS.names()) - {TERMINAL}:
        text = render(form, [table])
        assert "torch 2.1 (seed 1), 2.2 (seed 2)" in text, form
        assert form in ("csv", "json") or any(f"{row.title} {m}" in text for m in MARKS), form
    out = io.StringIO()
    rich.show(table, Console(file=out, width=80))
    assert f"§ {row.title}: {row.mixed[0]}" in " ".join(out.getvalue().split())
    alike = made(2)
    (plain,) = tables(made(1), alike)
    assert not any(row.mixed for row in plain.rows) and "§" not in render("html", [plain])


@pytest.mark.parametrize(("images", "bold"), [("b", True), ("e", False)])
def test_nobody_leads_rows_on_other_images(images: str, bold: bool) -> None:
    info = {"card_version": 1, "card_sha256": "a" * 64, "shards_sha256": images * 64}
    data = dict.fromkeys(("imagenet", "dtd", "eurosat"), info)
    alike = {"data": data, "tuning": made(1).tuning}  # settings that were chosen alike
    worse = [record(seed, 10 + seed, "mmrlpp", **alike) for seed in (1, 2, 3)]
    (table,) = tables(*(made(seed) for seed in (1, 2, 3)), *worse)
    assert bool([row for row in table.rows if row.best]) == bold


def test_tables_split_what_may_not_share_a_row() -> None:
    (table,) = tables(made(1), changed(made(2), "data.*.shards_sha256", "e" * 64))
    shown = {row.title: row.n for row in table.rows if row.kind == "ours" and row.n}
    assert shown == {"CoOp (dtd: images bbbbbb)": 1, "CoOp (dtd: images eeeeee)": 1}
    assert "rows on other images or class names cannot be compared: no marks" in table.notes


@pytest.mark.parametrize("path", of_role(Role.COLUMN))
def test_cells_of_other_columns_make_no_common_number(path: str) -> None:
    first, other = made(1), changed(made(2), path)
    for table in tables(first, other):
        for row in table.rows:
            alike = {h.title for h in table.headings if not h.summary} & {"dtd"}
            for heading, entry in zip(table.headings, row.entries, strict=True):
                if entry and row.kind == "ours" and (heading.summary or heading.title in alike):
                    assert entry.n < 2


OPTIONAL = ("method.extra_data", "method.source_sha256")


@pytest.mark.parametrize("path", OPTIONAL)
def test_what_a_record_does_not_say_is_a_mark(path: str) -> None:
    plain = made(2).model_dump(mode="json")
    plain["method"][path.partition(".")[2]] = None
    other = Record.model_validate(plain)
    (row,) = mixing.rows([made(1), other]).values()
    (text,) = mixing.marks(row)
    assert text.endswith("not stated (seed 2)")


def test_hashes_that_a_record_does_not_say_are_marks() -> None:
    silent = made(2).model_copy(update={"data": {}})
    (row,) = mixing.rows([made(1), silent]).values()
    assert "images of dtd bbbbbb (seed 1), not stated (seed 2)" in mixing.marks(row)


def test_code_of_built_in_methods_is_a_mark_as_its_version_is() -> None:
    one, other = (made(seed, "promptbench") for seed in (1, 2))
    other = changed(other, "method.source_sha256", "e" * 64)
    assert outcome(one, other) == "mark"
    assert mixing.marks([one, other]) == ["code cccccc (seed 1), eeeeee (seed 2)"]


def test_numbers_are_equal_however_they_are_written() -> None:
    one = changed(made(1), "training.recipe", {"lr": 1, "betas": [1, 2]})
    other = changed(made(2), "training.recipe", {"betas": [1.0, 2.0], "lr": 1.0})
    assert outcome(one, other) == "nothing"


@pytest.mark.parametrize(
    "path",
    [p for p in DECISIONS if p.startswith(("data.", "targets.*.total")) and facts.of_images(p)],
)
def test_comparisons_across_data_are_refused_by_name(path: str) -> None:
    a, b = [made(1), made(2)], [changed(made(seed), path) for seed in (1, 2)]
    if path == "data.*.resize_short":
        assert mixing.clash(a, b) == []  # its images have another hash
        return
    with pytest.raises(UserError, match=r"of dtd.*: .+ \(A\), .+ \(B\)"):
        compare(a, b)


@pytest.mark.parametrize("path", [p for p in DECISIONS if p.startswith("environment.")])
def test_comparisons_say_what_was_not_computed_alike(path: str) -> None:
    a, b = [made(1), made(2)], [changed(made(seed), path) for seed in (1, 2)]
    role = DECISIONS[path].role
    if role is Role.TABLE:
        with pytest.raises(UserError, match="nothing to compare"):
            compare(a, b)
        return
    (found,) = compare(a, b)
    assert len(found.mixed) == (role is Role.MARK)
    assert all(text.endswith("(B)") and "(A), " in text for text in found.mixed)

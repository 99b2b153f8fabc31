"""What holds for every report format, built in or somebody else's."""

from __future__ import annotations

import ast
import html
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from promptbench.core.registry import FORMATS
from promptbench.errors import UserError
from promptbench.mixing import Variant
from promptbench.records.scores import load
from promptbench.report.format import TERMINAL, render
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate, estimate
from tests.calling import call
from tests.distributions import distribution

EVERY = pytest.mark.parametrize("name", FORMATS.names())
ROOT = Path(__file__).parents[2] / "promptbench"
HOSTILE = (
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\tx",
    "<script>alert(1)</script>",
    "[red]x[/] | `a` *b* _c_",
    r"$x_1^2$ {\input{x}} #%~^&\\",
    'a,"b";c',
    "模型 Ж é",
)


def number(mean: float, seeds: int = 3) -> Estimate:
    """A mean over seeds, with an interval, a range of two or neither, as their number has it."""
    found = estimate(mean, [mean + 0.1 * seed for seed in range(seeds)])
    return replace(found, images=(mean - 2, mean + 2))


def table(names: tuple[str, ...] = ("coop",), datasets: int = 2) -> Table:
    """A row for each name over so many datasets; no two numbers are alike."""
    headings = [Heading(f"group {i // 3}", f"dataset_{i}", 16, False) for i in range(datasets)]
    headings.append(Heading("", "Average", 16, True, tuple(range(datasets))))
    count = len(headings)
    rows = tuple(
        Row(
            title=name,
            paradigm="end-to-end",
            kind="ours",
            entries=tuple(number(10.01 + r + 0.13 * c) for c in range(count)),
            n=3,
            variant=Variant(f"m{r}", "unified", "paper", (), 0),
        )
        for r, name in enumerate(names)
    )
    return Table("A protocol (v1), accuracy in %", "a_protocol", load(), tuple(headings), rows)


def everything() -> Table:
    """A table with marks and notes of every kind."""
    made = table(("first", "second", "third", "split"), 3)
    first, second, third, split = made.rows
    two = (number(71.37, 2), None, number(72.41, 1), number(73.59, 2))
    printed = replace(
        first,
        kind="published",
        title="first",
        entries=(Estimate(61.27, None, 0), None, Estimate(62.93, None, 0), None),
        differences=(-51.26, None, -52.66, None),
        source="A paper, table 7",
        origin="reproduced",
        note="rounded",
        n=0,
    )
    rows = (
        replace(first, best=frozenset({0}), mixed=("torch 1 (seed 1), torch 2 (seed 2)",)),
        printed,
        replace(second, second=frozenset({0, 2})),
        replace(third, separated=frozenset({1}), entries=two),
        replace(split, uses_split=True, paradigm="decoupled"),
    )
    return replace(made, rows=rows, banner="NOT comparable", notes=("a note: † ‡ §",))


def wide(monkeypatch: pytest.MonkeyPatch, columns: int = 400) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")


def times(value: float, text: str) -> int:
    """How often a number stands in a text, whole or rounded to two digits."""
    return len(re.findall(rf"(?<![\d.])({re.escape(repr(value))}|{value:.2f})(?!\d)", text))


def said(text: str) -> str:
    """A format's text without what disarms a name, so that names can be looked for."""
    text = html.unescape(re.sub(r"\\text\w+\{\}|&nbsp;", "?", text))
    return unicodedata.normalize("NFKC", re.sub(r"[\\'\"]", "", text))


@EVERY
def test_it_says_what_it_is(name: str) -> None:
    cls = FORMATS.load(name).cls
    assert cls.title and FORMATS.about(name)
    assert cls.suffix.startswith(".") or (cls.suffix == "" and name == TERMINAL)


@EVERY
@pytest.mark.parametrize("datasets", [1, 2, 15, 40])
def test_no_number_is_lost(name: str, datasets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wide(monkeypatch)
    made = table(("a", "b", "c"), datasets)
    text = render(name, [made, replace(made, title="Another (v2)")])
    assert text.endswith("\n") and "A protocol" in text and "Another" in text
    for row in made.rows:
        assert row.title in text
        for entry in row.entries:
            assert entry is not None
            assert times(entry.mean, text) >= 2, entry.mean
    for heading in made.headings:
        assert heading.title.replace("_", "") in re.sub(r"[\\_]", "", text)


@EVERY
def test_marks_and_notes_of_every_kind(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wide(monkeypatch)
    made = everything()
    text, document = render(name, [made]), bool(FORMATS.load(name).cls.suffix)
    for entry in (e for row in made.rows for e in row.entries if e is not None):
        assert times(entry.mean, text)
    assert "A paper, table 7" in text and "-51.26" in text and "rounded" in text
    assert "torch 1" in text or "§" in text or r"\textsection" in text
    for row, changes in enumerate(({"best": frozenset()}, {"mixed": ()}, {"differences": ()})):
        changed = [
            replace(r, **changes) if n == (0, 0, 1)[row] else r for n, r in enumerate(made.rows)
        ]
        other = render(name, [replace(made, rows=tuple(changed))])
        assert other != text or (not document and "best" in changes)  # bold needs a terminal


@EVERY
@pytest.mark.parametrize("title", HOSTILE)
def test_names_are_text(name: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wide(monkeypatch)
    text = render(name, [table((title,))])
    plain = render(name, [table(("coop",))])
    assert "<script>" not in text or name in ("rich", "csv", "json")
    assert len(text.splitlines()) == len(plain.splitlines()) or "\t" in title
    words = re.findall(r"[A-Za-z0-9]{2,}", title)
    assert all(word in said(text) for word in words)
    for entry in table().rows[0].entries:
        assert entry is not None and times(entry.mean, text)


@EVERY
def test_a_table_without_rows_is_rendered(name: str) -> None:
    text = render(name, [replace(table(), rows=(), notes=("nothing here",))])
    assert text.strip()


@EVERY
def test_the_same_tables_give_the_same_text(name: str) -> None:
    assert render(name, [everything()]) == render(name, [everything()])


def test_nothing_beside_them_names_a_format() -> None:
    """Apart from the one that is shown unless another is asked for."""
    members = set(FORMATS.names())
    paths = [*(ROOT / "report").glob("*.py"), ROOT / "cli" / "results.py", ROOT / "cli" / "run.py"]
    for path in paths:
        found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        constants = {n.value for n in found if isinstance(n, ast.Constant)}
        assert not constants & members - ({TERMINAL} if path.name == "format.py" else set()), path


ORG = Path(__file__).with_name("org.py").read_text()
CLIP = ("report", "--suite", "clip", "--protocol", "base_to_new", "--method", "coop", "--format")


def test_a_format_of_somebody_else_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(ORG.splitlines()) <= 60
    distribution(tmp_path, "org", "their_org", ORG, "promptbench.formats")
    monkeypatch.syspath_prepend(tmp_path)
    assert "their_org 1.0" in call("ls", "formats").output
    assert "Org-mode tables, one per result table" in call("report", "--help").output
    found = call(*CLIP, "org")
    assert found.exit_code == 0 and found.output.startswith("* Base-to-new"), found.output
    assert "| published, original [1] |" in found.output
    wrong = call(*CLIP, "orgg")
    assert wrong.exit_code == 2
    assert "unknown report format 'orgg'; did you mean 'org'?" in wrong.output
    text = render("org", [everything()])
    assert all(f"{e.mean:.2f}" in text for row in everything().rows for e in row.entries if e)


def test_a_format_may_be_a_file_and_what_it_raises_names_it(tmp_path: Path) -> None:
    path = tmp_path / "my_org.py"
    path.write_text(ORG)
    assert call(*CLIP, path).output.startswith("* Base-to-new")
    path.write_text(ORG.replace('return text.replace("|", "\\\\vert{}")', "return text.missing"))
    found = call(*CLIP, path)
    assert found.exit_code == 2
    said = " ".join(found.output.split())
    assert "error: the report format 'my_org' of file " in said
    assert "AttributeError: 'str' object has no attribute 'missing' (my_org.py, line 28)" in said


def test_a_format_that_returns_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bytewise.py"
    path.write_text(
        ORG.replace('return "\\n".join(self._table(table) for table in tables)', "return b''")
    )
    name = FORMATS.add_file(path)
    with pytest.raises(UserError, match=r"'bytewise' of file .* returned bytes, not a text"):
        render(name, [table()])

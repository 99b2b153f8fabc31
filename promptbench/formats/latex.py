"""LaTeX: booktabs tabulars to be read with \\input, every special character escaped."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.api import Format, Grid, Table
from promptbench.report import text
from promptbench.report.text import Line

_COLUMNS = 6  # more make a new tabular
_PREAMBLE = "% needs \\usepackage[T1]{fontenc}, \\usepackage{booktabs,graphicx,textcomp,xcolor}"


class Latex(Format):
    title, suffix = "LaTeX", ".tex"

    def render(self, tables: Sequence[Table]) -> str:
        """Return the tables one after another, each on its own."""
        return "\n".join(map(_table, tables))

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return the grids one after another, each on its own."""
        return "\n".join(
            _whole(grid.title, grid.banner, [_grid(grid)], grid.notes) for grid in grids
        )


def _table(table: Table) -> str:
    tabulars = [
        _part(table, columns)
        for columns in text.parts(table.headings, lambda part: len(part) <= _COLUMNS)
    ]
    return _whole(table.title, table.banner, tabulars, text.footnotes(table))


def _whole(title: str, banner: str, tabulars: Sequence[str], notes: Sequence[str]) -> str:
    """A caption line, tabulars that shrink to the line's width, and the notes."""
    head = [rf"\textbf{{{_escaped(title)}}}"]
    if banner:
        head.append(_escaped(banner))
    notes = [_escaped(note).replace("/", "/\\allowbreak{}") for note in notes]
    pieces = ["\\par\n".join(head), *tabulars]
    if notes:
        pieces.append("{\\footnotesize\n" + "\\par\n".join(notes) + "\\par}")
    body = "\n\n\\par\\medskip\n".join(pieces)
    start = "\\begingroup\n\\setlength{\\parindent}{0pt}\\raggedright"
    return f"{_PREAMBLE}\n{start}\n{body}\n\\endgroup\n"


def _grid(grid: Grid) -> str:
    lines = [
        *_start(len(grid.columns)),
        " & ".join(map(_escaped, (grid.head, *grid.columns))) + r" \\",
        r"\midrule",
    ]
    for row in grid.rows:
        cells = [_escaped(cell) for cell in (row.title, *row.cells)]
        if row.muted:
            cells = [rf"\textcolor{{gray}}{{{cell}}}" for cell in cells]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}"])


def _start(numbers: int) -> list[str]:
    """The beginning of a tabular with a title and so many numbers in each line."""
    return [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * numbers}}}",
        r"\toprule",
    ]


def _part(table: Table, columns: Sequence[int]) -> str:
    count = len(columns) + 2
    lines = [*_start(count - 1), *_heads(table, columns)]
    for paradigm, rows in table.sections():
        lines.append(r"\midrule")
        lines.append(rf"\multicolumn{{{count}}}{{l}}{{\textit{{{_escaped(paradigm)}}}}} \\")
        lines += [_row(line, columns) for line in text.lines(table, rows)]
    if (sampling := text.sampling(table)) is not None:
        lines += [r"\midrule", _row(sampling, columns)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}"])


def _heads(table: Table, columns: Sequence[int]) -> list[str]:
    """The groups over the columns they span, then the columns' own titles."""
    headings = [table.headings[number] for number in columns]
    groups, rules = [], []
    for block in text.blocks(headings):
        group = _escaped(headings[block[0]].group)
        groups.append(rf"\multicolumn{{{len(block)}}}{{c}}{{{group}}}")
        rules.append(rf"\cmidrule(lr){{{block[0] + 2}-{block[-1] + 2}}}")
    titles = [
        "" if heading.title == heading.group else _escaped(heading.title) for heading in headings
    ]
    return [
        " & ".join(["", *groups, ""]) + r" \\",
        "".join(rules),
        " & ".join(["method", *titles, "$n$"]) + r" \\",
    ]


def _row(line: Line, columns: Sequence[int]) -> str:
    indent = r"\quad " if line.kind in ("published", "range", "difference") else ""
    cells = [indent + _escaped(line.title)]
    for number in columns:
        cell = _escaped(line.cells[number])
        command = "textbf" if number in line.best else "underline" if number in line.second else ""
        cells.append(rf"\{command}{{{cell}}}" if command else cell)
    cells.append(line.n)
    if line.uses_split:
        cells = [rf"\textcolor{{gray}}{{{cell}}}" if cell else "" for cell in cells]
    return " & ".join(cells) + r" \\"


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\textsection{}",
    "¶": r"\textparagraph{}",
    "°": r"\textdegree{}",
    "—": "---",
    "–": "--",
    "·": r"\textperiodcentered{}",
    "…": r"\textellipsis{}",
    "\N{REPLACEMENT CHARACTER}": "?",
}
_LATIN = range(0xA1, 0x180)  # what T1 sets without further packages


def _escaped(value: str) -> str:
    """Text that LaTeX sets as it is; letters that the T1 fonts lack are named by their number."""
    return "".join(_SPECIAL.get(c) or _letter(c) for c in value)


def _letter(character: str) -> str:
    if character.isascii() or (ord(character) in _LATIN and character.isalpha()):
        return character
    return rf"\texttt{{U+{ord(character):04X}}}"

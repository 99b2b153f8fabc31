"""One HTML page without scripts or outside files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from promptbench.api import Format, Grid, Table
from promptbench.report import text
from promptbench.report.text import Line

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem; color: #1a1a1a; }
.banner { background: #fff3cd; padding: .5rem .8rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap; }
tbody th { font-weight: normal; }
thead th { border-bottom: 1px solid #888; }
tbody tr > :first-child, thead tr:first-child > :first-child {
  text-align: left; position: sticky; left: 0; background: #fff;
}
tr.paradigm th { border-top: 1px solid #888; font-style: italic; font-weight: normal; }
tr.published, tr.range, tr.difference { color: #1b5e8a; }
tr.published > :first-child, tr.range > :first-child, tr.difference > :first-child {
  padding-left: 2rem;
}
tr.split, tr.split > * { color: #8a8a8a; }
tr.sampling > * { border-top: 1px solid #888; color: #555; }
th.group { text-align: center; border-left: 1px solid #ddd; }
ul.notes { color: #555; font-size: 12px; margin-bottom: 3rem; }
h2 { font-size: 16px; }
"""


class Html(Format):
    title, suffix = "HTML", ".html"

    def render(self, tables: Sequence[Table]) -> str:
        """Return one page with all tables."""
        title = " and ".join(dict.fromkeys(table.protocol for table in tables))
        return _page(title, map(_section, tables))

    def render_grids(self, grids: Sequence[Grid]) -> str:
        """Return one page with all grids."""
        title = " and ".join(dict.fromkeys(grid.title for grid in grids))
        return _page(title, map(_grid, grids))


def _page(title: str, sections: Iterable[str]) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>promptbench: {escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{''.join(sections)}</body>\n</html>\n"
    )


def _grid(grid: Grid) -> str:
    heads = "".join(f"<th>{escape(title)}</th>" for title in (grid.head, *grid.columns))
    rows = []
    for row in grid.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row.cells)
        kind = ' class="split"' if row.muted else ""
        rows.append(f'<tr{kind}><th scope="row">{escape(row.title)}</th>{cells}</tr>\n')
    body = f"<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n{''.join(rows)}</tbody>\n"
    return _framed(grid.title, grid.banner, body, grid.notes)


def _section(table: Table) -> str:
    body = f"<thead>\n{_heads(table)}</thead>\n<tbody>\n{_body(table)}</tbody>\n"
    return _framed(table.title, table.banner, body, text.footnotes(table))


def _framed(title: str, banner: str, body: str, notes: Sequence[str]) -> str:
    above = f'<p class="banner">{escape(banner)}</p>\n' if banner else ""
    items = "".join(f"<li>{escape(note)}</li>\n" for note in notes)
    return (
        f"<section>\n<h2>{escape(title)}</h2>\n{above}"
        f'<div class="scroll"><table>\n{body}</table></div>\n'
        f'<ul class="notes">\n{items}</ul>\n</section>\n'
    )


def _heads(table: Table) -> str:
    blocks = text.blocks(table.headings)
    groups = "".join(
        f'<th class="group" colspan="{len(block)}">{escape(table.headings[block[0]].group)}</th>'
        for block in blocks
    )
    titles = "".join(
        f"<th>{'' if h.title == h.group else escape(h.title)}</th>" for h in table.headings
    )
    return (
        f'<tr><th rowspan="2">method</th>{groups}<th rowspan="2">n</th></tr>\n<tr>{titles}</tr>\n'
    )


def _body(table: Table) -> str:
    width = len(table.headings) + 2
    rows = []
    for paradigm, of_paradigm in table.sections():
        rows.append(f'<tr class="paradigm"><th colspan="{width}">{escape(paradigm)}</th></tr>\n')
        rows += [_row(line) for line in text.lines(table, of_paradigm)]
    if (sampling := text.sampling(table)) is not None:
        rows.append(_row(sampling))
    return "".join(rows)


def _row(line: Line) -> str:
    kind = line.kind + (" split" if line.uses_split else "")
    cells = "".join(f"<td>{_marked(line, number)}</td>" for number in range(len(line.cells)))
    title = f'<th scope="row">{escape(line.title)}</th>'
    return f'<tr class="{kind}">{title}{cells}<td>{line.n}</td></tr>\n'


def _marked(line: Line, number: int) -> str:
    cell = escape(line.cells[number])
    mark = "b" if number in line.best else "u" if number in line.second else ""
    return f"<{mark}>{cell}</{mark}>" if mark else cell

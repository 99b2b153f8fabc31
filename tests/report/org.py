"""Org-mode tables, one per result table.

A report format as somebody else would write it: one file, no edit of the project.
"""

from promptbench.api import Format, report_text

PROMPTBENCH_API = 1


class Org(Format):
    title, suffix = "Org", ".org"

    def render(self, tables):
        return "\n".join(self._table(table) for table in tables)

    def _table(self, table):
        heads = [f"{h.group} {h.title}".strip() for h in table.headings]
        rows = [["method", *heads, "n"]]
        for _, of_paradigm in table.sections():
            for line in report_text.lines(table, of_paradigm):
                rows.append([line.title, *line.cells, line.n])
        body = "\n".join("| " + " | ".join(map(self._cell, row)) + " |" for row in rows)
        notes = "\n".join(f"- {self._cell(note)}" for note in report_text.footnotes(table))
        return f"* {self._cell(table.title)}\n{self._cell(table.banner)}\n{body}\n{notes}\n"

    def _cell(self, text):
        return text.replace("|", "\\vert{}")

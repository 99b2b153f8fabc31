"""Figures: how a name looks in all of them (`looks`, which needs no matplotlib), the one style and
the widths of papers (`style`), sheets of panels with what belongs around them (`sheet`), and
letters that do not overlap (`fitting`). Drawing needs the extra `plot` (matplotlib)."""

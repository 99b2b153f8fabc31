"""Formulas as MathML, which browsers draw themselves: no script, no font."""

from __future__ import annotations

import html
import re

_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\(?:\((.*?)\\\)|\[(.*?)\\\])</\1>', re.DOTALL
)
_BARS = ("&#x0007C;", "&#x02016;", "&#x02225;")


def as_mathml(page: str) -> str:
    """Return a page's HTML with its formulas, as pymdownx.arithmatex marks them, as MathML.

    Raises:
        latex2mathml.exceptions.*: a formula that is not LaTeX.
    """
    return _FORMULA.sub(_converted, page)


def _converted(found: re.Match[str]) -> str:
    from latex2mathml.converter import convert

    inline = found[2] is not None
    latex = html.unescape(found[2] if inline else found[3])
    formula = convert(" ".join(latex.split()), display="inline" if inline else "block")
    for bar in _BARS:  # as tall as the letters, not as the line
        formula = formula.replace(f"<mo>{bar}</mo>", f'<mo stretchy="false">{bar}</mo>')
    return formula if inline else f'<div class="formula">{formula}</div>'

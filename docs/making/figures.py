"""The figures of docs/protocols.md, drawn from the protocols' own legs.

`python -m docs.making.figures` writes docs/figures/<protocol>.svg; a test compares them with what
is drawn. A figure has a ground of its own and goes with the reader's light or dark theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from docs.making.links import ROOT
from promptbench.core.protocol import Leg, Protocol, Target
from promptbench.core.registry import PROTOCOLS
from promptbench.planning.settings import known_names, load_protocol

FOLDER = ROOT / "docs" / "figures"
_CLASSES = 6  # drawn of each dataset
_CELL, _ROW, _LEFT, _RIGHT, _WIDTH, _TOP = 26, 70, 24, 400, 720, 66
_STYLE = """
.ground{fill:#f6f7fb}.ink{fill:#1f2430}.quiet{fill:#5b6272}.line{stroke:#5b6272;fill:none}
.rest{fill:#dde1ea}.learned{fill:#3f51b5}.scored{fill:#00897b}
text{font:14px system-ui,sans-serif}.small{font-size:12px}.head{font-weight:600}
@media(prefers-color-scheme:dark){.ground{fill:#20242e}.ink{fill:#eceff6}.quiet{fill:#a9b0c0}
.line{stroke:#a9b0c0}.rest{fill:#3a4050}.learned{fill:#8c9eff}.scored{fill:#4db6ac}}
"""


def drawn(name: str) -> str:
    """Return the figure of a protocol as SVG: what its first training learns, what it scores."""
    plugin = PROTOCOLS.load(name)
    protocol = load_protocol(name, "clip", known_names([plugin]))
    legs = protocol.legs(16)
    leg, targets = legs[0], legs[0].targets[:4]
    height = _TOP + max(_ROW * len(targets), 90)
    parts = [
        _text(_LEFT, 28, "learned from", "ink head"),
        _text(_RIGHT, 28, "scored, and the names that compete", "ink head"),
        *_source(leg, legs, protocol),
        f'<path class="line" d="M{_RIGHT - 60} {_TOP + 13}h34m-7 -6l7 6l-7 6"/>',
    ]
    for number, target in enumerate(targets):
        parts += _target(target, _TOP + number * _ROW)
    if more := len(leg.targets) - len(targets):
        height += 24
        parts.append(_text(_RIGHT, height - 18, f"and {more} more in the same way", "quiet small"))
    title = escape(f"{protocol.title}: what is learned from, and what is scored")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{title}</title><style>{_STYLE}</style>"
        f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="8"/>{"".join(parts)}</svg>\n'
    )


def _source(leg: Leg, legs: Sequence[Leg], protocol: Protocol) -> list[str]:
    source = leg.source
    shots = " / ".join(str(count) for count in protocol.shot_counts(source.shots))
    datasets = len({other.source.dataset for other in legs})
    whose = (
        f"and each of {datasets - 1} more datasets by itself" if datasets > 1 else "one training"
    )
    return [
        _text(_LEFT, _TOP - 10, f"{source.dataset}: {source.classes} classes", "ink"),
        *_cells(_LEFT, _TOP, source.labels_in(_CLASSES), "learned"),
        _text(_LEFT, _TOP + 48, f"{shots} images of each class", "quiet small"),
        _text(_LEFT, _TOP + 66, whose, "quiet small"),
    ]


def _target(target: Target, top: int) -> list[str]:
    scored, competing = target.labels_in(_CLASSES), target.competing_in(_CLASSES)
    start = _RIGHT + competing[0] * (_CELL + 4)
    width = len(competing) * (_CELL + 4) - 4
    right = _RIGHT + _CLASSES * (_CELL + 4) + 10
    names = f"names: {target.scored_over}"
    return [
        _text(_RIGHT, top - 10, f"{target.dataset}: {target.classes} classes", "ink"),
        *_cells(_RIGHT, top, scored, "scored"),
        f'<path class="line" d="M{start} {top + 31}v4h{width}v-4"/>',
        _text(right, top + 18, names, "quiet small"),
    ]


def _cells(left: int, top: int, marked: Sequence[int], kind: str) -> list[str]:
    return [
        f'<rect class="{kind if label in marked else "rest"}" x="{left + label * (_CELL + 4)}" '
        f'y="{top}" width="{_CELL}" height="{_CELL}" rx="3"/>'
        for label in range(_CLASSES)
    ]


def _text(x: int, y: int, said: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(said)}</text>'


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for protocol_name in PROTOCOLS.names():
        (FOLDER / f"{protocol_name}.svg").write_text(drawn(protocol_name), encoding="utf-8")

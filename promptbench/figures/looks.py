"""How a method, or a dataset, looks in every figure: a colour and a marker by its name.

A colour hangs on the name and on nothing else, so that a method has the same one in every figure,
on every page and beside any others. Twelve colours and eight markers give 96 looks. Those of the
methods that come with promptbench are dealt out in a fixed order, so that no two share both and
colours are used evenly; any other name has the look that its digest says, of the rest. Two names
that would share one differ in their markers. Needs no matplotlib, and is plain data for pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

# The first six are those of Okabe & Ito (2008). The others lie at least as far from each other and
# from these as these from each other: to the common eye, and simulated (Machado et al. 2009) for
# people without one of the three kinds of cones. Least distances in OKLab: 0.16, and 0.10, 0.08,
# 0.08 without long, middle, short waves.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#5a1e00", "#3c0096", "#a50f5a", "#7800ff", "#8778ff", "#2d5a00",
)  # fmt: skip
# The same hues on a dark page, as far apart: 0.15, and 0.09, 0.09, 0.09.
DARK_COLOURS = (
    "#b4e1f0", "#ff8700", "#78c387", "#ff00b4", "#ffd200", "#1e87a5",
    "#ff0000", "#964bff", "#b45a69", "#d2a5e1", "#6996ff", "#00ff96",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")  # as matplotlib calls them
GREY = "#737373"  # what is not one of several: references, and rows that do not compete
# The order in which colours are dealt out, and markers when all colours are. The first twelve are
# those of most papers' tables; a new method is appended, so that no other changes its look.
DEALT = tuple(Path(__file__).with_name("dealt.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class Look:
    """A colour's place in `COLOURS`, and a marker of `MARKERS`."""

    place: int
    marker: str

    @property
    def colour(self) -> str:
        """The colour on white, as #rrggbb."""
        return COLOURS[self.place]

    @property
    def dark(self) -> str:
        """The colour on a dark page, as #rrggbb."""
        return DARK_COLOURS[self.place]


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each name.

    Where two names have one colour and one marker, the earlier keeps the marker and the later takes
    the next that is free: give built-in names first and those of others sorted, and all that are
    known rather than those of one figure. More than eight names of a colour share markers.
    """
    found: dict[str, Look] = {}
    used: set[Look] = set()
    for name in dict.fromkeys(names):
        place, first = _slot(name)
        turned = (Look(place, MARKERS[(first + k) % len(MARKERS)]) for k in range(len(MARKERS)))
        found[name] = next(
            (look for look in turned if look not in used), Look(place, MARKERS[first])
        )
        used.add(found[name])
    return found


def place_of(name: str) -> int:
    """The place of a name's colour in `COLOURS` and `DARK_COLOURS`, from 0."""
    return _slot(name)[0]


def colour_of(name: str, dark: bool = False) -> str:
    """The colour of a name as #rrggbb, on white or on a dark page."""
    return (DARK_COLOURS if dark else COLOURS)[place_of(name)]


def _slot(name: str) -> tuple[int, int]:
    """The places of a name's colour and of its first marker."""
    if name in DEALT:
        number = DEALT.index(name)
    else:  # markers that no name of the list has
        dealt = -(-len(DEALT) // len(COLOURS)) * len(COLOURS)
        digest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
        number = dealt + digest % (len(COLOURS) * len(MARKERS) - dealt)
    marker, place = divmod(number, len(COLOURS))
    return place, marker

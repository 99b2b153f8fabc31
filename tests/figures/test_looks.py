"""Colours and markers by name: stable, and told apart."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter

import pytest

from promptbench.analysis.figures import Drawing
from promptbench.analysis.rows import Number
from promptbench.core.registry import METHODS
from promptbench.core.registry.registry import BUILT_IN
from promptbench.figures.looks import (
    COLOURS,
    DARK_COLOURS,
    DEALT,
    MARKERS,
    Look,
    colour_of,
    looks,
    place_of,
)
from promptbench.report.series import styles_of

# What a table of most papers holds.
USUAL = ("zeroshot", "coop", "cocoop", "kgcoop", "maple", "promptsrc", "tcp", "mmrl", "mmrlpp")
# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
CONES: dict[str, list[list[float]]] = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# OKLab (Ottosson 2020), from linear RGB.
TO_LMS = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def times(matrix: list[list[float]], vector: list[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def seen(colour: str, cones: str) -> list[float]:
    light = [min(1.0, max(0.0, part)) for part in times(CONES[cones], linear(colour))]
    return times(TO_LAB, [math.cbrt(part) for part in times(TO_LMS, light)])


@pytest.mark.parametrize("colours", [COLOURS, DARK_COLOURS], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("cones", "least"), [("all", 0.15), ("protan", 0.09), ("deutan", 0.075), ("tritan", 0.075)]
)
def test_everybody_can_tell_the_colours_apart(
    colours: tuple[str, ...], cones: str, least: float
) -> None:
    pairs = itertools.combinations([seen(colour, cones) for colour in colours], 2)
    assert min(math.dist(*pair) for pair in pairs) >= least


@pytest.mark.parametrize(("colours", "page"), [(COLOURS, "#ffffff"), (DARK_COLOURS, "#11151a")])
def test_colours_stand_out_from_their_page(colours: tuple[str, ...], page: str) -> None:
    def lightness(colour: str) -> float:
        return times([[0.2126, 0.7152, 0.0722]], linear(colour))[0] + 0.05

    ratios = [lightness(colour) / lightness(page) for colour in colours]
    assert min(max(ratio, 1 / ratio) for ratio in ratios) > 2.2


def test_a_colour_hangs_on_the_name_only() -> None:
    assert colour_of("coop") == COLOURS[1]  # a figure drawn today matches one of tomorrow
    assert colour_of("coop", dark=True) == DARK_COLOURS[1]
    for others in ([], METHODS.names(), ["strange", "coop", "another"]):
        found = looks([*others, "coop", "somebodys_plugin"])
        assert found["coop"] == Look(1, "o")
        assert found["somebodys_plugin"].place == place_of("somebodys_plugin")


def built_in() -> list[str]:
    return [name for name in METHODS.names() if METHODS.provider(name) == BUILT_IN]


def test_every_method_that_comes_along_has_a_look_of_its_own() -> None:
    assert sorted(DEALT) == built_in(), "append a new method to figures/dealt.txt"
    found = looks(built_in())
    assert len(set(found.values())) == len(built_in())
    assert looks(reversed(built_in())) == found, "nobody had to move"
    assert len({found[name].colour for name in USUAL}) == len(USUAL)
    most = Counter(look.colour for look in found.values()).most_common(1)[0][1]
    assert most == -(-len(built_in()) // len(COLOURS)), "colours are used evenly"


def test_no_stranger_looks_like_a_method_that_comes_along() -> None:
    ours = set(looks(DEALT).values())
    strangers = [f"plugin_{number}" for number in range(200)]
    own = [looks([name])[name] for name in strangers]
    assert not ours.intersection(own)
    assert {look.colour for look in own} == set(COLOURS), "any colour may be a stranger's"
    assert looks([*DEALT, "plugin_7"])["plugin_7"] == looks(["plugin_7"])["plugin_7"]


def test_no_two_rows_of_a_figure_look_alike() -> None:
    pytest.importorskip("matplotlib")
    methods = [*DEALT, "zeroshot", "coop", "coop", "coop", "coop", "somebodys", "somebodys"]
    styles = styles_of(methods)
    assert len({tuple(style.values()) for style in styles}) == len(methods)
    assert {s["color"] for s, m in zip(styles, methods, strict=True) if m == "coop"} == {COLOURS[1]}
    names = [f"{method} {number}" for number, method in enumerate(methods)]
    rows = [
        Number(name, method, "shapes", 1, None, "base", "", None, "", "ratio", 1.0)
        for name, method in zip(names, methods, strict=True)
    ]
    series = Drawing.of_rows(rows, True, names).styled()
    assert len({(style["color"], style["marker"]) for _, style in series}) == len(methods)


def test_a_later_name_moves_and_the_earlier_stays() -> None:
    names = METHODS.names()
    first = looks(names)
    strangers = [f"plugin_{number}" for number in range(96 - len(names))]
    found = looks(names + strangers)
    assert {name: found[name] for name in names} == first
    several = [name for name in found if found[name].place == 0]
    assert len({found[name].marker for name in several[: len(MARKERS)]}) == min(
        len(several), len(MARKERS)
    )


def test_more_names_than_looks() -> None:
    found = looks(f"plugin_{number}" for number in range(500))
    assert len(found) == 500
    assert len(set(found.values())) == len(COLOURS) * len(MARKERS)


def test_looks_need_no_matplotlib() -> None:
    code = "import sys, promptbench.figures.looks; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""The contract of protocols: every one keeps it, and each point is broken by what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.contract.protocols import CHECKS, SETTINGS, checkup
from promptbench.core.registry import PROTOCOLS

PLUGINS = Path(__file__).parents[1] / "protocols" / "plugins"
FILES = sorted(PLUGINS.glob("*.py"))


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_every_protocol_keeps_the_contract(name: str) -> None:
    assert [v for v in checkup(PROTOCOLS.load(name)) if not v.held] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_protocol_of_a_file_keeps_the_contract(path: Path) -> None:
    plugin = PROTOCOLS.load(PROTOCOLS.add_file(path))
    assert [v for v in checkup(plugin) if not v.held] == []


SOUND = """
import itertools
import random
from promptbench.api import (Column, Leg, Protocol, Source, Target, mean_of, score)

COUNT = itertools.count()


class Sound(Protocol):
    title, version = "Sound", 1
    cache = {}

    def __init__(self, datasets=("counts", "colors")):
        self.datasets = datasets

    def legs(self, shots, only=None):
        names = only or self.datasets
        return [Leg(Source(d, "base", shots), self.targets(d)) for d in names]

    def targets(self, d):
        return (Target(d, "base", "none"), Target(d, "new", "classes"))

    def columns(self, legs):
        found = [
            Column(leg.source.dataset, t.classes, score(leg.source, t), leg.source.shots)
            for leg in legs for t in leg.targets
        ]
        if not found:
            return []
        return [*found, Column("Mean", "all", mean_of(found), found[0].shots, None, tuple(found))]
"""
LEGS = "        names = only or self.datasets\n"
COLUMNS = "        if not found:\n            return []\n"
NEW = 'Target(d, "new", "classes")'

# What is changed, into what; which point breaks, and what it says.
BROKEN = [
    ('"Sound", 1', '"Sound", 1.5', "a whole version", "its version is 1.5"),
    ('"Sound", 1', '"Sound", True', "a whole version", "its version is True"),
    ('"Sound", 1', '" ", 1', "a title", "its title is not text"),
    ("cache = {}", "trains_as = 'nope'", "", "unknown protocol 'nope'"),
    ("cache = {}", "selection = 'lasst'", "selection rule", "you mean 'last'?"),
    ("cache = {}", "split_known = None", "It has a title", "split_known is None"),
    ('(self, datasets=("counts", "colors"))', "(self, datasets)", "", "datasets"),
    (
        "    cache = {}\n",
        "    def shot_counts(self, usual):\n        return (0, 4)\n",
        "counts of shots",
        "a count of shots is 0",
    ),
    (
        "    cache = {}\n",
        "    def shot_counts(self, usual):\n        return (4, 4)\n",
        "counts of shots",
        "gives one twice: [4, 4]",
    ),
    ('"base", shots)', '"base", shots + (shots == 1))', "one asked", "legs of 1 shots"),
    ('"base", shots)', '"base", 8)', "counts of shots", "legs of 16 shots have sources of [8]"),
    (
        LEGS,
        LEGS + "        names = random.sample(list(names), 1)\n",
        "the same each time",
        "other legs",
    ),
    (
        LEGS,
        LEGS + "        names = [*names, *(['fills'] if next(COUNT) % 2 else [])]\n",
        "the same each time",
        "give",
    ),
    (LEGS, "        names = self.datasets\n", "`only` keeps", "legs have colors as well"),
    (LEGS, LEGS + "        names = names[:1]\n", "`only` keeps", "no leg has"),
    ("for d in names]", "for d in names] * 2", "A source has one leg", "several legs learn from"),
    (NEW, f"{NEW}, {NEW}", "a target of a leg one key", "/new more than once"),
    ('"base", shots)', '"bas", shots)', "Class sets hold", "unknown class set 'bas'"),
    (
        "    cache = {}\n",
        "    def class_sets(self):\n        return {'rest': lambda n: [0]}\n",
        "Class sets hold",
        "no leg uses the class set rest",
    ),
    (NEW, 'Target(d, "all", "classes", names="base")', "Class sets hold", "2 are not among"),
    (NEW, 'Target(d, "new", "none")', "says so", "says shift none, but 2 of its classes"),
    (
        '(Target(d, "base", "none"), Target(d, "new", "classes"))',
        '(Target(d, "base", "none", names="all"), Target(d, "new", "classes", names="all"))',
        "no split is known",
        "set split_known = False",
    ),
    (
        "score(leg.source, t), leg",
        "score(Source('dtd', 'base', 16), t), leg",
        "has a value when all",
        "is None with all scores there",
    ),
    (
        "score(leg.source, t), leg",
        "lambda scores: 50.0, leg",
        "has a value when all",
        "follows from no score",
    ),
    (
        "mean_of(found), found",
        "lambda s: sum(s.values()) / 4, found",
        "none when one of its own",
        "on which it depends",
    ),
    (", found[0].shots, None", ", 3, None", "has a value when all", "has 3 shots"),
    ("t.classes, score", "'x', score", "one name", "several columns are called colors, x"),
    (
        "        return [*found, Column(",
        "        return [*found[:1], Column(",
        "averages come last",
        "sums up columns that are not in the table",
    ),
    (
        "tuple(found))]",
        "tuple(found))][::-1]",
        "averages come last",
        "an average stands before other columns",
    ),
    (COLUMNS, "", "legs of some records", "IndexError"),
    (
        "        if not found:\n",
        "        self.cache[len(legs)] = 1\n        if not found:\n",
        "Nothing in it changes",
        "cache",
    ),
    (
        "self.datasets = datasets",
        "self.datasets, self.rule = datasets, (lambda n: n)",
        "worker processes",
        "pickle",
    ),
]


def points_of(text: str, tmp_path: Path) -> dict[str, str]:
    """The broken points of a protocol with this text, with what they say."""
    path = tmp_path / "sound.py"
    path.write_text(text)
    plugin = PROTOCOLS.load(PROTOCOLS.add_file(path))
    return {verdict.point: verdict.detail for verdict in checkup(plugin) if not verdict.held}


def test_the_protocol_that_is_broken_below_is_sound(tmp_path: Path) -> None:
    assert points_of(SOUND, tmp_path) == {}


@pytest.mark.parametrize(("old", "new", "point", "said"), BROKEN)
def test_what_breaks_a_point_is_found(
    old: str, new: str, point: str, said: str, tmp_path: Path
) -> None:
    assert SOUND.count(old) == 1
    broken = points_of(SOUND.replace(old, new), tmp_path)
    assert [detail for name, detail in broken.items() if point in name and said in detail], broken


def test_every_point_is_broken_by_something() -> None:
    told = [(check.__doc__ or "").strip().splitlines()[0] for check in CHECKS]
    assert all(any(point in line for _, _, point, _ in BROKEN if point) for line in told)
    assert len(set(told)) == len(told) and all(line.endswith(".") for line in (*told, SETTINGS))


def test_check_says_what_held_and_broke(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["check", str(FILES[0])])
    assert done.exit_code == 0 and "12 of 12 points hold" in done.output
    path = tmp_path / "sound.py"
    path.write_text(SOUND.replace(NEW, 'Target(d, "new", "none")'))
    done = CliRunner().invoke(main, ["check", str(path)])
    assert done.exit_code == 1 and "11 of 12 points hold, 1 broke" in done.output
    assert "BROKE" in done.output and "--seed" not in done.output
    done = CliRunner().invoke(main, ["check", "base_to_nw"])
    assert done.exit_code == 2
    assert "unknown method, protocol or metric 'base_to_nw'; did you mean" in done.output
    rule = PLUGINS.parents[1] / "selections" / "lowest_loss.py"
    done = CliRunner().invoke(main, ["check", str(rule)])
    assert done.exit_code == 2
    assert "is a selection rule; give a method, protocol or metric" in done.output


def test_a_protocol_is_checked_with_the_rule_that_it_names() -> None:
    folder = PLUGINS.parents[1] / "selections"
    asked = ["check", str(folder / "by_lowest_loss.py")]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 1 and "11 of 12 points hold" in done.output
    done = CliRunner().invoke(main, [*asked, "--plugin", str(folder / "lowest_loss.py")])
    assert done.exit_code == 0 and "12 of 12 points hold" in done.output

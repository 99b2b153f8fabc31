"""The points of the contract on a protocol, each a check of a bench.

A check returns what it found or raises `Broken` with what broke and where. They know nothing of any
particular protocol.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from promptbench.contract.protocol_bench import SHOTS, ProtocolBench, scores_of
from promptbench.contract.traces import difference, traces
from promptbench.contract.verdicts import require
from promptbench.core import selection
from promptbench.core.class_sets import STANDARD, check_names
from promptbench.core.protocol import Column, Leg, Source, Target
from promptbench.core.registry import PROTOCOLS
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.support.prose import counted
from promptbench.support.seeding import seeded


def it_says_what_it_is(bench: ProtocolBench) -> str:
    """It has a title, a whole version from 1 on, a selection rule, and needs no arguments."""
    cls = bench.plugin.cls
    require(isinstance(cls.title, str) and bool(cls.title.strip()), "its title is not text")
    version = getattr(cls, "version", None)
    require(type(version) is int and version >= 1, f"its version is {version!r}, not 1, 2, ...")
    rule = selection.of_protocol(bench.plugin)
    for name in ("split_known", "shots_together"):
        value = getattr(cls, name)
        require(isinstance(value, bool), f"{name} is {value!r}, not True or False")
    known = PROTOCOLS.names()
    require(cls.trains_as in (None, *known), f"trains_as names {cls.trains_as!r}, no protocol here")
    cls()  # reports make it so, to read its columns
    return f"{cls.title}, version {version}, {rule.cls.title}"


def counts_of_shots_make_sense(bench: ProtocolBench) -> str:
    """Its counts of shots are whole numbers from 1 on, each once, and legs have the one asked."""
    for suite in bench.suites():
        protocol = bench.made(suite)
        counts = protocol.shot_counts(SHOTS)
        require(len(counts) > 0, "shot_counts gives none")
        for count in counts:
            require(type(count) is int and count >= 1, f"a count of shots is {count!r}")
        for count in (*counts, 1, 5):  # --shots asks for any
            legs = protocol.legs(count, bench.only(suite))
            other = {leg.source.shots for leg in legs} - {count}
            require(not other, f"legs of {count} shots have sources of {sorted(other)}")
        require(len(set(counts)) == len(counts), f"shot_counts gives one twice: {list(counts)}")
    return f"{', '.join(map(str, counts))} where {SHOTS} are usual"


def legs_are_the_same_each_time(bench: ProtocolBench) -> str:
    """Legs and class sets are the same each time, whatever was drawn or asked before."""
    for suite in bench.suites():
        found = []
        for seed in (1, 2):
            with seeded(seed, "check"):
                found.append(bench.legs(suite))
        require(found[0] == found[1], f"in suite {suite}, two calls give other legs")
        protocol, only = bench.made(suite), bench.only(suite)
        first = protocol.legs(SHOTS, only)
        protocol.columns(first)
        again = protocol.legs(SHOTS, only)
        require(first == again, f"in suite {suite}, the same protocol gives other legs later")
    every = [leg for _, leg in bench.every_leg()]
    targets = sum(len(leg.targets) for leg in every)
    return f"{counted(len(every), 'leg')}, {counted(targets, 'target')}"


def legs_are_for_the_datasets_asked(bench: ProtocolBench) -> str:
    """`only` keeps the datasets that are asked for, and no others but the one source of all."""
    asked = 0
    for suite in bench.suites():
        whole = bench.legs(suite)
        able = _askable(whole)
        for only in (able[:1], able[-2:], bench.others(suite)):
            try:
                legs = bench.made(suite).legs(SHOTS, only)
            except UserError:  # it may refuse datasets that are not its own
                require(only == bench.others(suite), f"it refuses {', '.join(only)}, its own")
                continue
            used = {t.dataset for leg in legs for t in leg.targets}
            used |= {leg.source.dataset for leg in legs}
            missing, others = set(only) - used, used - set(only) - _fixed(whole)
            require(not missing, f"asked for {', '.join(only)}, no leg has {_some(missing)}")
            require(not others, f"asked for {', '.join(only)}, legs have {_some(others)} as well")
            asked += 1
    return f"{counted(asked, 'selection')} of datasets"


def _askable(legs: Sequence[Leg]) -> list[str]:
    """The datasets that can be asked for: those scored, without the source of all legs."""
    scored = dict.fromkeys(t.dataset for leg in legs for t in leg.targets)
    return [name for name in scored if name not in _fixed(legs)] or list(scored)


def _fixed(legs: Sequence[Leg]) -> set[str]:
    """The dataset that all legs learn from, whatever is asked for; empty if there are several."""
    sources = {leg.source.dataset for leg in legs}
    return sources if len(sources) == 1 else set()


def keys_are_unique(bench: ProtocolBench) -> str:
    """A source has one leg, a target of a leg one key."""
    every = list(bench.every_leg())
    for suite in bench.suites():
        sources = Counter(leg.source for own, leg in every if own == suite)
        twice = [f"{s.key} with {s.shots} shots" for s, n in sources.items() if n > 1]
        require(not twice, f"several legs learn from {_some(twice)}: score all in one leg")
    for _, leg in every:
        keys = Counter(target.key for target in leg.targets)
        require(bool(keys), f"the leg of {leg.source.key} has no target")
        twice = [key for key, n in keys.items() if n > 1]
        require(not twice, f"the leg of {leg.source.key} has {_some(twice)} more than once")
    return f"{len({t.key for _, leg in every for t in leg.targets})} targets"


def class_sets_hold(bench: ProtocolBench) -> str:
    """Class sets hold for its datasets: labels are classes, images are among the names scored."""
    names: dict[str, None] = {}
    for suite in bench.suites():
        rules = bench.made(suite).class_sets()
        check_names(list(rules), "it")
        names |= dict.fromkeys(rules)
    used: set[str] = set()
    for _, leg in bench.every_leg():  # labels are filled in, and checked, on the way
        used |= {leg.source.classes}
        used |= {name for t in leg.targets for name in (t.classes, t.scored_over)}
    unused = [name for name in names if name not in used]
    require(not unused, f"no leg uses the class set {_some(unused)}")
    return ", ".join(sorted(used, key=lambda name: [*STANDARD, *names].index(name)))


def shifts_say_what_was_learned(bench: ProtocolBench) -> str:
    """A target with classes that were not learned says so, and no split is known where it is open.

    Decoupled inference goes by the shift: of images that compete among the same names it may not
    know which were learned.
    """
    for _, leg in bench.every_leg():
        for target in leg.targets:
            new = _not_learned(leg.source, target)
            require(
                target.shift != "none" or not new,
                f"{target.key} says shift none, but {new} of its classes are not learned from "
                f"{leg.source.key}",
            )
        over: dict[Any, set[str]] = {}
        for t in leg.targets:
            over.setdefault((t.dataset, t.scored_over), set()).add(t.shift)
        mixed = [f"{name} names of {data}" for (data, name), all_ in over.items() if len(all_) > 1]
        require(
            not (mixed and bench.plugin.cls.split_known),
            f"images of several shifts compete among the {_some(mixed)}: set split_known = False",
        )
    return "split known" if bench.plugin.cls.split_known else "no split known"


def _not_learned(source: Source, target: Target) -> int:
    """How many classes of a target's images the source does not have; by name, of other data."""
    names = cards.class_names(source.dataset)
    learned = {names[label] for label in source.labels_in(len(names))}
    theirs = cards.class_names(target.dataset)
    return sum(theirs[label] not in learned for label in target.labels_in(len(theirs)))


def columns_follow_from_scores(bench: ProtocolBench) -> str:
    """Every column has a value when all scores are there, and none when one of its own is not."""
    number = 0
    for suite in bench.suites():
        legs = bench.legs(suite)
        scores = scores_of(legs)
        for column in _columns(bench, suite, legs):
            number += 1
            name, value = f"the column {_called(column)}", column.value(dict(scores))
            require(_is_number(value), f"{name} is {value!r} with all scores there")
            needed = [k for k in scores if column.value(scores | {k: scores[k] - 7}) != value]
            require(bool(needed), f"{name} follows from no score of the legs")
            for key in needed:
                less = column.value({k: v for k, v in scores.items() if k != key})
                require(less is None, f"{name} is {less!r} without {key[2]}, on which it depends")
            counts = {key[1] for key in needed}
            require(column.shots in counts, f"{name} has {column.shots} shots, its scores {counts}")
    return counted(number, "column")


def columns_are_told_apart(bench: ProtocolBench) -> str:
    """No two columns have one name, and averages come last, over columns that are shown."""
    averages = 0
    for suite in bench.suites():
        columns = _columns(bench, suite, bench.legs(suite))
        names = Counter((c.group, c.title, c.shots) for c in columns)
        twice = [f"{group}, {title}" for (group, title, _), n in names.items() if n > 1]
        require(not twice, f"several columns are called {_some(twice)}")
        for shots in dict.fromkeys(c.shots for c in columns):
            own = [bool(c.members) for c in columns if c.shots == shots]
            require(own == sorted(own), f"in suite {suite}, an average stands before other columns")
            averages += sum(own)
        shown = {id(column) for column in columns}
        lost = [_called(c) for c in columns if any(id(m) not in shown for m in c.members)]
        require(not lost, f"{_some(lost)} sums up columns that are not in the table")
    return counted(averages, "average")


def tables_of_some_records_have_columns(bench: ProtocolBench) -> str:
    """Columns are there for the legs of some records, and for none."""
    for suite in bench.suites():
        legs = bench.legs(suite)
        require(list(_columns(bench, suite, [])) == [], "there are columns without any leg")
        asked = bench.made(suite).legs(SHOTS, _askable(legs)[-1:])
        for some in (legs[:1], legs[-1:], legs[::-1], asked):
            found = _columns(bench, suite, some)
            require(bool(found), f"there are no columns for the leg of {some[0].source.key}")
            scores = scores_of(some)
            without = [_called(c) for c in found if c.value(scores) is None]
            of_first = f"with records of {', '.join(leg.source.key for leg in some[:3])} only"
            require(not without, f"{of_first}, {_some(without)} has no value")
    return "of the first, the last, all legs, and one dataset"


def it_holds_nothing_of_what_was_asked(bench: ProtocolBench) -> str:
    """Nothing in it changes when it is asked, and it can be sent to worker processes."""
    for suite in bench.suites():
        protocol, legs = bench.made(suite), bench.legs(suite)
        before = traces(protocol, None)
        for count in protocol.shot_counts(SHOTS):
            protocol.legs(count, bench.only(suite))
        protocol.class_sets()
        protocol.columns(legs)
        change = difference(before, traces(protocol, None))
        require(change is None, f"it is asked, and {change}")
        again = pickle.loads(pickle.dumps(protocol))
        require(
            again.legs(SHOTS, bench.only(suite)) == protocol.legs(SHOTS, bench.only(suite)),
            "sent to another process, it has other legs",
        )
    change = difference(bench.untouched, bench.held())
    require(change is None, f"since it was first asked, {change}")
    return f"{len(bench.untouched)} values compared"


def _columns(bench: ProtocolBench, suite: str, legs: Sequence[Leg]) -> list[Column]:
    return list(bench.made(suite).columns(legs))


def _called(column: Column) -> str:
    return f"{column.group}, {column.title}" if column.group else column.title


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _some(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")

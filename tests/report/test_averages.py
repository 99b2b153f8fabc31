"""How many datasets a printed average is over, and the range of several sources."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from promptbench.core.protocol import Leg
from promptbench.mixing import Variant
from promptbench.records import Record
from promptbench.records.scores import load
from promptbench.report import assemble, averages, flat, published, ranges, text, tracks
from promptbench.report.averages import counted
from promptbench.report.build import build
from promptbench.report.marks import marked
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate
from tests.made_records import record

TEN = [f"d{i}" for i in range(10)]
MEAN = ("Average", "test", "16")


def printed(values: dict[str, float], average: float) -> dict[tuple[str, str, str], str]:
    found = {(name, "test", "16"): f"{value:.2f}" for name, value in values.items()}
    return {**found, MEAN: f"{average:.2f}"}


def row(source: float, targets: list[float], average: float) -> int | None:
    values = {"source": source, **dict(zip(TEN, targets, strict=True))}
    return counted(printed(values, average), MEAN, TEN)


VALUES = st.lists(st.integers(2000, 9900).map(lambda n: n / 100), min_size=10, max_size=10)


@given(VALUES)
def test_an_average_is_over_what_it_is_the_mean_of(targets: list[float]) -> None:
    mean = statistics.fmean(targets)
    assert row(mean + 11, targets, mean) == 10
    assert row(mean + 11, targets, mean + 1) == 11  # the source moves the mean by one
    assert row(mean + 11, targets, mean + 0.5) is None


def test_an_average_alone_is_over_what_its_source_says() -> None:
    alone = {MEAN: "66.12"}
    assert counted(alone, MEAN, TEN) is None
    assert counted(alone, MEAN, TEN, {MEAN: 11}) == 11
    some = {(name, "test", "16"): "66.12" for name in TEN[:3]} | alone
    assert counted(some, MEAN, TEN) == 3


def test_a_harmonic_mean_is_over_what_its_averages_are_over() -> None:
    values = {
        (name, split, "16"): number
        for split, number in (("base", "80.01"), ("new", "70.02"))
        for name in (*TEN, "Average")
    }
    hm = ("Average", "hm", "16")
    assert counted({**values, hm: "74.68"}, hm, TEN) == 10
    assert counted({**values, hm: "74.68", ("Average", "new", "16"): "71.02"}, hm, TEN) is None


def test_one_decimal_allows_more() -> None:
    assert averages.tolerance(["81.10"] * 6) > 0.1 > averages.tolerance(["81.10"] * 5 + ["81.12"])


def over(protocol: str, method: str) -> list[tuple[float, int | None, str]]:
    """(value, datasets, slip) of the last column of a method's published rows."""
    found = assemble.without_records(protocol, "clip", [method])
    return [
        (entry.mean, r.over[-1], r.slips[-1])
        for r in found.rows
        if r.kind == "published" and (entry := r.entries[-1]) is not None
    ]


def test_averages_with_the_source_are_told_from_those_without() -> None:
    ((value, count, slip),) = over("cross_dataset", "cocoop+atprompt")
    assert (value, count) == (66.59, 11) and "of the 10 targets it is 66.12" in slip
    ((value, count, slip),) = over("cross_dataset", "maple+atprompt")
    assert count is None and "66.39" in slip
    assert [count for _, count, _ in over("cross_dataset", "coop")] == [10, 10]
    assert over("base_to_new", "proda") == [(76.65, 11, "")]  # the README says: 11 datasets
    assert [count for _, count, _ in over("base_to_new", "prolip")] == [None, None]


def test_no_difference_is_shown_to_an_average_over_other_datasets() -> None:
    suite = assemble.suites.load("clip")
    protocol, legs = assemble.usual("cross_dataset", suite, 16)
    records = [whole(seed, legs[0]) for seed in (1, 2, 3)]
    found = build(records, "cross_dataset", protocol, legs, suite)
    own = next(r for r in found.rows if r.kind == "ours")
    (paper,) = (r for r in found.rows if r.kind == "published")
    assert own.entries[-1] is not None and paper.entries[-1] is not None
    assert paper.differences[-1] is None and paper.differences[0] is not None


def whole(seed: int, leg: Leg) -> Record:
    """A record of all targets of a leg, by a method of which a paper averages otherwise."""
    made = record(seed, 60 + seed, "coop")
    first = made.targets[0]
    changes = [{"dataset": t.dataset, "shift": t.shift} for t in leg.targets]
    return made.model_copy(
        update={
            "method": made.method.model_copy(update={"name": "rmadapter"}),
            "targets": [first.model_copy(update=change) for change in changes],
        }
    )


def sources(*values: float | None, over: tuple[int | None, ...] = ()) -> Table:
    """A table of one method with one column, an average of ten."""
    variant = Variant("m", "unified", "paper", (), 0)
    rows = [Row("M", "end-to-end", "ours", (None,), variant=variant)]
    for i, value in enumerate(values):
        entry = None if value is None else Estimate(value, None, 0)
        count = over[i : i + 1] or (None,)
        facts = {"source": f"s{i}", "origin": "re-run", "variant": variant, "over": count}
        rows.append(Row("M", "end-to-end", "published", (entry,), **facts))  # type: ignore[arg-type]
    heading = Heading("", "Average", 16, True, tuple(range(10)))
    return Table("t", "p", load(), (heading,), tuple(rows))


def range_lines(table: Table) -> list[tuple[str, str]]:
    found = text.lines(table, table.rows)
    return [(line.title, line.cells[0]) for line in found if line.kind == "range"]


def test_several_sources_have_a_range() -> None:
    assert range_lines(sources(81.75, 80.6, 81.0)) == [("range of 3 sources", "80.60–81.75")]
    assert range_lines(sources(81.75, 81.75)) == [("range of 2 sources", "81.75")]
    assert range_lines(sources(81.75)) == [] == range_lines(sources(81.75, None))
    assert range_lines(sources(81.75, 80.6, over=(10, 11))) == []
    assert range_lines(sources(81.75, 80.6, over=(10, None))) != []
    assert not ranges.notes(sources(81.75).rows) and ranges.notes(sources(81.75, 80.6).rows)


def test_programs_get_the_range_beside_our_number() -> None:
    first, *others = flat.rows([sources(81.75, 80.6, over=(10, 10))])
    assert (first["published_low"], first["published_high"]) == (80.6, 81.75)
    assert [(o["published_low"], o["datasets"]) for o in others] == [(None, 10), (None, 10)]


def test_the_report_of_the_suite_shows_ranges_slips_and_tracks() -> None:
    found = assemble.without_records("base_to_new", "clip", ["hicropl", "promptsrc"])
    lines = text.lines(found, found.rows)
    assert [line.cells[-1] for line in lines if line.kind == "range"] == [
        "78.87–79.97", "80.60–81.75"
    ]  # fmt: skip
    assert [name for name, _ in found.sections()] == ["end-to-end", "end-to-end, LLM text"]
    notes = "\n".join(text.footnotes(found))
    assert "¶ PromptSRC, oxford_pets HM: printed HM does not follow from base and new" in notes
    assert any(cell == "96.24¶" for line in lines for cell in line.cells)
    assert all("printed" not in r.note for r in found.rows)


def test_the_track_is_that_of_papers_or_of_the_methods_own_words() -> None:
    def track(name: str, extra: str | None, provider: str = "theirs") -> str:
        own = {"name": name, "extra_data": extra, "provider": provider}
        method = record().method.model_copy(update=own)
        return tracks.of_record(record().model_copy(update={"method": method}))

    assert track("ivlp", None, "promptbench") == track("mine", "none") == "inductive"
    assert track("tcp", "none") == "inductive" != track("tcp", "LLM text")
    assert track("hicropl", "none") == "LLM text" and track("promptkd", None) == "transductive"
    assert track("mine", "sentences of a language model") == track("mine", None) == "other data"


def test_rows_of_different_tracks_do_not_compete() -> None:
    names = {"a": 80.0, "b": 70.0, "c": 90.0, "d": 60.0}
    rows = {
        Variant(name, "unified", "paper", (), 0): Row(
            name, "p", "ours", (Estimate(mean, None, 1),), n=1,
            track="inductive" if name in "ab" else "LLM text",
        )
        for name, mean in names.items()
    }  # fmt: skip
    found, notes = marked(rows, load())
    assert [v.method for v, r in found.items() if r.best] == ["a", "c"]
    assert [v.method for v, r in found.items() if r.second] == ["b", "d"]
    assert "rows of different tracks" in notes[0]
    alike = {v: Row(r.title, "p", "ours", r.entries, n=1) for v, r in rows.items()}
    found, notes = marked(alike, load())
    assert [v.method for v, r in found.items() if r.best] == ["c"] and "tracks" not in notes[0]


def test_published_methods_say_their_parts() -> None:
    found = published.methods()
    assert found["coop+dept"].parts == ("coop", "dept") and found["coop"].parts == ()

"""The tables of a pile of records, and those of only published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench import mixing
from promptbench.config import suites
from promptbench.config.suites import Suite
from promptbench.core.protocol import Leg, Protocol
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning import standing
from promptbench.planning.legs import legs_of
from promptbench.planning.settings import known_names, load_protocol
from promptbench.records import Record
from promptbench.records.scores import Scorer
from promptbench.report import gather, published
from promptbench.report.build import build
from promptbench.report.naming import Titles
from promptbench.report.table import Table


def of_records(
    records: Sequence[Record],
    printed: Sequence[str] = (),
    titles: Titles | None = None,
    scorer: Scorer | None = None,
    among: Sequence[Record] | None = None,
) -> list[Table]:
    """One table per group of records that may stand together (see `promptbench.mixing`).

    With `printed` methods, the tables of comparable suites have all of the suite's datasets and
    these methods' published numbers, whether there is a record or not. `titles` name and order rows
    (see `naming`). Values are those of the `scorer`'s metric, by default the usual one. `among` are
    all records that are shown together, where these are a part: names tell their weights apart.
    """
    return [
        _of_group(mixing.latest(group), printed, titles or {}, among or records, scorer)
        for group in mixing.tables(records)
    ]


def without_records(
    name: str, suite_name: str, printed: Sequence[str], scorer: Scorer | None = None
) -> Table:
    """The published numbers of a protocol, with dashes for ours.

    Raises:
        UserError: a suite that stands for itself, or a protocol that nobody prints.
    """
    suite = suites.load(suite_name)
    if not suite.comparable:
        raise UserError(f"suite {suite.name!r} has no published numbers, and there are no records")
    protocol, legs = usual(name, suite, None)
    named = [published.called(method) for method in printed]
    found = build([], name, protocol, legs, suite, named, scorer=scorer)
    if not found.rows:
        raise UserError(
            f"no numbers are published under {name} for these methods and metric, and there are no "
            "records"
        )
    return found


def _of_group(
    records: Sequence[Record],
    printed: Sequence[str],
    titles: Titles,
    among: Sequence[Record],
    scorer: Scorer | None,
) -> Table:
    first = records[0]
    suite = standing.of_records(records)
    protocol, whole = usual(first.protocol.name, suite, first.source.shots)
    legs = gather.legs_of(records, whole)
    known = {leg.source for leg in whole}
    if printed and suite.comparable and all(leg.source in known for leg in legs):
        legs = whole
    name = first.protocol.name
    return build(records, name, protocol, legs, suite, printed, titles, among, scorer)


def usual(name: str, suite: Suite, shots: int | None) -> tuple[Protocol, list[Leg]]:
    """The protocol with the suite's datasets, and its legs for `shots` (None: the suite's)."""
    protocol = load_protocol(name, suite.name, known_names([PROTOCOLS.load(name)]))
    counts = protocol.shot_counts(suite.shots if shots is None else shots)
    return protocol, [leg for count in counts for leg in legs_of(protocol, count)]


def printed_methods(wanted: Sequence[str] | None) -> list[str]:
    """The methods with published numbers, all or those wanted."""
    return [name for name in published.methods() if not wanted or name in wanted]

"""Two methods side by side: differences per dataset, and what paired tests say of them.

What is paired: both methods have the same few-shot subset, data order and test images for a dataset
 and a seed (the named streams of `promptbench.support.seeding`), so that a difference of scores
belongs to each (dataset, seed). Differences of one dataset share its test images and are not
independent evidence about other datasets; hence two tests that are never mixed:

- over seeds: the paired t-test of one column's differences, n = seeds (of a column that sums up
  others, this asks whether the average differs on these datasets);
- over datasets: the Wilcoxon signed-rank test of the datasets' differences, n = datasets.

A value is that of a table over the shared seeds: an HM is the harmonic mean of mean base and mean
new. p-values are two-sided, with Holm's adjustment over all rows beside them. An interval over
images and seeds comes from both methods' predictions (see `outcomes`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from promptbench import mixing
from promptbench.config import suites
from promptbench.core.metric import DEFAULT, Metric
from promptbench.core.protocol import Column, ScoreKey
from promptbench.errors import UserError
from promptbench.planning import standing
from promptbench.records import Record
from promptbench.records.scores import Folders, Scorer, load
from promptbench.report import assemble, gather, outcomes, tracks
from promptbench.report.build import columns_of, undefined_note
from promptbench.report.comparing import sides
from promptbench.report.outcomes import Resampled
from promptbench.report.rows import is_drawn, mean_scores, scores_by_seed
from promptbench.report.titles import shared, titles
from promptbench.statistics import (
    Ends,
    Estimate,
    PairedTest,
    estimate,
    holm,
    signed_rank_test,
    t_test,
)
from promptbench.support.safe_text import printable


@dataclass(frozen=True)
class Difference:
    """One column of both: values over the shared seeds, A minus B, and the test over seeds.

    `images` is the 95% interval of the difference over test images and seeds, or the reason why
    there is none. `across` is the test over the datasets that the column sums up; None for a
    single dataset. `holm` and `across_holm` are the p-values adjusted for all rows.
    """

    group: str
    title: str
    a: float
    b: float
    difference: Estimate
    images: Ends | str
    over_seeds: PairedTest
    across: PairedTest | None
    holm: float | None = None
    across_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two methods under one protocol, in one metric."""

    title: str
    metric: Metric
    a: str
    b: str
    seeds: tuple[int, ...]
    differences: tuple[Difference, ...]
    banner: str = ""
    shared: tuple[str, ...] = ()  # preset, limit and changed settings of both sides
    mixed: tuple[str, ...] = ()  # versions, devices and the like that are not the same everywhere
    remarks: tuple[str, ...] = ()  # that they share no ranking; scores that records do not have


def compare(
    a: Sequence[Record],
    b: Sequence[Record],
    folders: Folders | None = None,
    metric: Metric | None = None,
) -> list[Comparison]:
    """One comparison per table that both sides have a place in.

    `folders` say where predictions lie (see `outcomes`). Values are those of `metric`, by default
    the usual one.

    Raises:
        UserError: the sides share no protocol and suite, or no dataset and seed.
    """
    scorer = Scorer(metric or load(), folders or {})
    found = []
    for group in mixing.tables([*a, *b]):
        both = [mixing.latest(r for r in group if any(r is own for own in side)) for side in (a, b)]
        if all(both):
            comparison = _of_table(both[0], both[1], [*a, *b], scorer)
            if comparison.differences:
                found.append(comparison)
    remarks = scorer.remarks([*a, *b])
    if not found and remarks:
        raise UserError(f"there is nothing to compare; {'; '.join(remarks)}")
    if not found:
        raise UserError(
            "the two have no dataset and seed in common under the same protocol, suite, weights "
            f"and shots; there is nothing to compare: A has {sides.places(a)}; "
            f"B has {sides.places(b)}"
        )
    return found


def _of_table(
    a: Sequence[Record], b: Sequence[Record], among: Sequence[Record], scorer: Scorer
) -> Comparison:
    _refuse_unpaired(a, b)
    first = a[0]
    protocol, usual = assemble.usual(first.protocol.name, suites.load(first.suite), None)
    metric = scorer.metric
    columns = columns_of(protocol, gather.legs_of([*a, *b], usual), metric)
    named = {(r.backbone.name, gather.weights_called(r, among)) for r in among}
    backbone = ""
    if len(named) > 1:
        backbone = f", {first.backbone.name} ({gather.weights_called(first, among)})"
    scores = (scores_by_seed(a, scorer), scores_by_seed(b, scorer))
    both = shared([a, b])
    names = [printable(name) for name in titles([a, b], without=both)]
    drawn = is_drawn(a) or is_drawn(b)
    images = Resampled(outcomes.paired(a, b, names, scorer.folders, metric), metric)
    found = [
        difference
        for column in columns
        if (difference := _difference(column, scores, drawn, images, metric)) is not None
    ]
    return Comparison(
        title=f"{protocol.title} (v{protocol.version}), suite {first.suite}{backbone}"
        + ("" if metric.name == DEFAULT else printable(f", {metric.heading}")),
        metric=metric,
        a=names[0],
        b=names[1],
        seeds=tuple(sorted(set(scores[0]) & set(scores[1]))),
        differences=tuple(_adjusted(found)),
        banner=standing.of_records([*a, *b]).banner,
        shared=tuple(map(printable, both)),
        mixed=tuple(map(printable, mixing.between(a, b))),
        remarks=(
            *_apart(a, b),
            *undefined_note(columns, metric),
            *scorer.remarks([*a, *b]),
        ),
    )


def _apart(a: Sequence[Record], b: Sequence[Record]) -> list[str]:
    """That two sides share no ranking, and why; a pair may be compared nevertheless."""
    one, other = map(tracks.side_of, (a, b))
    if tracks.alike(one, other):
        return []
    told = f"{tracks.described(one)} (A), {tracks.described(other)} (B)"
    return [printable(f"A and B share no ranking: {told}")]


def _refuse_unpaired(a: Sequence[Record], b: Sequence[Record]) -> None:
    """Refuse sides that have not seen the same images."""
    others = mixing.clash(a, b)
    if others:
        raise UserError(
            f"A and B have not seen the same images or class names: {'; '.join(others)}; run one "
            "of them again on the data of the other"
        )
    seen = {_place(r): r for r in a}
    for r in b:
        other = seen.get(_place(r))
        if other is None:
            continue
        if r.source.keys != other.source.keys:
            raise UserError(
                f"the records of {r.source.dataset}, seed {r.seed} have other few-shot subsets: "
                "they cannot be paired"
            )


def _place(r: Record) -> tuple[str, str, int, int]:
    return (r.source.dataset, r.source.classes, r.source.shots, r.seed)


BySeed = Mapping[int, Mapping[ScoreKey, float]]


def _difference(
    column: Column,
    scores: tuple[BySeed, BySeed],
    drawn: bool,
    images: Resampled,
    metric: Metric,
) -> Difference | None:
    found = _means(column, scores)
    if found is None:
        return None
    a, b, by_seed = found
    differences = list(by_seed.values())
    members = [_means(member, scores) for member in column.members]
    return Difference(
        group=printable(column.group),
        title=printable(column.title),
        a=a,
        b=b,
        difference=estimate(a - b, differences, outcomes.bounds_of_difference(metric), drawn),
        images=images.interval(column, by_seed),
        over_seeds=t_test(differences, a - b),
        across=signed_rank_test([m[0] - m[1] for m in members if m]) if column.members else None,
    )


def _means(
    column: Column, scores: tuple[BySeed, BySeed]
) -> tuple[float, float, dict[int, float]] | None:
    """A column of A and of B over the seeds that both have it in, and each seed's difference."""
    by_seed = {
        seed: x - y
        for seed in sorted(set(scores[0]) & set(scores[1]))
        if (x := column.value(scores[0][seed])) is not None
        and (y := column.value(scores[1][seed])) is not None
    }
    a, b = (column.value(mean_scores(side[seed] for seed in by_seed)) for side in scores)
    return None if a is None or b is None else (a, b, by_seed)


def _adjusted(found: Sequence[Difference]) -> list[Difference]:
    """The differences with Holm's adjusted p-values, each kind of test a family of its own."""

    def raw(test: PairedTest | None) -> float:
        return math.nan if test is None or test.p is None else test.p

    def known(p: float) -> float | None:
        return None if math.isnan(p) else float(p)

    families = [[raw(d.over_seeds) for d in found], [raw(d.across) for d in found]]
    return [
        replace(d, holm=known(own), across_holm=known(across))
        for d, own, across in zip(found, *map(holm, families), strict=True)
    ]

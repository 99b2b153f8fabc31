"""The values of several metrics, of which each file of predictions is read once.

To read a file takes longer than any metric of it. Whoever asks for one value of a record therefore
has those of all metrics computed while its predictions are in memory, of one record at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from promptbench.core.answers import Answers
from promptbench.core.metric import Metric
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.records.parts import File, Folders, Part, file_of, parts_of, value_of
from promptbench.records.verify import read_answers

_Key = tuple[Metric, tuple[tuple[File, int], ...]]


class Values:
    """The values of `metrics` on parts of records whose predictions lie in `folders`."""

    def __init__(self, metrics: Sequence[Metric], folders: Folders) -> None:
        self.folders = folders
        self._read_from = tuple(metric for metric in metrics if metric.needs != "counts")
        self._known: dict[_Key, float | UserError | None] = {}

    def lack(self, metric: Metric, part: Part) -> str | None:
        """Why a part has no value, as far as it can be said without reading predictions."""
        if not part.defined:
            return "undefined"
        if metric.needs in ("probabilities", "mass") and part.labels_only:
            return "labels_only"
        if metric.needs == "counts" or all(file_of(t) in self.folders for t in part.targets):
            return None
        return "missing"

    def of(self, metric: Metric, record: Record, part: Part) -> float | None:
        """The value of one of the metrics on a part of a record that lacks nothing; None where it
        is not defined.

        Raises:
            UserError: predictions that are damaged, or the metric fails; those of other metrics
                wait until they are asked for.
        """
        if metric.needs == "counts":
            counts = [Answers.of_counts(t.correct, t.total) for t in part.targets]
            return value_of(metric, Answers.joined(counts), part.key)
        if _key(metric, part) not in self._known:
            self._compute(record)
        found = self._known[_key(metric, part)]
        if isinstance(found, UserError):
            raise found
        return found

    def _compute(self, record: Record) -> None:
        """Compute all metrics of a record that are not known."""
        by_key = {target.key: target for target in record.targets}

        @cache  # of this record only
        def answers(key: str) -> Answers:
            return read_answers(by_key[key], self.folders[file_of(by_key[key])])

        for metric in self._read_from:
            for part in parts_of(record, metric):
                key = _key(metric, part)
                if key in self._known or self.lack(metric, part) is not None:
                    continue
                try:
                    own = Answers.joined([answers(target.key) for target in part.targets])
                    self._known[key] = value_of(metric, own, part.key)
                except UserError as error:
                    self._known[key] = error


def _key(metric: Metric, part: Part) -> _Key:
    return metric, tuple((file_of(target), len(target.total)) for target in part.targets)

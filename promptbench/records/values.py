"""The values of several metrics, of which each file of predictions is read once.

To read a file takes longer than any metric of it. Whoever asks for one value of a record therefore
has those of all metrics computed while its predictions are in memory, of one record at a time.
Values of promptbench's own metrics may be remembered by the hashes of the files that they follow
from; a plugin may change under the same version, so that its values never are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, lru_cache

from promptbench.core.answers import Answers
from promptbench.core.metric import Metric
from promptbench.core.registry import BUILT_IN, METRICS
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.records.parts import File, Folders, Part, file_of, parts_of, value_of
from promptbench.records.verify import hash_of, read_answers
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered

_Key = tuple[Metric, tuple[tuple[File, int], ...]]
_Wanted = Sequence[tuple[Metric, Part]]


class Values:
    """The values of `metrics` on parts of records whose predictions lie in `folders`; `memory`
    holds those that were computed before."""

    def __init__(
        self, metrics: Sequence[Metric], folders: Folders, memory: Remembered | None = None
    ) -> None:
        self.folders = folders
        self._memory = memory
        self._read_from = tuple(metric for metric in metrics if metric.needs != "counts")
        self._own = tuple(metric for metric in self._read_from if _is_own(metric))
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
        """Find all metrics of a record that are not known: remembered, or from its predictions."""
        wanted = [
            (metric, part)
            for metric in self._read_from
            for part in parts_of(record, metric)
            if _key(metric, part) not in self._known and self.lack(metric, part) is None
        ]
        own = [(metric, part) for metric, part in wanted if metric in self._own]
        values = self._recalled(own)
        if values is None:
            self._read(record, wanted)
            self._keep(own)
        else:
            self._known.update((_key(*each), v) for each, v in zip(own, values, strict=True))
            self._read(record, [each for each in wanted if each[0] not in self._own])

    def _recalled(self, wanted: _Wanted) -> list[float | None] | None:
        """The values that were found before in files with the same bytes; None if they are not
        known, or if other files lie there."""
        found = self._memory.get(_fact(wanted)) if self._memory is not None else None
        targets = {file_of(t): t for _, part in wanted for t in part.targets}
        if found is None or any(hash_of(t, self.folders[f]) != f[0] for f, t in targets.items()):
            return None
        values: list[float | None] = json.loads(found)
        return values

    def _keep(self, wanted: _Wanted) -> None:
        """Remember values, unless a metric fails or a file is damaged."""
        found = [self._known[_key(*each)] for each in wanted]
        if self._memory is not None and not any(isinstance(value, UserError) for value in found):
            self._memory.put(_fact(wanted), json.dumps(found))

    def _read(self, record: Record, wanted: _Wanted) -> None:
        """Compute metrics from a record's predictions, of which each file is read once."""
        by_key = {target.key: target for target in record.targets}

        @cache  # of this record only
        def answers(key: str) -> Answers:
            return read_answers(by_key[key], self.folders[file_of(by_key[key])])

        for metric, part in wanted:
            key = _key(metric, part)
            try:
                own = Answers.joined([answers(target.key) for target in part.targets])
                self._known[key] = value_of(metric, own, part.key)
            except UserError as error:
                self._known[key] = error


def _key(metric: Metric, part: Part) -> _Key:
    return metric, tuple((file_of(target), len(target.total)) for target in part.targets)


@lru_cache(maxsize=64)  # by identity, of the few metrics that a process has made
def _is_own(metric: Metric) -> bool:
    """Whether a metric's code is promptbench's, on all of which keys of facts depend."""
    own = METRICS.provider(metric.name) == BUILT_IN
    return own and type(metric) is METRICS.load(metric.name).cls


def _fact(wanted: _Wanted) -> str:
    """The key of values: which metrics, and of each all that its value follows from."""
    follows_from = [
        (
            metric.name,
            [(t.predictions_sha256, len(t.total), t.learned, t.labels_only) for t in part.targets],
        )
        for metric, part in wanted
    ]
    return remembered.key_of("metric values", follows_from)

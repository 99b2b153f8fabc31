"""The predictions of a target: a gzipped CSV beside the record, one row per test image.

Schema 1 holds labels only. Schema 2 holds also what metrics need of the probabilities, which are
the softmax in float32 of the method's own logits:

| column              | what it holds                                                            |
|---------------------|--------------------------------------------------------------------------|
| key                 | the image's key in its dataset                                           |
| label, predicted    | places among the names that competed, from 0                             |
| confidence          | the largest probability, that of `predicted`                             |
| rest                | the sum of the squares of all other probabilities                        |
| log_loss            | -ln of the probability of `label`; empty where that is `predicted`, so   |
|                     | that it follows from `confidence`                                        |
| rank                | how many names come before `label` when sorted by probability            |
| mass                | the sum of the probabilities of the names that were learned (the base    |
|                     | names of base-to-new)                                                    |
| own                 | 1 if `label` has the largest probability among the names of its kind     |
|                     | (learned or not), 0 if not                                               |

The last two are there where names that were not learned compete with them.

Numbers have `DIGITS` digits after the point, rounded from the value as it was computed, so that
equal bits give equal bytes. Test images are classified in batches of one size, in one order,
whatever the number of workers, so that one machine and number of threads writes one file. Two
things change the number of images in a batch, and with it the order in which products are summed:
memory that does not suffice (on a GPU only), and the end of a test set, or a `limit`. Bits may then
differ, by about 1e-6 of a probability in float32 on a CPU, where the products of fewer than 16
images go through other kernels, and not at all between 16 and 1,000. A value next to the middle
between two roundings then has another last digit, which no number of digits can prevent: of 1,800
images classified one by one instead of by the hundred, 2 confidences, 11 losses and no label. A GPU
chooses kernels by size more often, so that more values may differ there, in half precision by more
than a digit. No label changes by rounding: `predicted`, `rank` and `own` come from logits as they
are.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from promptbench.core.answers import Answers
from promptbench.records import plain_tables, prediction_claims
from promptbench.records.labels import Labels
from promptbench.records.prediction_claims import Columns

FOLDER = "predictions"  # beside a record; it holds no other
LABELS = ("key", "label", "predicted")
PROBABILITIES = ("confidence", "rest", "log_loss", "rank")
OPEN = ("mass", "own")
DIGITS = {"confidence": 4, "rest": 4, "log_loss": 4, "mass": 5}  # near 0 and 1, masses would tie
_GAPS = "log_loss"  # the column with empty fields
MOST_UNPACKED = 128 * 2**20
MOST_ROWS = 4_000_000  # each takes some 250 to 600 bytes of memory
_NUMBER = re.compile(r"\d+\.\d+|inf")


class Prediction(NamedTuple):
    """One row of a predictions file; labels count among the names scored over."""

    key: str
    label: int
    predicted: int


@dataclass(frozen=True)
class Table:
    """The rows of a predictions file by column, each (images,): `label`, `predicted` and `rank`
    int64, `own` bool, others float64. `log_loss` has a value in every row."""

    keys: Sequence[str]
    columns: Columns

    def rows(self) -> list[Prediction]:
        """The labels, row by row."""
        labels = (self.columns[name].tolist() for name in LABELS[1:])
        return list(map(Prediction._make, zip(self.keys, *labels, strict=True)))

    def answers(self, classes: int, learned: Sequence[int] | None = None) -> Answers:
        """What metrics read, in arrays of its own; `learned` are the places of the names that were
        learned."""
        own = {name: column.copy() for name, column in self.columns.items()}
        more: dict[str, Any] = {n: own[n] for n in ("confidence", "log_loss", "rank") if n in own}
        if more:
            more["square_loss"] = _square_loss(own)
        if learned is not None and OPEN[0] in own:
            more |= {n: own[n] for n in OPEN} | {"learned": flags(classes, learned)}
        return Answers.of_predictions(own["label"], own["predicted"], classes, **more)

    @property
    def labels(self) -> Labels:
        """The labels only."""
        return Labels(*(self.columns[name] for name in LABELS[1:]))


def flags(classes: int, learned: Sequence[int]) -> NDArray[np.bool_]:
    """Which of the names were learned, (classes,), from their places."""
    found = np.zeros(classes, dtype=np.bool_)
    found[list(learned)] = True
    return found


def _square_loss(own: Columns) -> NDArray[np.float64]:
    """The sum over classes of (p - [is the label])^2, from its parts."""
    confidence, of_label = own["confidence"], np.exp(-own["log_loss"])
    right = own["label"] == own["predicted"]
    rest = np.where(right, own["rest"], np.maximum(own["rest"], of_label**2))  # it is one of them
    found: NDArray[np.float64] = np.where(
        right, (1 - confidence) ** 2 + rest, confidence**2 + rest - 2 * of_label + 1
    )
    return found


# --- to and from a file ---------------------------------------------------------------------------


def encoded(table: Table) -> bytes:
    """The bytes of a predictions file, which depend only on the table."""
    names = [*LABELS, *(n for n in (*PROBABILITIES, *OPEN) if n in table.columns)]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(names)
    rows.writerows(zip(table.keys, *(_written(table.columns, n) for n in names[1:]), strict=True))
    return _packed(text.getvalue().encode())


def _packed(data: bytes) -> bytes:
    """Compress as gzip does, with no time in it; for digits this strategy saves a twentieth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    return packer.compress(data) + packer.flush()


def _written(columns: Columns, name: str) -> list[Any]:
    values = columns[name]
    if name not in DIGITS:
        return list(values.astype(np.int64).tolist())
    shown = _rounded(values, DIGITS[name])
    if name == "log_loss":
        right = (columns["label"] == columns["predicted"]).tolist()
        return ["" if known else text for known, text in zip(right, shown, strict=True)]
    return shown


def _rounded(values: NDArray[Any], digits: int) -> list[str]:
    return [f"{value:.{digits}f}" for value in np.abs(values).tolist()]  # no -0.0000


def decoded(data: bytes, classes: int, learned: Sequence[int] | None, labels_only: bool) -> Table:
    """The table of a predictions file.

    Args:
        data: its bytes.
        classes: how many names competed.
        learned: the places of those that were learned, where others compete with them.
        labels_only: it is one of schema 1.

    Raises:
        ValueError: it is not such a table, or holds numbers that cannot be; with the line.
        OSError, EOFError, zlib.error, csv.Error: it is not gzipped, or no CSV.
    """
    names = _names(learned, labels_only)
    keys, columns = _read(_unpacked(data), names)
    prediction_claims.refuse_repeated(keys)
    prediction_claims.refuse_outside(columns, classes)
    if not labels_only:
        prediction_claims.complete(columns)
        prediction_claims.refuse_impossible(columns, classes)
    if learned is not None:
        prediction_claims.refuse_impossible_masses(columns, flags(classes, learned))
    return Table(keys, columns)


def labels(data: bytes, classes: int, learned: Sequence[int] | None, labels_only: bool) -> Labels:
    """The labels in a predictions file as `decoded`, which reads nothing else of it if it is
    written as promptbench writes it.

    Raises:
        ValueError, OSError, EOFError, zlib.error, csv.Error: as there.
    """
    unpacked, names = _unpacked(data), _names(learned, labels_only)
    columns = plain_tables.columns(unpacked, names, DIGITS, _GAPS, MOST_ROWS, LABELS[1:])
    if columns is None:
        return decoded(data, classes, learned, labels_only).labels
    prediction_claims.refuse_outside(columns, classes)
    return Labels(*(columns[name] for name in LABELS[1:]))


def _names(learned: Sequence[int] | None, labels_only: bool) -> tuple[str, ...]:
    names = LABELS if labels_only else (*LABELS, *PROBABILITIES)
    return names if learned is None else (*names, *OPEN)


def _unpacked(data: bytes) -> bytes:
    with suppress(zlib.error):  # what is wrong with the bytes, gzip says below
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        whole = unpacker.decompress(data, MOST_UNPACKED)
        if unpacker.eof and not unpacker.unused_data:  # one member, as it is written
            return whole
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(MOST_UNPACKED + 1)
    if len(unpacked) > MOST_UNPACKED:
        raise ValueError(f"more than {MOST_UNPACKED // 2**20} MiB unpacked")
    return unpacked


def _read(data: bytes, names: Sequence[str]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """The keys and the other columns of a table."""
    plain = plain_tables.read(data, names, DIGITS, _GAPS, MOST_ROWS)
    if plain is not None:
        return plain
    fields = _fields(data.decode(), names)
    keys = fields.pop("key")
    return keys, {name: _numbers(name, fields.pop(name)) for name in names[1:]}


def _fields(text: str, names: Sequence[str]) -> dict[str, list[str]]:
    table = csv.reader(io.StringIO(text), strict=True)
    if (columns := next(table, None)) != list(names):
        raise ValueError(f"the columns are {columns}; they must be {', '.join(names)}")
    rows = list(itertools.islice(table, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise ValueError(f"it has more than {MOST_ROWS} rows")
    if set(map(len, rows)) - {len(names)}:
        raise ValueError(_other_fields(text, len(names)))
    by_column = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: list(values) for name, values in zip(names, by_column, strict=True)}


def _other_fields(text: str, count: int) -> str:
    """Which line has another number of fields."""
    table = csv.reader(io.StringIO(text), strict=True)
    number, line = next((table.line_num, line) for line in table if len(line) != count)
    return f"line {number} has {len(line)} fields, not {count}"


def _numbers(name: str, texts: list[str]) -> NDArray[Any]:
    """A column of numbers, each in the form in which it is written."""
    if name not in DIGITS:
        try:
            return np.array(list(map(int, texts)), dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{name}: {error}") from error
    empty = "" if name == _GAPS else None
    for place, text in enumerate(texts):
        if text != empty and not _NUMBER.fullmatch(text):
            raise ValueError(f"line {place + 2}: {name} is {text!r}, not a number")
    values = np.array([float(text) if text else np.nan for text in texts], dtype=np.float64)
    again = _rounded(values, DIGITS[name])
    for place, (text, other) in enumerate(zip(texts, again, strict=True)):
        if text not in (empty, other):
            raise ValueError(
                f"line {place + 2}: {name} is {text}; it has {DIGITS[name]} digits after the point"
            )
    return values

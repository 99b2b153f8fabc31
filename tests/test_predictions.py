"""Predictions files: their bytes, and what is refused in those of strangers."""

from __future__ import annotations

import csv
import gzip
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from promptbench.records import LABELS_ONLY, SCHEMA, Record, plain_tables, predictions
from promptbench.records.labels import MOST_CONFUSIONS
from promptbench.records.predictions import Table, decoded, encoded
from tests.made_records import confuse, record

TEXT = """\
key,label,predicted,confidence,rest,log_loss,rank,mass,own
a,0,0,0.7000,0.0500,,0,0.90000,1
b,2,1,0.5000,0.1300,1.2040,1,0.60000,0
c,2,2,1.0000,0.0000,,0,0.00000,1
"""
LEARNED = [0, 1]


def packed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def table_of(text: str = TEXT) -> Table:
    return decoded(packed(text), 4, LEARNED, labels_only=False)


def test_a_table_is_written_as_it_was_read() -> None:
    table = table_of()
    assert gzip.decompress(encoded(table)).decode() == TEXT
    assert table.rows()[1] == ("b", 2, 1)
    found = table.answers(4, LEARNED)
    assert found.right.tolist() == [1, 0, 1, 0] and found.total.tolist() == [1, 0, 2, 0]
    assert found.log_loss is not None and found.square_loss is not None
    assert found.log_loss.tolist() == pytest.approx([-np.log(0.7), 1.204, 0.0])
    p = np.exp(-1.204)
    expected = [0.09 + 0.05, 0.25 + 0.13 - 2 * p + 1, 0.0]
    assert found.square_loss.tolist() == pytest.approx(expected)
    assert found.learned is not None and found.learned.tolist() == [True, True, False, False]


def test_a_table_of_schema_1_holds_labels_only() -> None:
    text = "key,label,predicted\na,0,0\nb,2,1\n"
    table = decoded(packed(text), 3, None, labels_only=True)
    assert gzip.decompress(encoded(table)).decode() == text
    found = table.answers(3)
    assert found.confidence is None and found.right.tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="the columns are"):
        decoded(packed(text), 3, None, labels_only=False)
    with pytest.raises(ValueError, match="the columns are"):
        decoded(packed(TEXT), 4, LEARNED, labels_only=True)
    with pytest.raises(ValueError, match="the columns are"):
        decoded(packed(TEXT), 4, None, labels_only=False)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("b,2,1", "a,2,1", "line 3: the key 'a' occurs twice"),
        ("b,2,1", "b,4,1", "line 3: a label is not one of 4 classes"),
        ("b,2,1", "b,2,-1", "line 3: a label is not one of 4 classes"),
        ("0.5000,", "0.50,", "line 3: confidence is 0.50; it has 4 digits after the point"),
        ("0.5000,", "nan,", "line 3: confidence is 'nan', not a number"),
        ("0.5000,", "5e-1,", "line 3: confidence is '5e-1', not a number"),
        ("0.5000,", "-0.5000,", "line 3: confidence is '-0.5000', not a number"),
        ("0.5000,", ",", "line 3: confidence is '', not a number"),
        ("0.5000,", "0.2000,", "line 3: confidence is not the largest of 4 probabilities"),
        ("0.7000,", "0.0000,", "line 2: confidence is not above 0"),
        ("1.0000,", "1.0001,", "line 4: confidence is not the largest of 4 probabilities"),
        ("1.0000,", "inf,", "line 4: confidence is not the largest of 4 probabilities"),
        ("0.1300", "0.2600", "line 3: rest is more than the other probabilities allow"),
        ("0.1300", "inf", "line 3: rest is more than the other probabilities allow"),
        ("1.2040", "", "line 3: log_loss is empty where predicted is label"),
        ("0.0500,,", "0.0500,0.3567,", "line 2: log_loss is empty where predicted is label"),
        ("1.2040", "0.6000", "line 3: log_loss is less than confidence and rank allow"),
        ("1.2040,1", "1.0000,2", "line 3: log_loss is less than confidence and rank allow"),
        ("1.2040,1", "1.2040,0", "line 3: rank is 0 where, and only where, predicted is label"),
        ("1.2040,1", "1.2040,4", "line 3: rank is not one of 4 places"),
        ("0.60000,0", "0.40000,0", "line 3: mass does not hold the probability of predicted"),
        ("0.60000,0", "0.80000,0", "line 3: mass does not hold the probability of label"),
        ("0.90000,1", "1.00001,1", "line 2: mass is more than 1"),
        ("0.90000,1", "0.90000,0", "line 2: own is 0 where predicted is label"),
        ("0.90000,1", "0.90000,2", "line 2: own is neither 0 nor 1"),
        ("0.60000,0", "0.6,0", "line 3: mass is 0.6; it has 5 digits after the point"),
        ("b,2,1,", "b,2,", "line 3 has 8 fields, not 9"),
    ],
)
def test_numbers_that_cannot_be_are_refused(old: str, new: str, why: str) -> None:
    changed = TEXT.replace(old, new, 1)
    assert changed != TEXT
    with pytest.raises(ValueError) as found:
        table_of(changed)
    assert str(found.value).startswith(why)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4), st.lists(st.floats(-30, 30, width=32), min_size=5, max_size=5)
        ),
        max_size=20,
    )
)
@settings(max_examples=60)
def test_whatever_is_written_can_be_read(rows: list[tuple[int, list[float]]]) -> None:
    """No logits give numbers that are refused."""
    import torch

    from promptbench.running.predicting import probabilities

    label = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    logits = torch.tensor([row[1] for row in rows], dtype=torch.float32).reshape(-1, 5)
    learned = torch.tensor([True, True, False, True, False])
    columns = probabilities.of_logits(logits, label, learned).numpy()
    names = probabilities.NAMES + probabilities.OPEN
    found = dict(zip(names, columns, strict=True)) | {"label": label.numpy()}
    found["predicted"] = found["predicted"].astype(np.int64)
    data = encoded(Table([str(n) for n in range(len(rows))], found))
    again = decoded(data, 5, [0, 1, 3], labels_only=False)
    assert encoded(again) == data


def test_confusions_are_all_or_the_most_frequent() -> None:
    few = table_of().labels.confusions(4)
    assert few == {"2:1": 1}
    label = np.repeat(np.arange(300), 2)
    columns = {"label": label, "predicted": (label + 1) % 300}
    columns["predicted"][-1] = 7  # so that the last label has two confusions of one image
    many = Table([str(n) for n in range(600)], columns)
    found = many.labels.confusions(300)
    assert len(found) == MOST_CONFUSIONS and set(found.values()) == {2}
    assert list(found)[:2] == ["0:1", "1:2"]  # of equally frequent ones the first labels
    assert len(many.labels.confusions(201)) == MOST_CONFUSIONS
    whole = Table(many.keys[:400], {n: c[:400] % 200 for n, c in columns.items()})
    assert len(whole.labels.confusions(MOST_CONFUSIONS)) == 200


def facts(**changes: Any) -> dict[str, Any]:
    """A record of schema 2, its first target changed."""
    made = record().model_dump(mode="json") | {"schema_version": SCHEMA}
    for target in made["targets"]:
        confuse(target)
    made["targets"][0] |= changes
    return made


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"confusions": {"0:1": 30}}, "0 and 10 wrong images of label 1"),
        ({"confusions": {"0:1": 31, "1:0": 10}}, "31 and 30 wrong images of label 0"),
        ({"confusions": {"0:0": 30, "1:0": 10}}, "'0:0' is not one of two labels"),
        ({"confusions": {"0:2": 30, "1:0": 10}}, "'0:2' is not one of two labels"),
        ({"confusions": {"0-1": 30, "1:0": 10}}, "'0-1' is not one of two labels"),
        ({"confusions": None}, "confusions of every target"),
        ({"learned": [0, 1]}, "no other name competes with them"),
        ({"learned": [1, 0]}, "a label is there twice or out of order"),
        ({"learned": [2]}, "the label 2 is not one of its classes"),
        ({"learned": []}, "it holds no class"),
    ],
)
def test_confusions_and_learned_names_fit_the_counts(changes: dict[str, Any], why: str) -> None:
    Record.model_validate(facts())
    Record.model_validate(facts(learned=[1]))
    with pytest.raises(ValidationError, match=why):
        Record.model_validate(facts(**changes))


def test_of_many_classes_fewer_confusions_than_all_are_whole() -> None:
    n = MOST_CONFUSIONS + 1
    counts = {"correct": [1] * n, "total": [2] * n}
    most = {f"{label}:{(label + 1) % n}": 1 for label in range(MOST_CONFUSIONS)}
    Record.model_validate(facts(**counts, confusions=most))
    less = dict(list(most.items())[:-1])
    with pytest.raises(ValidationError, match="confusions and counts do not fit"):
        Record.model_validate(facts(**counts, confusions=less))
    with pytest.raises(ValidationError, match="201 confusions; of so many classes there are 200"):
        Record.model_validate(facts(**counts, confusions=most | {f"{n - 1}:0": 1}))


def test_schemas_are_told_apart() -> None:
    old = record()
    assert old.schema_version == LABELS_ONLY and old.labels_only
    assert Record.model_validate(facts()).labels_only is False
    with pytest.raises(ValidationError, match="confusions and learned names belong to"):
        Record.model_validate(facts() | {"schema_version": LABELS_ONLY})
    with pytest.raises(ValidationError, match="schema 'other/9'; this version reads"):
        Record.model_validate(facts() | {"schema_version": "other/9"})
    assert predictions.DIGITS["confidence"] == 4


# --- tables as they are written, read as bytes ----------------------------------------------------

NAMES = ("key", "label", "confidence", "log_loss")
HEAD = ",".join(NAMES) + "\n"


def as_bytes(text: str) -> tuple[list[str], dict[str, Any]] | None:
    return plain_tables.read(text.encode(), NAMES, predictions.DIGITS, "log_loss", 10**6)


def as_csv(text: str) -> tuple[list[str], dict[str, Any]]:
    fields = predictions._fields(text, NAMES)
    keys = fields.pop("key")
    return keys, {name: predictions._numbers(name, texts) for name, texts in fields.items()}


_KEYS = st.text(st.sampled_from('a1,"\r\n\x00 é'), max_size=4)
_LABELS = st.one_of(
    st.integers(0, 999).map(str),
    st.integers(0, 10**9 - 1).map(str),
    st.sampled_from(["007", "", "-1", "+1", " 1", "1_0", "1/", "1:", "\x00", "٣"]),
)
_TEXTS = st.one_of(
    st.floats(0, 9999).map("{:.4f}".format),
    st.sampled_from(["0.12", "01.5000", ".5000", "5", "1e-1", "inf", "nan", "-0.5000", "0,5000"]),
    st.sampled_from(["0.500:", "0.50/0", ":.5000", "0/5000", "\xff.5000", "0.5 00"]),
)
_ROWS = st.lists(
    st.tuples(_KEYS, _LABELS, _TEXTS, st.one_of(st.just(""), _TEXTS)).map(",".join), max_size=4
)


@given(_ROWS, st.booleans())
@settings(max_examples=300)
@example(["a,1,0.5000,", "b,99999999,999.9999,0.0000"], True)
@example(["a,1,0.5000,"], False)  # the last line does not end
@example(["a,1,0.5000", "b,1,0.5000,,"], True)  # as many commas as two whole lines have
@example(["a,1,0.5000", "0.5000,b,1,0.5000,"], True)  # and all numbers in their columns
@example(["a,1,0.5000,", "", "b,1,0.5000,"], True)
@example(['"a",1,0.5000,'], True)
@example(["a,1,0.5000,\rb,1,0.5000,"], True)
@example(["a\rb,1,0.5000,"], True)
@example(["a,1,,"], True)
def test_what_is_read_as_bytes_is_what_is_read_as_csv(rows: list[str], ended: bool) -> None:
    text = HEAD + "\n".join(rows) + ("\n" if ended else "")
    found = as_bytes(text)
    if found is None:
        return
    keys, columns = as_csv(text)
    assert found[0] == keys and list(found[1]) == list(columns) == list(NAMES[1:])
    for name, own in found[1].items():
        assert own.dtype == columns[name].dtype
        np.testing.assert_array_equal(own, columns[name])


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**8 - 1), st.floats(0, 999.9999), st.floats(0, 999.9999) | st.none()
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_is_written_is_read_as_bytes(rows: list[tuple[int, float, float | None]]) -> None:
    text = HEAD
    for label, sure, loss in rows:
        text += f"é{label},{label},{sure:.4f},{'' if loss is None else f'{loss:.4f}'}\n"
    found = as_bytes(text)
    assert found is not None and found[0] == [f"é{label}" for label, *_ in rows]
    assert found[1]["confidence"].tolist() == [float(f"{sure:.4f}") for _, sure, _ in rows]


@pytest.mark.parametrize(
    "rows",
    [
        "a,1,0.5000\n",
        "a,1,0.5000,,\n",
        "a,1,0.5000,\n\n",
        '"a",1,0.5000,\n',
        "a,1,0.5000,",
        "a,1,,\n",
        "a,1,0.50,\n",
        "a,1,01.5000,\n",
        "a,1,.5000,\n",
        "a,1,0.5000,x\n",
        "a,+1,0.5000,\n",
        "a,1 ,0.5000,\n",
        "a,,0.5000,\n",
        "a,123456789,0.5000,\n",
        "a,1,0x5000,\n",
        "a,1,-0.5000,\n",
        "a,1,1234.5000,\n",
        "a,1,0.500:,\n",
        "a,1:,0.5000,\n",
        "a,1/,0.5000,\n",
        "a,1,0.5000,inf\n",
    ],
)
def test_what_is_written_otherwise_is_left_to_csv(rows: str) -> None:
    good = "z,1,0.5000,\n"
    assert as_bytes(HEAD + good) is not None
    assert as_bytes(HEAD + good + rows) is None
    assert as_bytes(HEAD + rows) is None


def test_a_head_is_no_table() -> None:
    assert as_bytes(HEAD) is None and as_bytes("") is None


def test_a_table_has_no_more_rows_than_are_allowed() -> None:
    text = (HEAD + "a,1,0.5000,\nb,1,0.5000,\n").encode()
    for most, read in ((1, False), (2, True)):
        found = plain_tables.read(text, NAMES, predictions.DIGITS, "log_loss", most)
        assert (found is not None) is read


def test_an_overlong_key_is_refused_as_csv_does() -> None:
    long = "key,label,predicted\n" + "a" * (csv.field_size_limit() + 1) + ",1,2\n"
    with pytest.raises(csv.Error, match="field larger"):
        predictions.decoded(gzip.compress(long.encode()), 3, None, labels_only=True)


def test_a_key_that_is_no_text_is_refused() -> None:
    for body in (b"\xff,1,2\n", b'"\xff",1,2\n'):
        table = b"key,label,predicted\n" + body
        with pytest.raises(ValueError, match=f"byte 0xff in position {table.index(255)}"):
            decoded(gzip.compress(table), 3, None, labels_only=True)

"""Records: round trip, schema, recomputing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from promptbench import records
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.records.verify import recompute
from promptbench.storage import integrity
from tests.made_records import record


def test_record_round_trip_and_validation(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    records.write(record(), path)
    assert records.read(path) == record()
    broken = json.loads(path.read_text())
    broken["targets"][0]["correct"] = [91, 0]
    path.write_text(json.dumps(broken))
    with pytest.raises(UserError, match=r"targets\.0.*do not fit"):
        records.read(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not a valid record"):
        records.read(path)


def test_a_record_that_is_not_the_one_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / records.RECORD
    records.finish(record(), tmp_path)
    assert records.read(path) == record()
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(UserError, match=r"record\.json was changed after it was written"):
        records.read(path)
    (tmp_path / integrity.SUMS).unlink()
    assert records.read(path).seed == 2


def test_a_record_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "nothing.json"
    with pytest.raises(UserError) as found:
        records.read(path)
    assert str(found.value) == f"cannot read the record {path}: No such file or directory"


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(record().model_dump() | {"accuracy": 99.0})


def test_recompute_refuses_missing_predictions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        recompute(record(), tmp_path)


def test_schema_file_is_the_models() -> None:
    path = Path(__file__).parent.parent / "leaderboard" / "record.schema.json"
    assert json.loads(path.read_text()) == records.schema()


def test_a_list_of_scalars_is_one_line_of_the_file(tmp_path: Path) -> None:
    """Strings that look like JSON, and what other programs take for line ends, stay as they are."""
    odd = ["a [", "{", "]", 'x",\n "y', "\u2028", "\x85]", "\\", ""]
    made = record(overrides=odd, backbone=record().backbone.model_dump() | {"name": "[\n{"})
    made = made.model_copy(
        update={
            "source": made.source.model_copy(update={"keys": [f"key{n}" for n in range(1999)]}),
            "training": made.training.model_copy(update={"losses": [{"a": 0.1, "b": 1e-05}] * 50}),
        }
    )
    path = tmp_path / "record.json"
    records.write(made, path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(made.model_dump_json())
    assert records.read(path) == made
    lines = text.split("\n")
    assert sum('"key0", "key1",' in line and '"key1998"]' in line for line in lines) == 1
    assert sum(line.strip().rstrip(",") == '{"a": 0.1, "b": 0.00001}' for line in lines) == 50
    (correct,) = [line.strip() for line in lines if '"correct": [60, 0],' in line]
    assert correct == '"correct": [60, 0],'
    path.write_text(made.model_dump_json(indent=1), encoding="utf-8")
    assert records.read(path) == made, "as records were written before"

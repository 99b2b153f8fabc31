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

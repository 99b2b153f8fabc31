"""What was verified is not verified again, unless a byte of it, or what it is held to, differs."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench import records
from promptbench.cli import main
from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known, remembering, verdicts
from promptbench.leaderboard.checking.verdicts import judge
from promptbench.records import Record, confusion_claims, verify
from promptbench.storage import reading, remembered
from promptbench.storage.remembered import Remembered, opened


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with opened(tmp_path / "memory") as found:
        yield found


@pytest.fixture
def predictions(coop: Path) -> Path:
    (target,) = records.read(coop).targets
    return coop.parent / target.predictions


def changed_quietly(path: Path, data: bytes) -> None:
    """Another content under the old size and time stamp."""
    state = path.stat()
    assert len(data) == state.st_size
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    changed_quietly(path, bytes(data))


def not_again(*_: object) -> None:
    raise AssertionError("it is verified again")


def test_a_verdict_is_found_once(
    coop: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judge(coop, None, memory)
    monkeypatch.setattr(verdicts, "_judged", not_again)
    again = judge(coop, None, memory)
    assert (again.state, again.notes, again.seen) == (first.state, first.notes, first.seen)
    assert vars(again.record) == vars(first.record)
    assert first.state in ("verified", "consistent")
    with pytest.raises(AssertionError, match="verified again"):
        judge(coop)


def test_predictions_that_were_changed_quietly_are_seen(
    coop: Path, predictions: Path, memory: Remembered
) -> None:
    judge(coop, None, memory)
    flipped(predictions)
    found = judge(coop, None, memory)
    assert (found.state, "sha256 differs" in found.reasons[0]) == ("refused", True)


def test_a_record_that_was_changed_quietly_is_seen(coop: Path, memory: Remembered) -> None:
    judge(coop, None, memory)
    text = coop.read_text()
    seed = '"seed": 1,'
    assert text.count(seed) == 1
    changed_quietly(coop, text.replace(seed, '"seed": 2,').encode())
    assert judge(coop, None, memory).state == "refused"


def test_refusals_are_found_again(
    coop: Path, predictions: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    flipped(predictions)
    assert judge(coop, None, memory).state == "refused"
    monkeypatch.setattr(verdicts, "_judged", not_again)
    with pytest.raises(AssertionError, match="verified again"):
        judge(coop, None, memory)


def test_predictions_that_are_gone_are_another_verdict(
    coop: Path, predictions: Path, memory: Remembered
) -> None:
    judge(coop, None, memory)
    predictions.unlink()
    assert judge(coop, None, memory).state == "reported"


def test_nothing_that_hangs_on_somebody_elses_code_is_remembered(
    coop: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(coop, None, memory)
    with monkeypatch.context() as patch:
        patch.setattr(type(METHODS), "provider", lambda self, name: "else 1.0")
        patch.setattr(verdicts, "_judged", not_again)
        known.forget()
        with pytest.raises(AssertionError, match="verified again"):
            judge(coop, None, memory)
    known.forget()


def test_nothing_that_hangs_on_somebody_elses_selection_rule_is_remembered(coop: Path) -> None:
    record = records.read(coop)
    assert remembering.key_of_settings(record, "0") is not None
    for rule in ("flattest minimum (mine.py)", "last", ""):
        protocol = record.protocol.model_copy(update={"selection": rule})
        other = record.model_copy(update={"protocol": protocol})
        assert remembering.key_of_settings(other, "0") is None
        assert remembering.key_of(other, "0", coop.parent, None) is None


@pytest.mark.parametrize(
    ("ask", "compare", "other"),
    [
        (verify.are_counted, "check_labels", verify.recompute),
        (verify.recompute, "recompute_target", verify.are_counted),
    ],
)
def test_counts_are_computed_once_and_hashes_each_time(
    ask: Callable[..., object],
    compare: str,
    other: Callable[..., object],
    coop: Path,
    predictions: Path,
    memory: Remembered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record, digest = records.read_hashed(coop, memory)
    other(record, coop.parent, memory, digest)  # which does not stand for what is asked here
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="verified again"):
        patch.setattr(verify, compare, not_again)
        ask(record, coop.parent, memory, digest)
    ask(record, coop.parent, memory, digest)
    with monkeypatch.context() as patch:
        patch.setattr(verify, compare, not_again)
        patch.setattr(reading, "parse_json", not_again)
        again, same = records.read_hashed(coop, memory)
        assert again == record
        ask(again, coop.parent, memory, same)
        with pytest.raises(AssertionError, match="verified again"):
            ask(record, coop.parent, memory)  # of an unknown file
    flipped(predictions)
    with pytest.raises(UserError, match="sha256 differs"):
        ask(record, coop.parent, memory, digest)


def test_counts_are_compared_with_labels_and_tables_are_checked_as_a_whole(
    coop: Path, predictions: Path, memory: Remembered
) -> None:
    def claimed(old: str, new: str) -> Record:
        text = gzip.decompress(original).decode()
        predictions.write_bytes(gzip.compress(re.sub(old, new, text, count=1).encode()))
        digest = hashlib.sha256(predictions.read_bytes()).hexdigest()
        own = [record.targets[0].model_copy(update={"predictions_sha256": digest})]
        return record.model_copy(update={"targets": own})

    original, record = predictions.read_bytes(), records.read(coop)
    sure = claimed(r"\n([^,]+,\d+,\d+),0\.\d{4}", r"\n\1,7.0000")
    assert verify.are_counted(sure, coop.parent)
    with pytest.raises(UserError, match="confidence is not the largest"):
        verify.recompute(sure, coop.parent)
    with pytest.raises(UserError, match="a label is not one of"):
        verify.are_counted(claimed(r"\n([^,]+),\d+,", r"\n\1,999,"), coop.parent)
    with pytest.raises(UserError, match="the columns are"):
        verify.are_counted(claimed("confidence", "certainty"), coop.parent)


def test_bytes_that_mean_two_things_are_refused_each_time(coop: Path, memory: Remembered) -> None:
    records.read_hashed(coop, memory)
    data = coop.read_bytes()
    twice = data.replace(b'"suite"', b'"suite": "other", "suite"', 1)
    for _ in range(2):
        with pytest.raises(UserError, match="'suite' occurs twice"):
            records.parsed(twice, coop, memory)


def test_other_counts_of_the_same_predictions_are_computed(coop: Path, memory: Remembered) -> None:
    record, digest = records.read_hashed(coop)
    verify.are_counted(record, coop.parent, memory, digest)
    data = json.loads(coop.read_text())
    (target,) = data["targets"]
    target["correct"] = [max(0, n - 1) for n in target["correct"]]
    target["confusions"] = {
        f"{i}:{(i + 1) % len(target['total'])}": t - c
        for i, (c, t) in enumerate(zip(target["correct"], target["total"], strict=True))
        if t > c
    }
    other = records.Record.model_validate(data)
    other_digest = hashlib.sha256(other.model_dump_json().encode()).hexdigest()
    with pytest.raises(UserError, match="do not follow from its predictions"):
        verify.are_counted(other, coop.parent, memory, other_digest)


def test_validate_needs_no_torch_for_what_it_knows_and_all_checks_again(
    coop: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = CliRunner().invoke(main, ["validate", str(coop)])
    assert first.output.startswith("valid"), first.output
    code = (
        "import sys, click.testing, promptbench.cli as cli\n"
        f"found = click.testing.CliRunner().invoke(cli.main, ['validate', {str(coop)!r}])\n"
        "assert found.output.startswith('valid'), found.output\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    monkeypatch.setattr(verify, "recompute_target", not_again)
    assert CliRunner().invoke(main, ["validate", str(coop)]).exit_code == 0
    assert CliRunner().invoke(main, ["validate", str(coop), "--all"]).exit_code == 1


def test_commands_say_that_what_they_remember_is_damaged(
    coop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    for command, name in (("validate", "verified"), ("report", "outlines")):
        (tmp_path / "own" / f"{name}.sqlite").write_bytes(b"no database" * 999)
        found = CliRunner().invoke(main, [command, str(coop)])
        assert found.exit_code == 0, found.output
        assert f"note: {tmp_path}/own/{name}.sqlite is damaged (" in found.stderr


def test_claims_of_known_bytes_are_not_checked_again_and_those_of_others_are(
    coop: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = records.read_hashed(coop, memory)
    data = coop.read_bytes()
    wrong = data.replace(b'"correct": [', b'"correct": [9999,', 1)
    with pytest.raises(UserError, match="correct and total do not fit"):
        records.parsed(wrong, coop, memory)
    with monkeypatch.context() as patch:
        patch.setattr(confusion_claims, "problem", not_again)
        assert records.read_hashed(coop, memory)[0] == first
        with pytest.raises(UserError, match="verified again"):
            records.parsed(data + b"\n", coop, memory)  # other bytes
    mistyped = data.replace(b'"seed": 1,', b'"seed": "1",', 1)
    memory.put(remembered.key_of("valid record", hashlib.sha256(mistyped).hexdigest()), "yes")
    with pytest.raises(UserError, match="seed"):  # types are read all the same
        records.parsed(mistyped, coop, memory)

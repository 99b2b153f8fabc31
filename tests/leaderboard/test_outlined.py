"""Verdicts hold outlines, made of bytes that are known, and the whole record where it is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from promptbench import records
from promptbench.errors import UserError
from promptbench.leaderboard.accepting import standing
from promptbench.leaderboard.checking import cells, known, outlined, twins
from promptbench.leaderboard.checking.verdicts import judge
from promptbench.leaderboard.web import site
from promptbench.mixing.outlines import ABSENT, Outline, digests, with_confusions
from promptbench.records import Record, subset
from promptbench.records.record import LABELS_ONLY
from promptbench.storage.remembered import Remembered, opened


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with opened(tmp_path / "memory") as found:
        yield found


@pytest.fixture
def beside(coop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The few-shot keys of the trained cell, in a file of their own."""
    monkeypatch.setattr(subset, "MOST_INSIDE", 1)
    records.write(records.read(coop), coop)
    (coop.parent / "SHA256SUMS").unlink()
    return coop.parent / subset.FILE


def not_read(*_: object, **__: object) -> Record:
    raise AssertionError("a whole record is read")


def held(path: Path, memory: Remembered | None = None) -> Outline:
    found = judge(path, None, memory).record
    assert isinstance(found, Outline)
    return found


def test_a_verdict_holds_no_keys_losses_or_confusions(coop: Path) -> None:
    verdict, whole = judge(coop), records.read(coop)
    assert isinstance(verdict.record, Outline)
    assert verdict.record.source.keys is ABSENT and verdict.record.training.losses is ABSENT
    assert verdict.record.targets[0].confusions is ABSENT
    assert verdict.record.targets[0].correct == whole.targets[0].correct
    assert verdict.whole() == whole


def test_what_is_refused_stays_as_it_was_written(coop: Path) -> None:
    text = coop.read_text().replace('"seed": 1,', '"seed": 99999999999,')
    coop.write_text(text)
    verdict = judge(coop)
    assert verdict.state == "refused" and verdict.record == records.parse(coop)


def test_of_known_bytes_no_record_is_read(
    coop: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judge(coop, None, memory)
    monkeypatch.setattr(records, "parsed", not_read)
    again = judge(coop, None, memory)
    assert first.record is not None and again.record is not None
    assert (again.state, vars(again.record)) == (first.state, vars(first.record))
    assert digests(again.record) == digests(first.record)
    coop.write_text(coop.read_text() + " ")
    with pytest.raises(AssertionError, match="whole record"):
        judge(coop, None, memory)


def test_bytes_that_became_another_record_have_another_outline(
    coop: Path, memory: Remembered
) -> None:
    first = held(coop, memory)
    coop.write_text(coop.read_text().replace('"platform": "', '"platform": "another '))
    (coop.parent / "SHA256SUMS").unlink()
    assert held(coop, memory).environment.platform == f"another {first.environment.platform}"


def test_a_kind_that_is_not_known_any_more_is_found_again(coop: Path, memory: Remembered) -> None:
    first = held(coop, memory)
    memory.put(outlined._key(first.file_sha256), json.dumps(["f" * 64, {}, [], None]))
    assert vars(held(coop, memory)) == vars(first)


def test_records_of_one_kind_share_an_object(
    coop: Path, tmp_path: Path, memory: Remembered
) -> None:
    other = Path(shutil.copytree(coop.parent, tmp_path / "other")) / "record.json"
    other.write_text(other.read_text().replace('"seed": 1,', '"seed": 2,'))
    outlines = outlined.Outlines(memory)
    for again in (False, True):
        found = []
        for path in (coop, other):
            whole, digest = records.parse(path), f"{path}"
            made = outlines.get(digest, path.parent) if again else None
            found.append(made or outlines.of(whole, digest, None))
            assert found[-1].seed == whole.seed
        assert found[0].likeness is found[1].likeness is not None
        parted = whole.model_copy(update={"preset": "quick"})
        assert outlines.of(parted, "another", None).likeness not in (None, found[0].likeness)


def test_digests_are_those_of_the_whole_record(coop: Path, memory: Remembered) -> None:
    whole = records.read(coop)
    for outline in (held(coop), held(coop, memory), held(coop, memory)):
        assert digests(outline) == with_confusions(whole)
    own = digests(whole)
    assert own.images == len(whole.source.keys) and own.numbers == whole.numbers_sha256
    turned = whole.source.model_copy(update={"keys": whole.source.keys[::-1]})
    other = digests(whole.model_copy(update={"source": turned}))
    assert other.keys != own.keys and other.subset == own.subset
    losses = [{**whole.training.losses[0], "ce": 9.0}, *whole.training.losses[1:]]
    moved = whole.training.model_copy(update={"losses": losses})
    other = digests(whole.model_copy(update={"training": moved}))
    assert other.losses != own.losses and other.computed != own.computed
    scored = whole.targets[0].model_copy(update={"predictions_sha256": "f" * 64})
    other = digests(whole.model_copy(update={"targets": [scored]}))
    assert other.numbers != own.numbers and other.computed == own.computed


def test_numbers_of_two_schemas_are_those_that_were_computed(coop: Path) -> None:
    whole = records.read(coop)
    (target,) = whole.targets
    other = target.model_copy(update={"predictions_sha256": "f" * 64})
    old = whole.model_copy(update={"schema_version": LABELS_ONLY, "targets": [other]})
    assert cells.same_numbers(held(coop), old) and cells.same_numbers(whole, old)
    assert not cells.same_numbers(whole, whole.model_copy(update={"targets": [other]}))
    moved = other.model_copy(update={"correct": [n - 1 for n in other.correct]})
    assert not cells.same_numbers(held(coop), old.model_copy(update={"targets": [moved]}))


def test_an_outline_that_was_told_nothing_refuses_to_be_compared(coop: Path) -> None:
    bare = Outline.model_construct(**dict(records.read(coop)))
    with pytest.raises(RuntimeError, match="told"):
        digests(bare)
    with pytest.raises(RuntimeError, match="told"):
        outlined.whole(coop, bare)


def test_a_record_that_was_changed_since_is_not_taken_for_it(coop: Path) -> None:
    verdict = judge(coop)
    assert verdict.record is not None
    coop.write_text(coop.read_text() + "\n")
    with pytest.raises(UserError, match="was changed after it was verified"):
        verdict.whole()
    with pytest.raises(UserError, match="was changed after it was verified"):
        twins._confusions(coop, verdict.record)


@pytest.mark.parametrize("known", [False, True])
def test_keys_beside_a_record_are_read_each_time(
    coop: Path, beside: Path, memory: Remembered, known: bool
) -> None:
    good = judge(coop, None, memory if known else None)
    assert good.state in ("verified", "consistent") and good.whole().source.keys
    whole = beside.read_bytes()
    for data, reason in ((whole[:-9], "does not hold few-shot keys"), (None, "few-shot keys")):
        beside.unlink()
        if data is not None:
            beside.write_bytes(data)
        found = judge(coop, None, memory if known else None)
        assert (found.state, found.record) == ("refused", None) and reason in found.reasons[0]
    beside.write_bytes(whole)
    assert judge(coop, None, memory).state == good.state


def test_copies_are_found_among_known_records(
    coop: Path, tmp_path: Path, memory: Remembered
) -> None:
    """Another seed with the same losses, numbers and images, first and when all is known."""
    other = Path(shutil.copytree(coop.parent, tmp_path / "other")) / "record.json"
    other.write_text(other.read_text().replace('"seed": 1,', '"seed": 2,'))
    entries = [(path, records.parse(path)) for path in (coop, other)]
    whole = list(twins.pairs(entries))
    assert {what for _, _, what in whole} == {"learned parameters"}
    outlines = outlined.Outlines(memory)
    for _ in range(2):
        short = [
            (path, outlines.get(str(path), path.parent) or outlines.of(record, str(path), None))
            for path, record in entries
        ]
        assert list(twins.pairs(short)) == whole
        facts = [list(twins._facts(record)) for _, record in short]
        assert facts == [list(twins._facts(record)) for _, record in entries]


def test_few_shot_images_are_a_fact_unless_they_are_all_there_are(coop: Path) -> None:
    whole = records.read(coop)
    assert "few-shot images" in {what for what, _ in twins._facts(held(coop))}
    every = [str(n) for n in range(known.card(whole.source.dataset).splits["train"])]
    source = whole.source.model_copy(update={"keys": every})
    assert twins._origin(whole.model_copy(update={"source": source})).all_images
    assert not twins._origin(held(coop)).all_images


def test_reasons_are_the_same_first_and_known(
    coop: Path, tmp_path: Path, memory: Remembered
) -> None:
    other = Path(shutil.copytree(coop.parent, tmp_path / "other")) / "record.json"
    changed = other.read_text().replace('"threads": ', '"threads": 1')
    other.write_text(changed)
    (other.parent / "SHA256SUMS").unlink()
    paths = [coop, other]
    plain = [(v.state, v.reasons, v.notes) for v in standing.judge(paths)]
    for _ in range(2):
        found = standing.judge(paths, None, memory)
        assert [(v.state, v.reasons, v.notes) for v in found] == plain


@pytest.mark.parametrize("bare", [False, True])
def test_a_site_is_that_of_whole_records(coop: Path, tmp_path: Path, bare: bool) -> None:
    if bare:  # then its page shows confusions as the record says them
        shutil.rmtree(coop.parent / "predictions")
    verdict = judge(coop)
    assert isinstance(verdict.record, Outline)
    found = []
    for number, each in enumerate((verdict, replace(verdict, record=records.parse(coop)))):
        out = tmp_path / str(number)
        site.build([each], out)
        found.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert found[0] == found[1] and any("errors" in place.parts for place in found[0])

"""A report from the index says what one from the records says, and trusts no file that changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import promptbench
from promptbench import records
from promptbench.cli import main
from promptbench.mixing import outlines
from promptbench.mixing.outlines import ABSENT, Kinds
from promptbench.records import Record, TargetResult, subset, values
from promptbench.report import gather, index
from promptbench.report.index import Index
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered

ACCEPTED = Path(__file__).parents[2] / "leaderboard" / "results"


def not_again(*_: object) -> None:
    raise AssertionError("it is read again")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Copies of a few accepted records, none of which was changed just now."""
    for method in ("coop", "alignednorm", "zeroshot"):
        (first, *_) = sorted((ACCEPTED / "demo" / "base_to_new" / method).iterdir())
        shutil.copytree(first, tmp_path / "runs" / method / first.name)
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files have settled at once: nothing here is changed twice within a tick."""
    monkeypatch.setattr(index, "_SETTLED", -(10**9))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with remembered.opened(tmp_path / "memory") as found:
        yield found


@pytest.fixture
def read(tmp_path: Path, runs: Path, memory: Remembered) -> Callable[[], tuple[Any, ...]]:
    """Reads the runs with the index of the last time."""

    def again() -> tuple[Any, ...]:
        with index.opened(tmp_path / "memory") as known:
            gathered = gather.outlines([runs], memory, known)
        found = gathered.records
        names = [r.method.name for r in found]
        cells, seeds = [r.cell_id for r in found], [r.seed for r in found]
        return cells, seeds, gathered.unread, gathered.unchecked, names

    return again


def record_of(runs: Path, method: str) -> Path:
    (path,) = (runs / method).rglob("record.json")
    return path


def predictions_of(path: Path) -> Path:
    return path.parent / records.read(path).targets[0].predictions


def test_an_outline_says_what_its_record_says_but_for_what_it_leaves_out() -> None:
    kinds = Kinds()
    for path in records.find([ACCEPTED]):
        record = records.read(path)
        found = kinds.outline(record)
        for name in Record.model_fields.keys() - {"source", "training", "validation", "targets"}:
            assert getattr(found, name) == getattr(record, name), name
        for part, lost in (("source", "keys"), ("training", "losses"), ("validation", "keys")):
            held, own = getattr(found, part), getattr(record, part)
            for name in type(own).model_fields.keys() - {lost} if own else ():
                assert getattr(held, name) == getattr(own, name), (part, name)
            assert own is None or getattr(held, lost) is ABSENT
        for target, other in zip(found.targets, record.targets, strict=True):
            for name in TargetResult.model_fields.keys() - {"confusions"}:
                assert getattr(target, name) == getattr(other, name), name
            assert target.labels_only == other.labels_only
        assert found.leg == record.leg


def test_what_an_outline_leaves_out_cannot_be_taken_for_nothing(runs: Path) -> None:
    record = records.read(record_of(runs, "coop"))
    some = [target.model_copy(update={"confusions": {"0:1": 2}}) for target in record.targets]
    found = Kinds().outline(record.model_copy(update={"targets": some}))
    assert not found.targets[0].labels_only
    looks: tuple[Callable[[Any], object], ...] = (len, list, bool, lambda thing: thing == [])
    for lost in (found.source.keys, found.training.losses, found.targets[0].confusions):
        for look in looks:
            with pytest.raises(RuntimeError, match="holds no few-shot keys"):
                look(lost)


def test_seeds_are_of_one_kind_and_others_are_not() -> None:
    kinds = Kinds()
    found = [kinds.outline(records.read(path)) for path in records.find([ACCEPTED])]
    coop = [r for r in found if r.method.name == "coop" and r.protocol.name == "base_to_new"]
    of_source = {r.leg.source.key: r.likeness for r in coop}
    assert len(coop) > len(of_source) > 1
    assert all(r.likeness is of_source[r.leg.source.key] for r in coop)
    assert len({id(likeness) for likeness in of_source.values()}) == len(of_source)
    assert len({id(r.model_fields_set) for r in coop}) == len(of_source)  # half of their memory
    assert all(r.model_fields_set == records.Record.model_fields.keys() for r in coop)
    others = [r.likeness for r in found if r.method.name != "coop"]
    assert others and not any(o is likeness for o in others for likeness in of_source.values())


def test_all_that_an_outline_leaves_out_is_what_seeds_change() -> None:
    roles = outlines.DECISIONS
    assert {roles[path].role for path in outlines.LEFT_OUT} == {outlines.Role.SEED}
    assert set(outlines.LEFT_OUT) <= roles.keys()


def test_a_known_record_is_not_read(
    read: Callable[[], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read()
    monkeypatch.setattr(records, "read_hashed", not_again)
    assert read() == first
    monkeypatch.setattr(remembered, "version_of_code", lambda: "other code")
    monkeypatch.setattr(index, "version_of_code", lambda: "other code")
    with pytest.raises(AssertionError, match="read again"):
        read()


def test_files_that_were_changed_quietly_are_read_again(
    runs: Path, read: Callable[[], tuple[Any, ...]]
) -> None:
    read()
    path = record_of(runs, "coop")
    state, data = path.stat(), path.read_bytes()
    path.write_bytes(data.replace(b'"seed": 1,', b'"seed": 7,'))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert 7 in read()[1]


@pytest.mark.parametrize("name", ["predictions", "SHA256SUMS"])
def test_what_lies_beside_a_record_counts(
    name: str, runs: Path, read: Callable[[], tuple[Any, ...]]
) -> None:
    path = record_of(runs, "coop")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "SHA256SUMS").write_text(f"{digest}  record.json\n")
    first = read()
    file = predictions_of(path) if name == "predictions" else path.parent / name
    data = bytearray(file.read_bytes())
    place = 0 if name == "SHA256SUMS" else len(data) // 2
    data[place] = ord("1") if data[place] == ord("0") else ord("0")
    state = file.stat()
    file.write_bytes(bytes(data))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    ids, _, unread, *_ = read()
    assert len(ids) == len(first[0]) - 1 and len(unread) == 1


def test_predictions_that_go_and_come_are_counted(
    runs: Path, read: Callable[[], tuple[Any, ...]]
) -> None:
    first = read()
    file = predictions_of(record_of(runs, "coop"))
    data = file.read_bytes()
    file.unlink()
    assert read()[3] == 1
    assert read()[3] == 1
    file.write_bytes(data)
    assert read() == first


def test_a_link_is_never_known(
    runs: Path, read: Callable[[], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record_of(runs, "coop")
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")
    read()
    monkeypatch.setattr(records, "read_hashed", not_again)
    with pytest.raises(AssertionError, match="read again"):
        read()


def test_files_that_were_changed_just_now_are_not_known(
    read: Callable[[], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_SETTLED", 2 * 10**9)
    read()
    monkeypatch.setattr(records, "read_hashed", not_again)
    with pytest.raises(AssertionError, match="read again"):
        read()


def test_a_record_that_is_replaced_while_it_is_read_is_not_known(
    runs: Path, memory: Remembered, tmp_path: Path
) -> None:
    path = record_of(runs, "coop")
    with index.opened(tmp_path / "memory") as known:
        before = index.state_of(path)
        found = index.indexed(records.read(path), True)
        known.put(path, before, found)
        known.flush()
        assert known.get(path) == found
        other = path.with_name("other.json")
        shutil.copy(path, other)
        other.replace(path)
        assert known.get(path) is None
        known.put(path, before, found)
        known.flush()
        assert known.get(path) is None


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE outlines SET own = replace(own, '\"seed\": 1', '\"seed\": 9')",
        "UPDATE outlines SET kind = (SELECT min(digest) FROM kinds)",
        "UPDATE kinds SET text = replace(text, 'coop', 'poop')",
        "UPDATE outlines SET files = NULL",
        "DELETE FROM kinds",
        "DROP TABLE outlines",
    ],
)
def test_a_damaged_index_costs_time(
    harm: str, tmp_path: Path, read: Callable[[], tuple[Any, ...]]
) -> None:
    first = read()
    with sqlite3.connect(tmp_path / "memory" / "outlines.sqlite") as store:
        store.execute(harm)
    assert read() == first == read()


@pytest.mark.parametrize("harm", ["garbage", "a table of another kind"])
def test_an_index_that_is_damaged_is_begun_again(
    harm: str, tmp_path: Path, read: Callable[[], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, file = read(), tmp_path / "memory" / "outlines.sqlite"
    file.write_bytes(b"no database" * 1000 if harm == "garbage" else b"")
    if harm != "garbage":
        with sqlite3.connect(file) as store:
            store.execute("CREATE TABLE kinds (digest TEXT)")
    with pytest.warns(UserWarning, match="is damaged .*; it was moved to outlines.sqlite.damaged"):
        assert read() == first
    monkeypatch.setattr(records, "read_hashed", not_again)
    assert read() == first


def test_an_index_that_is_none_costs_time(
    tmp_path: Path, read: Callable[[], tuple[Any, ...]]
) -> None:
    first = read()
    (tmp_path / "memory" / "outlines.sqlite").unlink()
    (tmp_path / "memory" / "outlines.sqlite").mkdir()
    assert read() == first == read()


def test_reports_are_the_same_first_and_known_at_once(runs: Path, tmp_path: Path) -> None:
    for path in runs.rglob("*"):
        os.utime(path, (1, 1))
    command = [sys.executable, "-m", "promptbench.cli", "report", str(runs)]
    around = {**os.environ, "PROMPTBENCH_CACHE": str(tmp_path / "cache"), "COLUMNS": "80"}
    both = [
        subprocess.Popen(command, env=around, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [each.communicate()[0] for each in both]
    assert "CoOp" in said[0] and said[0] == said[1]
    again = subprocess.run(command, env=around, capture_output=True, text=True)
    assert again.stdout == said[0]


@pytest.mark.parametrize(
    "asked", [(), ("--efficiency",), ("--per-seed", "--format", "csv"), ("--errors",)]
)
def test_every_report_says_the_same_from_the_index(
    asked: tuple[str, ...], runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    first, again = (CliRunner().invoke(main, ["report", str(runs), *asked]) for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr(gather, "outlines", lambda places, *_: gather.read(places))
        plain = CliRunner().invoke(main, ["report", str(runs), *asked])
    assert first.exit_code == 0 and first.output == again.output == plain.output


def test_what_comes_next_is_asked_for_at_once(
    runs: Path, read: Callable[[], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one of them is not known, or has changed since."""
    ask, asked = Index._rows, []

    def noted(self: Index, query: str, *keys: str) -> Any:
        asked.append(len(keys))
        return ask(self, query, *keys)

    monkeypatch.setattr(Index, "_rows", noted)
    first = read()
    assert asked == [len(first[0])]
    expect = Index.expect

    def changing(self: Index, paths: Any) -> None:
        expect(self, paths)
        path = record_of(runs, "coop")
        path.write_text(path.read_text().replace('"seed":', '"sown":'))

    monkeypatch.setattr(Index, "expect", changing)
    assert len(read()[2]) == 1


@pytest.mark.parametrize(
    "asked", [("compare", "coop", "zeroshot", "--runs", "{runs}"), ("cite", "--runs", "{runs}")]
)
def test_other_commands_take_records_from_the_index_too(
    asked: tuple[str, ...], runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    words = [word.format(runs=runs) for word in asked]
    first = CliRunner().invoke(main, words)
    monkeypatch.setattr(gather, "_whole", not_again)
    again = CliRunner().invoke(main, words)
    assert first.exit_code == 0 and again.output == first.output, again.output


def test_a_frame_is_made_from_the_index_too(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    first = promptbench.results(runs)
    monkeypatch.setattr(gather, "_whole", not_again)
    monkeypatch.setattr(values, "read_answers", not_again)  # values of metrics are known, too
    pandas.testing.assert_frame_equal(promptbench.results(runs), first)


def test_records_of_unknown_protocols_are_compared_and_are_in_a_frame(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pandas")
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    strange = record_of(runs, "alignednorm")
    strange.write_text(strange.read_text().replace('"base_to_new"', '"theirs"'))
    compared = CliRunner().invoke(main, ["compare", "coop", "zeroshot", "--runs", str(runs)])
    assert compared.exit_code == 0, compared.output
    assert "theirs" in set(promptbench.results(runs, metrics="accuracy")["protocol"])
    assert len(gather.read([runs]).unread) == 1  # of which a table is not made


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_names_need_not_be_text(
    runs: Path, memory: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = runs.rename(Path(os.fsdecode(os.fsencode(runs) + b"\xff")))
    with index.opened(tmp_path / "memory") as known:
        first = gather.outlines([odd], memory, known)
    monkeypatch.setattr(gather, "_whole", not_again)
    with index.opened(tmp_path / "memory") as known:
        again = gather.outlines([odd], memory, known)
    assert not again.unread and again.by_path.keys() == first.by_path.keys()
    assert len(again.records) == 3


def test_an_index_forgets_the_oldest(
    runs: Path, tmp_path: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_MOST", 2)
    with index.opened(tmp_path / "memory") as known:
        gather.outlines([runs], memory, known)
    with sqlite3.connect(tmp_path / "memory" / "outlines.sqlite") as store:
        assert store.execute("SELECT count(*) FROM outlines").fetchone() == (2,)
        assert store.execute("SELECT count(*) FROM kinds").fetchone() == (2,)


def test_few_shot_keys_in_a_file_count(
    runs: Path, read: Callable[[], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subset, "MOST_INSIDE", 3)
    path = record_of(runs, "coop")
    records.finish(records.read(path), path.parent)
    first = read()
    assert read() == first and (path.parent / subset.FILE).is_file()
    (path.parent / subset.FILE).write_bytes(b"other keys")
    assert len(read()[2]) == 1

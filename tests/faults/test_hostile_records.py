"""Records of strangers, through the commands that read them: a sentence, and never a hang."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from promptbench import records
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.records import predictions
from promptbench.storage import integrity
from promptbench.using import finding
from tests.forbidding import forbid
from tests.made_records import record

Change = Callable[[dict[str, Any]], object]


def written(folder: Path, seed: int = 1) -> Path:
    made = record(seed=seed).model_dump_json()
    path = folder / f"cell-{seed}" / records.RECORD
    path.parent.mkdir(parents=True)
    path.write_text(made)
    return path


def call(*arguments: Any) -> Result:
    found = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(records.MOST_BYTES + 1)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


KINDS = [
    (fifo, "it is a pipe (FIFO), not a file"),
    (device, "it is a device, not a file"),
    (large, "it is larger than 32 MiB"),
    (folder, "it is a folder, not a file"),
]
READERS = [
    ("report",), ("compare", "mmrlpp", "coop", "--runs"), ("validate",), ("reproduce",),
    ("analyze", "norms"), ("wandb", "sync", "--mode", "offline"), ("leaderboard", "verify"),
    ("leaderboard", "submit"),
]  # fmt: skip


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize(("change", "reason"), KINDS, ids=[k[0].__name__ for k in KINDS])
def test_a_record_that_is_not_a_file_of_its_size_is_not_read(
    command: tuple[str, ...],
    change: Callable[[Path], None],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "runs")
    change(path)
    place = path.parent if command[0] == "reproduce" else tmp_path / "runs"
    found = call(*command, place)
    refused = command[0] == "leaderboard"  # says so of each record, and ends in 1
    assert found.exit_code == (1 if refused else 2)
    known = "the record is larger than 4 MiB" if refused and change is large else reason
    assert known in " ".join(found.output.split())


ACCEPTED = Path(__file__).parents[2] / "leaderboard" / "results"
FORGING = "x\nverified   runs/bad/record.json\n::error::forged\x1b[2J\u2028\r"


@pytest.mark.parametrize("command", [*READERS, ("cite", "coop", "--runs")], ids=" ".join)
@pytest.mark.parametrize("kind", ["whole", "invalid", "a folder"])
def test_names_of_folders_forge_no_lines(
    command: tuple[str, ...], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (FORGING, f"{FORGING} 2"):  # of several, one is named by its folder
        path = written(tmp_path / "runs" / name)
        if kind == "a folder":
            folder(path)
        elif kind == "invalid":
            path.write_text(path.read_text().replace("{", '{"\\u001b[2J": 1,', 1))
    found = call(*command, tmp_path / "runs")
    refuse_forged(found)
    if command[0] in ("validate", "leaderboard") or kind != "whole":
        assert "x\ufffdverified   runs/bad/record.json\ufffd::error" in found.output


def refuse_forged(found: Result) -> None:
    lines = found.output.splitlines()
    assert not any(line.startswith(("verified   runs", "::error")) for line in lines)
    assert not set("\x1b\u2028\r") & set(found.output)


def test_names_of_folders_of_good_records_forge_no_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))  # no shards: a note each
    (cell, *_) = sorted((ACCEPTED / "demo" / "base_to_new" / "coop").iterdir())
    shutil.copytree(cell, tmp_path / FORGING)
    for command, line in ((("validate",), "valid  "), (("leaderboard", "verify"), "consistent ")):
        found = call(*command, tmp_path / FORGING)
        assert found.exit_code == 0 and f"{line}{tmp_path}/x\ufffdverified   runs" in found.output
        refuse_forged(found)


@pytest.mark.parametrize("change", [fifo, folder])
def test_predictions_that_are_no_file_are_not_taken_for_absent(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    (cell, *_) = sorted((ACCEPTED / "demo" / "base_to_new" / "coop").iterdir())
    shutil.copytree(cell, tmp_path / "cell")
    change(next((tmp_path / "cell" / "predictions").iterdir()))
    found = call("report", tmp_path)
    kind = "a pipe (FIFO)" if change is fifo else "a folder"
    assert found.exit_code == 2
    assert f"it is {kind}, not a file" in " ".join(found.output.split())
    name = next((tmp_path / "cell" / "predictions").iterdir()).relative_to(tmp_path / "cell")
    (tmp_path / "cell" / integrity.SUMS).write_text(f"{'0' * 64}  {name.as_posix()}\n")
    assert integrity.damage(tmp_path / "cell", name.as_posix()) == f"{name} is not a file"


@pytest.mark.parametrize("command", ["report", "validate", "reproduce"])
def test_a_device_given_as_a_record_is_not_read(command: str) -> None:
    found = call(command, "/dev/zero")
    assert found.exit_code == 2
    assert "cannot read the record /dev/zero: it is a device" in " ".join(found.output.split())


def changed(name: str, value: Any) -> Change:
    return lambda r: r.update({name: value})


FORGED: list[tuple[str, Change, str]] = [
    ("no target", changed("targets", []), "it has no target"),
    ("target twice", lambda r: r.update(targets=r["targets"] * 2), "occurs more than once"),
    ("no image", lambda r: r["targets"][0].update(correct=[0], total=[0]), "it has no image"),
    ("negative seed", changed("seed", -1), "seed: Input should be greater than or equal to 0"),
    ("long seed", changed("seed", int("9" * 250)), "(250 characters) is too large"),
    ("no shots", lambda r: r["source"].update(shots=0), "source.shots: Input should be greater"),
    ("long shots", lambda r: r["source"].update(shots=10**250), "(251 characters) is too large"),
    ("long count", lambda r: r["targets"][0].update(total=[10**30, 1]), "is too large"),
    ("not finite", lambda r: r["training"].update(seconds=float("nan")), "NaN is not a number"),
    ("infinite", lambda r: r["method"]["parameters"].update(a=float("inf")), "Infinity is not"),
    *(
        (f"dataset {name[:9]!r}", lambda r, n=name: r["source"].update(dataset=n), "not a name")
        for name in ("../shapes", "/etc/passwd", "", "a\0b", "x" * 5000, "a b", ".", "shapes\n")
    ),
    ("target's dataset", lambda r: r["targets"][1].update(dataset="../x"), "targets.1.dataset"),
    ("data", lambda r: r["data"].update({"../x": {}}), "'../x' is not a name"),
    ("suite", changed("suite", "../demo"), "suite: '../demo' is not a name"),
    ("method", lambda r: r["method"].update(name="a/b"), "method.name: 'a/b' is not a name"),
    ("protocol", lambda r: r["protocol"].update(name=".."), "protocol.name: '..' is not a name"),
]


@pytest.mark.parametrize(("change", "reason"), [f[1:] for f in FORGED], ids=[f[0] for f in FORGED])
def test_what_no_run_writes_is_refused(change: Change, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path)
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    for command in ("validate", "reproduce"):
        found = call(command, path)
        assert found.exit_code == 2
        said = " ".join(found.output.split())
        assert f"{path} is not a valid record: " in said and reason in said and len(said) < 700


def test_a_record_of_deep_json_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(path.read_text().replace('"overrides":[]', f'"overrides":{deep}'))
    found = call("validate", path)
    assert found.exit_code == 2 and "it is nested too deeply" in found.output


def test_a_report_names_what_it_leaves_out(tmp_path: Path) -> None:
    for seed in (1, 2, 3, 4):
        written(tmp_path, seed)
    facts = json.loads((tmp_path / "cell-1" / records.RECORD).read_text())
    changed = [facts | {"targets": []}, facts | {"suite": "elsewhere"}]
    for seed, other in zip((1, 2), changed, strict=True):
        (tmp_path / f"cell-{seed}" / records.RECORD).write_text(json.dumps(other))
    found = call("report", tmp_path, "--format", "csv")
    assert found.exit_code == 1
    assert "MMRL++" in found.stdout and "left out" not in found.stdout
    said = " ".join(found.stderr.split())
    assert f"left out: {tmp_path}/cell-1/record.json is not a valid record: record: it" in said
    assert f"left out: {tmp_path}/cell-2/record.json: unknown suite 'elsewhere'" in said
    assert "the tables are without 2 records" in said
    for seed in (1, 2):
        (tmp_path / f"cell-{seed}" / records.RECORD).unlink()
    assert call("report", tmp_path, "--format", "csv").exit_code == 0


def with_predictions(folder: Path, data: bytes) -> Path:
    """A record of one target whose predictions are `data`."""
    path = written(folder)
    facts = json.loads(path.read_text())
    facts["targets"] = facts["targets"][:1]
    facts["targets"][0] |= {
        "predictions": "predictions/p.csv.gz",
        "predictions_sha256": hashlib.sha256(data).hexdigest(),
    }
    path.write_text(json.dumps(facts))
    (path.parent / "predictions").mkdir()
    (path.parent / "predictions" / "p.csv.gz").write_bytes(data)
    return path


def test_predictions_that_are_not_a_file_are_not_read(tmp_path: Path) -> None:
    for change, reason in (
        (fifo, "it is a pipe (FIFO), not a file"),
        (device, "lie outside the record's folder"),
        (folder, "it is a folder, not a file"),
    ):
        path = with_predictions(tmp_path / change.__name__, gzip.compress(b"key,label,predicted\n"))
        change(path.parent / "predictions" / "p.csv.gz")
        found = call("validate", path)
        assert found.exit_code == 2 and reason in " ".join(found.output.split())
        judged = call("leaderboard", "verify", path)
        assert judged.exit_code == 1 and reason in " ".join(judged.output.split())


def test_a_folder_that_may_not_be_read_counts_as_a_record_that_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    for seed in (1, 2):
        written(runs, seed)
    (runs / "inner").mkdir()
    written(runs / "inner", 3)
    forbid(monkeypatch, runs / "cell-1", runs / "inner")
    why = "it is a folder that cannot be read (Permission denied)"
    assert records.find([runs]) == [
        runs / "cell-1",
        runs / "cell-2" / records.RECORD,
        runs / "inner",
    ]
    report = call("report", runs, "--format", "csv")
    said = " ".join(report.output.split())
    assert report.exit_code == 1 and "the tables are without 2 records" in said
    assert f"left out: cannot read the record {runs / 'inner'}: {why}" in said
    for command in (("validate",), ("leaderboard", "verify")):
        found = call(*command, runs)
        assert found.exit_code == 1
        assert f"cannot read the record {runs / 'cell-1'}: {why}" in " ".join(found.output.split())


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_records_in_a_folder_that_may_not_be_read_are_not_said_to_be_absent(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "runs")
    forbid(monkeypatch, tmp_path / "runs")
    found = call(*command, path.parent)
    assert found.exit_code == 2
    with pytest.raises(UserError, match="Permission denied"):
        records.find([path.parent])
    with pytest.raises(UserError, match="Permission denied"):
        finding.record_at(path.parent)
    assert f"cannot read what lies at {path.parent}: Permission" in " ".join(found.output.split())


def test_a_folder_that_has_gone_while_records_are_looked_for_is_not_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    walk = os.walk

    def late(folder: Path, onerror: Callable[[OSError], object]) -> Any:
        onerror(FileNotFoundError(2, "gone", str(folder / "gone")))
        return walk(folder)

    monkeypatch.setattr(os, "walk", late)
    assert records.find([tmp_path]) == [tmp_path / "cell-1" / records.RECORD]


@pytest.mark.parametrize("name", ["predictions", "predictions/p.csv.gz", "learned.safetensors"])
@pytest.mark.parametrize("listed", [True, False])
def test_what_may_not_be_read_beside_a_record_is_named(
    name: str, listed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_predictions(tmp_path / "runs", gzip.compress(b"key,label,predicted\n"))
    beside = ["predictions/p.csv.gz", records.RECORD]
    if name == "learned.safetensors":
        (path.parent / name).touch()
        beside.append(name)
    if listed:
        files = {file: (path.parent / file).read_bytes() for file in beside}
        digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
        integrity.write_sums(path.parent, digests)
    forbid(monkeypatch, path.parent / name)
    file = name if name != "predictions" else "predictions/p.csv.gz"
    reason = f"{path.parent / file}: Permission denied"
    found = call("validate", path)
    assert found.exit_code == 2 and "error: cannot read the " in found.output
    assert reason in " ".join(found.output.split())
    if name != "learned.safetensors":  # which neither of these reads
        for command in (("report",), ("leaderboard", "verify")):
            said = " ".join(call(*command, path).output.split())
            assert f"cannot read the predictions {reason}" in said


def test_predictions_behind_a_link_that_may_not_be_followed_are_not_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_predictions(tmp_path / "runs", gzip.compress(b"key,label,predicted\n"))
    (path.parent / "predictions").rename(path.parent / "inner")
    (path.parent / "predictions").symlink_to("inner")
    forbid(monkeypatch, path.parent / "inner", path.parent / "predictions")
    judged = call("leaderboard", "verify", path)
    assert judged.exit_code == 1 and "Permission denied" in " ".join(judged.output.split())


def test_predictions_in_a_loop_of_links_are_refused(tmp_path: Path) -> None:
    path = with_predictions(tmp_path / "runs", gzip.compress(b"key,label,predicted\n"))
    (path.parent / "predictions" / "p.csv.gz").unlink()
    (path.parent / "predictions" / "p.csv.gz").symlink_to("p.csv.gz")
    found = call("validate", path)
    assert found.exit_code == 2 and "lie outside the record's folder" in " ".join(
        found.output.split()
    )


@pytest.mark.parametrize("name", ["predictions/a\0b", "predictions/" + "a" * 5000, "../../x"])
def test_predictions_of_an_impossible_name(name: str, tmp_path: Path) -> None:
    path = with_predictions(tmp_path, b"")
    facts = json.loads(path.read_text())
    facts["targets"][0]["predictions"] = name
    path.write_text(json.dumps(facts))
    assert call("validate", path).exit_code == 2
    assert call("leaderboard", "verify", path).exit_code == 1


def test_predictions_unpack_and_count_up_to_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "MOST_UNPACKED", 1000)
    path = with_predictions(tmp_path / "bomb", gzip.compress(b"0" * 100_000))
    assert "unpacked" in call("validate", path).output
    monkeypatch.setattr(predictions, "MOST_ROWS", 3)
    rows = "".join(f"{n},0,0\n" for n in range(4))
    path = with_predictions(
        tmp_path / "rows", gzip.compress(f"key,label,predicted\n{rows}".encode())
    )
    found = call("validate", path)
    assert found.exit_code == 2 and "more than 3 rows" in " ".join(found.output.split())


def test_hashes_name_files_of_their_folder(tmp_path: Path) -> None:
    path = written(tmp_path)
    sums = path.parent / integrity.SUMS
    own = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {records.RECORD}\n"
    for name in ("/etc/passwd", "../x", "a\0b"):
        sums.write_text(f"{'0' * 64}  {name}\n{own}")
        assert "which is not a file of this folder" in str(records.damage(path.parent))
    sums.write_bytes(b"0" * (2**20 + 1))
    assert "larger than 1 MiB" in str(records.damage(path.parent))  # so that a run goes on
    assert "larger than 1 MiB" in call("validate", path).output

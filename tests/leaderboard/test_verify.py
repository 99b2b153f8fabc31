"""Verifying and submitting: what is accepted, and what is refused for which reason."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.leaderboard.accepting import standing
from promptbench.leaderboard.checking.verdicts import judge, judge_all, once
from promptbench.records import verify
from tests.calling import call
from tests.downgrading import of_schema_1
from tests.made_records import confuse


def tamper(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return path


def test_records_of_a_run_are_verified(runs: Path) -> None:
    found = call("leaderboard", "verify", runs)
    assert found.exit_code == 0, found.output
    assert found.stdout.count("verified ") == 2 and "not checked" not in found.stdout


def test_without_predictions_a_record_is_reported(coop: Path) -> None:
    for file in (coop.parent / "predictions").iterdir():
        file.unlink()
    verdict = judge(coop)
    assert verdict.state == "reported" and "no predictions of fills/all" in verdict.notes[0]


def test_what_has_been_accepted_still_verifies(accepted_results: Path) -> None:
    verdicts = judge_all(records.find([accepted_results]), None)
    refused = {str(v.path): v.reasons for v in verdicts if v.state == "refused"}
    assert verdicts and not refused


def test_without_shards_the_verdict_says_so(
    coop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "empty"))
    verdict = judge(coop)
    assert verdict.state == "consistent"
    assert verdict.notes == ("not checked against shards, which are not prepared here: fills",)


def one_more(r: dict[str, Any]) -> None:
    target = r["targets"][0]
    pairs = zip(target["correct"], target["total"], strict=True)
    label = next(i for i, (correct, total) in enumerate(pairs) if correct < total)
    target["correct"][label] += 1
    confuse(target)


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("accuracy", one_more, "do not follow from its predictions"),
    (
        "predictions hash",
        lambda r: r["targets"][0].update(predictions_sha256="0" * 64),
        "sha256 differs",
    ),
    ("card hash", lambda r: r["data"]["fills"].update(card_sha256="0" * 64), "another card"),
    ("data left out", lambda r: r["data"].clear(), "hashes are given for [], used are ['fills']"),
    ("shards", lambda r: r["data"]["fills"].update(shards_sha256="0" * 64), "other shards"),
    ("config hash", lambda r: r.update(config_sha256="0" * 64), "hash of the config text"),
    ("weights", lambda r: r["backbone"].update(sha256="0" * 64), "have another hash"),
    (
        "activation",
        lambda r: r["backbone"].update(activation_verified=False),
        "the activation of the backbone's checkpoint is not known",
    ),
    (
        "preprocessing",
        lambda r: r["backbone"].update(resize_mode="squash"),
        "training id is not that of",
    ),
    ("cell id", lambda r: r.update(cell_id="0" * 64), "cell id is not that of its training"),
    ("seed", lambda r: r.update(seed=2), "training id is not that"),
    (
        "setting",
        lambda r: r["training"]["recipe"].update(lr=0.5),
        "Recipe.lr = 0.00458103, the record",
    ),
    ("override left out", lambda r: r.update(overrides=[]), "names no override"),
    (
        "override invented",
        lambda r: r["overrides"].append("CoOp.n_ctx = __import__('os').getpid()"),
        "override 'CoOp.n_ctx' is not what",
    ),
    ("preset", lambda r: r.update(preset="best"), "unknown preset 'best'"),
    ("protocol version", lambda r: r["protocol"].update(version=2), "the leaderboard is at"),
    (
        "selection",
        lambda r: r["protocol"].update(selection="lowest training loss (theirs 1.0)"),
        "selection 'lowest training loss (theirs 1.0)'; the protocol's is 'last epoch'",
    ),
    ("target", lambda r: r["targets"][0].update(split="train"), "is not a target of"),
    ("source", lambda r: r["source"].update(classes="base"), "is not a source of few_shot"),
    ("limit", lambda r: r.update(limit=5), "only the first 5 images"),
    ("subset", lambda r: r["source"]["keys"].reverse(), "few-shot subset is not the one of seed"),
    ("method", lambda r: r["method"].update(name="<script>"), "is not a name"),
    ("title", lambda r: r["method"].update(title="Best ever"), "title is not 'CoOp'"),
    ("unknown method", lambda r: r["method"].update(name="coop2"), "claims to be of promptbench"),
    ("dataset", lambda r: r["source"].update(dataset="countz"), "'countz' is not known"),
    ("suite", lambda r: r.update(suite="clip"), "in suite clip"),
    ("comparable", lambda r: r.update(comparable=True), "comparable is True"),
    ("time", lambda r: r["training"].update(seconds=-1), "negative or not finite"),
    (
        "class time",
        lambda r: r["targets"][0].update(class_seconds=-1e-9),
        "negative or not finite",
    ),
    (
        "class time above all",
        lambda r: r["targets"][0].update(class_seconds=r["targets"][0]["seconds"] + 0.1),
        "its class side took longer than all of its scoring",
    ),
    ("inference", lambda r: r.update(inference="decoupled"), "has no 'decoupled' inference"),
    ("target left out", lambda r: r["targets"].clear(), "it has no target"),
    ("steps", lambda r: r["training"].update(steps=1), "make 2 epochs and 2 steps"),
    (
        "path",
        lambda r: r["targets"][0].update(predictions="../../../../../etc/passwd"),
        "outside the record's folder",
    ),
    ("schema", lambda r: r.pop("training"), "training: Field required"),
]


@pytest.mark.parametrize(
    ("change", "reason"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_tampered_records_are_refused_with_the_reason(
    coop: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    found = call("leaderboard", "verify", tamper(coop, change))
    assert found.exit_code == 1
    assert found.stdout.startswith("refused") and reason in found.stdout


def rewrite(path: Path, text: str) -> None:
    """Other predictions, with the record's hash made to fit."""
    (file,) = (path.parent / "predictions").iterdir()
    file.write_bytes(gzip.compress(text.encode()))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    tamper(path, lambda r: r["targets"][0].update(predictions_sha256=digest))


def rows(path: Path) -> list[str]:
    (file,) = (path.parent / "predictions").iterdir()
    return gzip.decompress(file.read_bytes()).decode().splitlines()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [lines[0], *reversed(lines[1:]), lines[1]], "occurs twice"),
        (lambda lines: ["key,label,guess", *lines[1:]], "the columns are"),
        (
            lambda lines: [lines[0], "a,0,99,0.5000,0.0500,1.0000,1"],
            "line 2: a label is not one of",
        ),
        (lambda lines: [lines[0], "a,zero,0,0.5000,0.0500,1.0000,1"], "label: invalid literal"),
        (lambda lines: [lines[0], "a,0"], "line 2 has 2 fields, not 7"),
        (lambda lines: [line.replace("0000_", "9999_") for line in lines], "among the"),
    ],
)
def test_swapped_predictions_are_refused(
    coop: Path, change: Callable[[list[str]], list[str]], reason: str
) -> None:
    rewrite(coop, "\n".join(change(rows(coop))) + "\n")
    verdict = judge(coop)
    assert verdict.state == "refused" and reason in " ".join(verdict.reasons)


def test_a_cell_may_be_there_in_both_schemas(coop: Path, tmp_path: Path) -> None:
    """Their predictions have other bytes, and say the same; the one with probabilities counts."""
    old = of_schema_1(coop, tmp_path / "old")
    for paths in ([old, coop], [coop, old]):
        verdicts = standing.judge(paths)
        assert {verdict.state for verdict in verdicts} == {"verified"}, verdicts
        (kept,) = once(verdicts)
        assert kept.path == coop
    tamper(old, one_more_of_schema_1)
    refused = {verdict.path: verdict for verdict in standing.judge([old, coop])}[old]
    assert refused.state == "refused"
    said = call("validate", of_schema_1(coop, tmp_path / "again"))
    assert "record.json (schema 1: accuracy only)" in said.stdout.replace("\n", "")


def one_more_of_schema_1(r: dict[str, Any]) -> None:
    one_more(r)
    del r["targets"][0]["confusions"]


def test_confusions_follow_from_predictions(coop: Path) -> None:
    def moved(r: dict[str, Any]) -> None:
        confuse(r["targets"][0])

    found = call("leaderboard", "verify", tamper(coop, moved))
    assert found.exit_code == 1 and "the confusions of fills/all do not follow" in found.stdout


def test_numbers_of_no_probabilities_are_refused(coop: Path) -> None:
    """A stranger who makes every answer look certain."""
    lines = [line.split(",") for line in rows(coop)]
    sure = [[*line[:3], "1.0000", *line[4:]] for line in lines[1:]]
    rewrite(coop, "\n".join(",".join(line) for line in [lines[0], *sure]) + "\n")
    verdict = judge(coop)
    assert verdict.state == "refused" and "allow" in " ".join(verdict.reasons)


def test_labels_are_compared_with_the_dataset(coop: Path) -> None:
    """Two images of different classes change places: every count stays as it was."""
    head, *lines = rows(coop)
    parts = [line.split(",") for line in lines]
    first = parts[0]
    other = next(p for p in parts if p[1] != first[1])
    first[0], other[0] = other[0], first[0]
    rewrite(coop, "\n".join([head, *(",".join(p) for p in parts)]) + "\n")
    assert "2 labels are not those of the dataset" in judge(coop).reasons[0]


def test_bombs_are_refused(coop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptbench.records.predictions.MOST_UNPACKED", 1000)
    verify._kept.cache_clear()  # the same bytes were read above, with room for them
    assert "MiB unpacked" in judge(coop).reasons[0]


def test_links_out_of_the_folder_are_refused(coop: Path, tmp_path: Path) -> None:
    (file,) = (coop.parent / "predictions").iterdir()
    outside = tmp_path / "outside.csv.gz"
    file.rename(outside)
    file.symlink_to(outside)
    assert "outside the record's folder" in judge(coop).reasons[0]


def test_submissions_hold_records_and_predictions(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "pr"
    found = call("leaderboard", "submit", runs, "--out", out)
    assert found.exit_code == 0, found.output
    results = out / "results"
    assert {p.parent.parent.relative_to(results).as_posix() for p in records.find([results])} == {
        "demo/few_shot/coop",
        "demo/few_shot/zeroshot",
    }
    assert not list(out.glob("**/learned.safetensors"))
    assert (
        "| demo | few_shot | coop | fills | 1 | 1 | verified |"
        in (out / "PULL_REQUEST.md").read_text()
    )
    assert call("leaderboard", "verify", out).exit_code == 0


def test_submit_writes_nothing_if_one_is_refused(runs: Path, coop: Path, tmp_path: Path) -> None:
    tamper(coop, one_more)
    found = call("leaderboard", "submit", runs, "--out", tmp_path / "pr")
    assert found.exit_code == 1 and "do not follow" in found.stdout
    assert not (tmp_path / "pr").exists()


def test_nothing_to_verify_is_an_error(tmp_path: Path) -> None:
    found = call("leaderboard", "verify", tmp_path)
    assert found.exit_code == 2 and "no records" in found.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.update(seed=9), "the training id is not that of"),
        (lambda r: r["source"].update(shots=8), "the training id is not that of"),
        (lambda r: r.update(limit=5), "the cell id is not that of"),
        (lambda r: r.update(overrides=["Recipe.lr = 0.5"]), "override"),
        (lambda r: r.update(config="CoOp.n_ctx = 4"), "config_sha256"),
        (one_more, "do not follow from its predictions"),
    ],
)
def test_validate_finds_what_contradicts_itself(
    coop: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    assert call("validate", coop).exit_code == 0
    tamper(coop, change)
    unlike = call("validate", coop)
    assert unlike.exit_code == 2 and "was changed after it was written" in unlike.output
    (coop.parent / "SHA256SUMS").unlink()
    found = call("validate", coop)
    assert found.exit_code == 2 and reason in found.output


@pytest.mark.parametrize("sums", [True, False])
def test_validate_hashes_the_learned_parameters(coop: Path, sums: bool) -> None:
    (coop.parent / records.PARAMETERS).write_bytes(b"garbage")
    if not sums:
        (coop.parent / "SHA256SUMS").unlink()
    found = call("validate", coop)
    assert found.exit_code == 2 and records.PARAMETERS in found.output


def test_validate_says_what_it_cannot_check(coop: Path) -> None:
    tamper(coop, lambda r: r["method"].update(name="theirs", provider="file 0123"))
    (coop.parent / "SHA256SUMS").unlink()
    found = call("validate", coop)
    assert found.exit_code == 0
    assert "not checked: theirs comes from file 0123" in " ".join(found.output.split())


@pytest.mark.parametrize("command", ["report", "compare"])
def test_no_table_has_counts_that_validate_refuses(
    command: str, runs: Path, coop: Path, tmp_path: Path
) -> None:
    folders = [runs] if command == "report" else ["coop", "zeroshot", "--runs", runs]
    whole = call(command, *folders)
    assert whole.exit_code == 0 and "not checked" not in whole.stderr, whole.output
    tamper(coop, one_more)
    (coop.parent / "SHA256SUMS").unlink()
    found, valid = call(command, *folders), call("validate", runs)
    assert valid.exit_code == 1 and "do not follow from its predictions" in valid.stdout
    assert found.exit_code == (1 if command == "report" else 2)  # whose tables leave it out
    assert "do not follow from its predictions" in " ".join(found.stderr.split())


def test_a_report_says_which_counts_it_cannot_check(runs: Path, coop: Path) -> None:
    (file,) = (coop.parent / "predictions").iterdir()
    file.unlink()
    (coop.parent / "SHA256SUMS").unlink()
    found = call("report", runs)
    assert found.exit_code == 0
    assert "no predictions lie beside 1 record: counts not checked" in found.stderr


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r["targets"].append(r["targets"][0]), "occurs more than once"),
        (lambda r: r["targets"][0].update(shift="domain"), "are not those of few_shot: fills/all"),
        (lambda r: r["source"].update(classes="base"), "is not a source of few_shot"),
        (lambda r: r["training"].update(losses=[]), "losses of 0 epochs"),
        (lambda r: r.update(created="soon"), "is not a date and time"),
    ],
)
def test_validate_compares_targets_and_run_with_the_rest(
    coop: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    tamper(coop, change)
    (coop.parent / "SHA256SUMS").unlink()
    found = call("validate", coop)
    assert found.exit_code == 2 and reason in found.stderr, found.output


def test_a_record_says_what_its_method_learns_from(coop: Path) -> None:
    assert records.read(coop).method.extra_data == "none"
    tamper(coop, lambda r: r["method"].pop("extra_data"))  # as records were before
    assert records.parse(coop).method.extra_data is None
    assert judge(coop).state == "verified"

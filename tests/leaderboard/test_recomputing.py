"""`verify --recompute`: predictions follow from learned parameters, or the record says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from promptbench import records
from promptbench.cli import main
from promptbench.leaderboard.accepting import claims, recomputing
from promptbench.leaderboard.boards.building import boards, judged
from promptbench.leaderboard.checking import places, pointing
from promptbench.leaderboard.checking.verdicts import judge
from promptbench.planning.machine import Machine
from promptbench.records import PARAMETERS, RECORD
from promptbench.records.predictions import encoded
from promptbench.records.verify import read_table
from promptbench.reproduction import Whereabouts
from promptbench.sharing import HubPlace
from promptbench.tracking import Listener


def verify(*arguments: object) -> Result:
    found = CliRunner().invoke(main, ["leaderboard", "verify", *map(str, arguments)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exc_info
    return found


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What is kept of records that are not accepted."""
    monkeypatch.setattr(claims, "cache_folder", lambda: tmp_path / "kept")
    yield
    shutil.rmtree(places.recomputed(), ignore_errors=True)


def recompute(path: Path) -> recomputing.Recomputed:
    return recomputing.recompute(judge(path), Machine(device="cpu"), Whereabouts(), Listener())


def test_a_run_is_recomputed_and_that_is_known_afterwards(runs: Path, coop: Path) -> None:
    before = coop.read_bytes()
    found = verify(runs, "--recompute", "--device", "cpu")
    assert found.exit_code == 0 and found.stdout.count("recomputed /") == 2, found.output
    assert "predictions identical" in found.stdout and "2 recomputed" in found.stderr
    assert coop.read_bytes() == before
    assert verify(runs).stdout.count("recomputed /") == 2
    rows = [row for board in boards(judged([coop], None)) for row in board.rows if row.accepted]
    assert [row.state for row in rows] == ["recomputed"]
    coop.write_text(json.dumps(json.loads(before)))
    assert claims.promoted([judge(coop)])[0].state == "verified", "other bytes, another record"


def test_who_submits_cannot_claim_it(coop: Path, tmp_path: Path) -> None:
    claims.write(coop, {"said": "predictions identical", "promptbench": "0.1.0"})
    (claim,) = (tmp_path / "kept" / "recomputed").iterdir()
    for place in (coop.parent, coop.parent / "recomputed", coop.parents[4] / "recomputed"):
        place.mkdir(exist_ok=True)
        shutil.copy(claim, place / claim.name)
    assert claims.promoted([judge(coop)])[0].state == "recomputed"
    claim.unlink()
    assert claims.promoted([judge(coop)])[0].state == "verified"


def test_only_what_holds_is_promoted(coop: Path) -> None:
    claims.write(coop, {"said": "", "promptbench": ""})
    verdict = judge(coop)
    for state in ("reported", "refused"):
        assert claims.promoted([replace(verdict, state=state)])[0].state == state
    assert claims.promoted([replace(verdict, state="consistent")])[0].state == "recomputed"
    (file,) = (claims.cache_folder() / "recomputed").iterdir()
    for text in ("", "[]", '{"format": "other"}', file.read_text().replace(file.stem, "0" * 64)):
        file.write_text(text)
        assert claims.promoted([verdict])[0].state == "verified", text


def test_other_parameters_refuse_the_record(coop: Path) -> None:
    """A record that names other parameters than those that its predictions came from."""
    claims.write(coop, {"said": "", "promptbench": ""})
    path = coop.parent / PARAMETERS
    save_file({name: -4 * value for name, value in load_file(path).items()}, path)
    record = json.loads(coop.read_text())
    before = coop.read_bytes()
    record["training"]["parameters_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    coop.write_text(json.dumps(record))
    (coop.parent / "SHA256SUMS").unlink()
    claims.write(coop, {"said": "", "promptbench": ""})
    found = verify(coop, "--recompute", "--device", "cpu")
    assert found.exit_code == 1 and found.stdout.startswith("refused"), found.output
    assert "give other predictions: fills/all" in " ".join(found.stdout.split())
    assert "labels differ" in found.stdout
    kept = {file.stem for file in (claims.cache_folder() / "recomputed").iterdir()}
    assert kept == {hashlib.sha256(before).hexdigest()}, "the claim of the record is gone"


def test_what_cannot_be_recomputed_says_why(
    coop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = coop.parent / PARAMETERS
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    assert "are not those of the record" in recompute(coop).said
    path.unlink()
    assert "no learned parameters: neither learned.safetensors nor" in recompute(coop).said
    found = verify(coop, "--recompute")
    assert found.exit_code == 0 and found.stdout.startswith("verified")
    assert "not recomputed: no learned parameters" in " ".join(found.stdout.split())
    path.write_bytes(content)
    other = recomputing.recompute(
        judge(coop), Machine(device="cpu"), Whereabouts(weights=str(path)), Listener()
    )
    assert other.outcome == "impossible" and "/recomputed-" not in other.said
    (coop.parent / "predictions" / "fills-all.csv.gz").unlink()
    assert "only a verified record can be: counts not computed again" in recompute(coop).said
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "empty"))
    assert "are not prepared here" in recompute(coop).said


def test_parameters_come_from_where_the_record_points_to(
    coop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = coop.parent / PARAMETERS, []
    content, place = path.read_bytes(), HubPlace("user/name", "a" * 40)

    def learned(given: HubPlace) -> tuple[HubPlace, None, bytes]:
        asked.append(given)
        return given, None, content

    monkeypatch.setattr(pointing, "learned", learned)
    path.unlink()
    (coop.parent / pointing.POINTER).write_bytes(pointing.encoded(place))
    assert recompute(coop).outcome == "same" and asked == [place]
    content = b"something else"
    assert "(hf:user/name@aaaa" in recompute(coop).said
    for text in (
        "[",
        "[]",
        '{"format": "promptbench-learned/1", "place": "folder:/etc"}',
        '{"format": "promptbench-learned/1", "place": "hf:user/name@main"}',
        '{"format": "promptbench-learned/1", "place": 3}',
    ):
        (coop.parent / pointing.POINTER).write_text(text)
        assert "learned.json" in recompute(coop).said and len(asked) == 2


def test_a_submission_points_to_the_learned_parameters(
    runs: Path, coop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, at = (coop.parent / PARAMETERS).read_bytes(), HubPlace("user/name", "b" * 40)
    monkeypatch.setattr(pointing, "learned", lambda place: (at, None, content))
    arguments = ["leaderboard", "submit", str(runs), "--learned", "hf:user/name", "--out"]
    found = CliRunner().invoke(main, [*arguments, str(tmp_path / "pr")])
    assert found.exit_code == 0, found.output
    (pointer,) = (tmp_path / "pr").glob("**/learned.json")
    assert json.loads(pointer.read_text())["place"] == str(at)
    assert (pointer.parent / RECORD).is_file() and "coop" in pointer.parent.parent.name
    assert f"Learned parameters: {at}" in (tmp_path / "pr" / "PULL_REQUEST.md").read_text()
    content = b"of another run"
    found = CliRunner().invoke(main, [*arguments, str(tmp_path / "other")])
    assert found.exit_code == 2 and "none of these records has learned" in found.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("labels", "shift", "elsewhere", "holds"),
    [
        (0, 0.0, False, True),
        (1, 0.0, False, False),
        (1, 0.0, True, True),
        (2, 0.0, True, False),
        (0, 0.04, False, True),
        (0, 0.06, True, False),
    ],
)
def test_how_much_may_differ(
    coop: Path, tmp_path: Path, labels: int, shift: float, elsewhere: bool, holds: bool
) -> None:
    """One label in a thousand, and one in any case, only on another machine."""
    target = records.read(coop).targets[0]
    table = read_table(target, coop.parent)
    columns = {name: np.array(values) for name, values in table.columns.items()}
    for row in range(labels):
        columns["predicted"][row] = (columns["predicted"][row] + 1) % len(target.total)
    columns["confidence"] = np.abs(columns["confidence"] - shift)
    changed = encoded(replace(table, columns=columns) if labels or shift else table)
    (tmp_path / "predictions").mkdir()
    (tmp_path / target.predictions).write_bytes(changed)
    again = target.model_copy(update={"predictions_sha256": hashlib.sha256(changed).hexdigest()})
    read = {
        target.predictions_sha256: table,
        again.predictions_sha256: replace(table, columns=columns),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recomputing, "read_table", lambda t, _: read[t.predictions_sha256])
        found = recomputing.difference((target, coop.parent), (again, tmp_path), elsewhere)
    assert (found.labels, found.holds) == (labels, holds)
    assert bool(found.said) == bool(labels or shift)

"""How plans stand: from files only, with clocks given."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptbench import records
from promptbench.errors import UserError
from promptbench.running import failures
from promptbench.running.training import folder as trainings
from promptbench.tracking.jsonl import LOG
from promptbench.workers.looking_on import pace, showing, standing
from promptbench.workers.looking_on.holders import Holder
from promptbench.workers.looking_on.logs import of_lines
from promptbench.workers.looking_on.standing import Standing
from promptbench.workers.plan import places, roster
from promptbench.workers.plan.roster import Entry

NOW = 1_000_000.0


def identity(number: int) -> str:
    return f"{number:02x}".ljust(64, "0")


def entry(number: int, **facts: Any) -> Entry:
    made = {
        "id": identity(number),
        "training_id": f"training{number}",
        "label": f"coop on counts, 1 shot, seed {number}",
        "protocol": "base_to_new",
        "method": "coop",
        "pace": "coop counts",
        "folder": f"demo/base_to_new/coop/{number}",
        "training_folder": f"demo/trainings/{number}",
        "epochs": 10,
        "steps": 20,
        "images": 100,
    }
    return Entry(**{**made, **facts})


def planned(out: Path, name: str, entries: Sequence[Entry]) -> Path:
    folder = places.folder_of(out, name)
    folder.mkdir(parents=True)
    (folder / places.PLAN).write_text("{}")
    roster.write(folder, entries)
    return folder


def log(out: Path, entry: Entry, began: float, epochs: Sequence[float], end: float | None) -> None:
    lines: list[dict[str, Any]] = [
        {"time": began, "event": "started", "host": "node1", "job": "7_2"}
    ]
    lines += [{"time": t, "event": "epoch", "epoch": n + 1} for n, t in enumerate(epochs)]
    lines += [] if end is None else [{"time": end, "event": "ended"}]
    folder = out / entry.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"torn')


def done(out: Path, entry: Entry, ended: float) -> None:
    """Ten epochs of 4 s, then 5 s."""
    began = ended - 45
    log(out, entry, began, [began + 4 * n for n in range(1, 11)], ended)
    path = out / entry.folder / standing.RECORD
    path.write_text("{}")
    os.utime(path, (ended, ended))


def look(out: Path, held: Sequence[Holder] = (), deaths: dict[str, int] | None = None) -> Standing:
    return standing.of_folder(
        out, lambda *_: held, lambda _, folder: (deaths or {}).get(folder, 0), lambda: NOW
    )


def shown(found: Standing) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    showing.show(found, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines() if "/" not in line) <= 80  # paths stay whole
    return " ".join(text.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cells 0 and 1 are done, 2 failed, 3 is being computed, 4 was begun, 5 was not."""
    cells = [entry(number) for number in range(6)]
    planned(tmp_path, "a", cells)
    done(tmp_path, cells[0], NOW - 1800)
    done(tmp_path, cells[1], NOW - 600)
    (tmp_path / cells[2].folder).mkdir(parents=True)
    (tmp_path / cells[2].folder / standing.FAILED).write_text("diverged\n\ntrace")
    log(tmp_path, cells[3], NOW - 21, [NOW - 16, NOW - 12, NOW - 8, NOW - 4], None)
    log(tmp_path, cells[4], NOW - 5000, [], None)
    return tmp_path


HELD = [Holder("cell", identity(3)[:32])]


def test_each_cell_is_what_its_files_say(folder: Path) -> None:
    whole = look(folder, HELD).whole
    assert (whole.total, whole.done, whole.left, whole.begun) == (6, 2, 2, 1)
    (failed,) = whole.failed
    assert (failed.entry.id, failed.reason) == (identity(2), "diverged")
    (running,) = whole.underway
    assert (running.host, running.job, running.seconds, running.epoch) == ("node1", "7_2", 21, 4)
    assert whole.per_hour == 3600 / 1800
    # The one that runs has 6 of 10 epochs of 4 s and 5 s before it, minus the 5 s since the fourth.
    assert whole.seconds_left == pytest.approx((6 * 4 + 5 - 5) + 2 * 45)


def test_more_workers_share_what_waits(folder: Path) -> None:
    held = [*HELD, Holder("cell", identity(4)[:32], host="node2", job=None, silent=70, stale=True)]
    whole = look(folder, held).whole
    assert [each.host for each in whole.underway] == ["node1", "node2"]
    assert whole.seconds_left == pytest.approx((24 + 0 + 45) / 2)
    assert "node2, silent for 1:10" in shown(look(folder, held))


def test_a_training_counts_once_and_a_finished_one_not_at_all(tmp_path: Path) -> None:
    shared = [entry(n, training_id="one", training_folder="demo/trainings/one") for n in (1, 2)]
    planned(tmp_path, "a", [entry(0), *shared])
    done(tmp_path, entry(0), NOW - 60)
    assert look(tmp_path).whole.seconds_left == pytest.approx(45 + 5)
    (tmp_path / "demo/trainings/one").mkdir(parents=True)
    (tmp_path / "demo/trainings/one" / standing.TRAINED).write_text("{}")
    assert look(tmp_path).whole.seconds_left == pytest.approx(5 + 5)


def test_nothing_is_said_of_time_before_a_cell_has_ended(tmp_path: Path) -> None:
    planned(tmp_path, "a", [entry(0), entry(1)])
    found = look(tmp_path, [Holder("cell", "0" * 32)])
    assert found.whole.seconds_left is None and found.whole.per_hour is None
    assert "how long the rest takes is not known yet" in shown(found)
    assert "nobody computes now" in shown(look(tmp_path))


def test_a_cell_of_two_plans_is_one_of_the_folder(folder: Path) -> None:
    second = planned(folder, "b", [entry(0), entry(9)])
    (second / places.CANCELLED).write_text("2026-01-01 by me\n")
    (second / places.JOBS).write_text('{"engine": "slurm", "jobs": ["42"]}')
    (second / places.REFUSALS).mkdir()
    for name in ("n1-1", "n1-2"):
        (second / places.REFUSALS / f"{name}.txt").write_text("this worker takes no part\n")
    found = look(folder, HELD)
    assert found.whole.total == 7 and [p.cells and p.cells.total for p in found.plans] == [6, 2]
    text = shown(found)
    assert "2 of 7 cells done, 1 failed, 1 underway, 3 left (1 of them begun before)" in text
    assert "submitted to slurm, job 42" in text and "cancelled (2026-01-01 by me)" in text
    assert text.count("this worker takes no part") == 1


def test_who_died_is_named(folder: Path) -> None:
    found = look(folder, HELD, {entry(4).folder: 2})
    assert [(e.id, n) for e, n in found.whole.died] == [(identity(4), 2)]
    assert "seed 4: who computed it has died, 2 times" in shown(found)


def test_json_holds_what_is_shown(folder: Path) -> None:
    plain = json.loads(json.dumps(standing.plain(look(folder, HELD))))
    assert plain["done"] == plain["plans"][0]["done"] == 2
    assert plain["underway"][0]["epochs"] == 10 and plain["failed"][0]["reason"] == "diverged"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"cells": [{"id"', "does not list the cells of a plan"),
        ("[]", "does not list the cells of a plan"),
        (json.dumps({"cells": [{**vars(entry(1)), "folder": "../../etc"}]}), "is not below"),
        (json.dumps({"cells": [{**vars(entry(1)), "steps": "9"}]}), "steps: '9'"),
        (None, "cannot read the cells of a plan"),
    ],
)
def test_a_plan_that_cannot_be_read_hides_no_other(
    folder: Path, text: str | None, said: str
) -> None:
    broken = planned(folder, "b", []) / places.CELLS
    broken.unlink() if text is None else broken.write_text(text)
    found = look(folder, HELD)
    assert said in (found.plans[1].problem or "") and found.whole.total == 6
    assert "not shown: " in shown(found)


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    plain = {"cells": [{**vars(entry(1)), "colour": "red"}], "further": 1}
    planned(tmp_path, "a", [])
    (places.folder_of(tmp_path, "a") / places.CELLS).write_text(json.dumps(plain))
    assert roster.read(places.folder_of(tmp_path, "a")) == (entry(1),)


def test_a_folder_without_plans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no plan files in"):
        look(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        look(tmp_path / "nothing")


def test_names_are_those_of_who_writes() -> None:
    assert standing.RECORD == records.RECORD
    assert standing.FAILED == failures._LOG and standing.TRAINED == trainings._SUMMARY


def test_only_the_last_computation_of_a_log_counts() -> None:
    lines: list[Any] = [
        {"event": "epoch", "time": 1.0, "epoch": 1},
        {"event": "started", "time": 10.0, "host": "a"},
        {"event": "epoch", "time": 13.0, "epoch": 1},
        {"event": "started", "time": 100.0, "host": "b"},
        {"event": "epoch", "time": 109.0, "epoch": 2},
        {"event": "epoch", "time": 111.0, "epoch": 3},
        "no line",
        {"event": "ended", "time": 120.0},
    ]
    found = of_lines(lines)
    assert found is not None and (found.host, found.began, found.epoch) == ("b", 100, 3)
    assert (found.per_epoch, found.rest) == (2.0, 20 - 2 * 2.0)
    assert of_lines(["no line", {"event": "epoch", "time": 1.0}]) is None


def test_a_kind_not_seen_is_as_fast_as_its_method() -> None:
    known = pace.Paces()
    attempt = of_lines([{"event": "started", "time": 0.0}, {"event": "ended", "time": 10.0}])
    assert attempt is not None
    plain = entry(1, epochs=0, steps=0)
    known.add(plain, attempt)
    other = entry(2, epochs=0, steps=0, pace="coop colours", images=200)
    assert known.seconds(other, trained=False) == 20
    assert known.seconds(entry(3), trained=False) is None  # no training was seen


def test_a_few_words_say_who_is_at_it(folder: Path) -> None:
    assert showing.in_short(look(folder, HELD).whole) == "1 on node1, 1 failed, 2 per hour"
    held = [*HELD, Holder("cell", identity(4)[:32], host="node2")]
    assert showing.in_short(look(folder, held).whole).startswith("2 on 2 machines")
    assert showing.in_short(look(folder).whole).startswith("nobody computes")

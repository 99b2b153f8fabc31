"""Verdicts, values and pages that other processes find or write: the same, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench import records
from promptbench.cli import main
from promptbench.core.answers import Answers
from promptbench.errors import UserError
from promptbench.leaderboard.boards import board, building
from promptbench.leaderboard.checking import verdicts
from promptbench.leaderboard.web import error_pages, page_processes, record_pages, site
from promptbench.leaderboard.web.folder import Templates, fresh
from promptbench.leaderboard.web.kept_pages import KeptPages
from promptbench.leaderboard.web.page_processes import PageProcesses, Site
from promptbench.leaderboard.web.thumbnails import MOST, Thumbnails
from promptbench.records import values, verify
from promptbench.records.scores import EVERY, folders_of, registered
from promptbench.records.verify import read_answers
from promptbench.storage import ahead, remembered
from promptbench.storage.remembered import Remembered
from promptbench.support import crew
from promptbench.support.crew import Crew
from promptbench.support.progress import Reporter, Task
from tests.leaderboard.test_kept_pages import SHARED, files
from tests.storage.test_ahead import Hears


@pytest.fixture
def several(runs: Path) -> Path:
    """Two records, each once more under a name that says nothing of them; one copy is damaged."""
    for path in records.find([runs]):
        shutil.copytree(path.parent, runs / f"again-{path.parent.name}")
    damaged = records.find([runs])[0]
    damaged.write_text(damaged.read_text().replace('"seed":', '"sown":'))
    return runs


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_LEAST", 1), ("_PART", 1)):
        monkeypatch.setattr(ahead, name, value)
    monkeypatch.setattr(page_processes, "_FIRST", 0)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with remembered.opened(tmp_path / "memory", beside=Crew(2)) as found:
        yield found


@pytest.mark.usefixtures("small")
def test_verdicts_and_values_are_found_ahead(
    several: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_itself = building.judged([several], None)
    assert [v.state for v in by_itself].count("refused") >= 1 and len(by_itself) == 4
    found = building.judged([several], None, memory, None, [EVERY])
    assert [(v.path, v.state, v.reasons, v.notes) for v in found] == [
        (v.path, v.state, v.reasons, v.notes) for v in by_itself
    ]
    read: list[str] = []

    def noted(target: records.TargetResult, folder: Path) -> Answers:
        read.append(folder.name)
        return read_answers(target, folder)

    monkeypatch.setattr(values, "read_answers", noted)
    counting = building.accepted(found, lambda _: None)
    made = building.boards(counting, registered(), memory)
    assert made and len(set(read)) <= 1  # of the first record, which was looked at here
    assert shown(made) == shown(building.boards(counting, registered())) and len(set(read)) > 1


class Counts(Reporter, Task):
    """What is done of all steps."""

    count = 0

    @contextmanager
    def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        self.count += count


def shown(boards: list[board.Board]) -> list[object]:
    return [(b.metric, [(row.id, row.values) for row in b.rows]) for b in boards]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "command",
    [
        ("report", "--all"),
        pytest.param(("report", "--metric", "all", "--per-seed"), marks=pytest.mark.long),
        ("validate",),
    ],
)
def test_reports_and_validation_are_the_same(
    command: tuple[str, ...],
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in records.find([runs]):
        shutil.copytree(path.parent, runs / f"again-{path.parent.name}")
    if command[0] == "report":  # which goes on where a record cannot be read
        damaged = records.find([runs])[-1]
        damaged.write_text(damaged.read_text().replace('"seed":', '"sown":'))
    counted_again: list[str] = []

    def noted(compare: Callable[..., object]) -> Callable[..., object]:
        def compared(target: records.TargetResult, folder: Path) -> object:
            counted_again.append(folder.name)
            return compare(target, folder)

        return compared

    for name in ("recompute_target", "check_labels"):
        monkeypatch.setattr(verify, name, noted(getattr(verify, name)))

    def said(name: str, processes: int) -> tuple[int, str, int]:
        monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / name))
        monkeypatch.setattr(crew, "most", lambda: processes)
        counted_again.clear()
        done = CliRunner().invoke(main, [command[0], str(runs), *command[1:]])
        return done.exit_code, done.output, len(counted_again)

    code, text, count = said("alone", 1)
    found = said("beside", 2)
    assert found[:2] == (code, text) and (count, found[2]) == (2, 0)  # bytes, not names
    assert code == (command[0] == "report")


# --- pages --------------------------------------------------------------------------------------


def written(
    runs: Path,
    out: Path,
    memory: Remembered,
    beside: int = 2,
    reporter: Reporter | None = None,
    most: int = MOST,
) -> dict[str, bytes]:
    """The pages of records and their pictures."""
    told = reporter or Reporter()
    accepted = verdicts.judge_all(records.find([runs]), None, memory)
    with fresh(out) as made:
        thumbnails = Thumbnails(made, site.PICTURES, None, most)
        folders = folders_of((v.record, v.path.parent) for v in accepted if v.record)
        own = Site(made, json.dumps(SHARED), site.PICTURES, None)
        with PageProcesses(own, Crew(beside), told) as processes:
            templates = Templates(made, SHARED)
            facts = partial(record_pages.whole_page, folders=folders, thumbnails=thumbnails)
            given = (templates, thumbnails, folders, facts, memory, processes)
            site.write_errors(accepted, KeptPages(out, *given))
    return files(out / "errors")


@pytest.fixture
def by_itself(tmp_path: Path) -> Iterator[Remembered]:
    """Nothing is found ahead: the processes of a test are those that write its pages."""
    with remembered.opened(tmp_path / "memory") as found:
        yield found


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The places of pages that are handed to other processes."""
    found: list[str] = []
    write = PageProcesses.write

    def noted(self: PageProcesses, page: page_processes.Page, *rest: Any) -> None:
        found.append(page.place)
        write(self, page, *rest)

    monkeypatch.setattr(PageProcesses, "write", noted)
    return found


@pytest.mark.usefixtures("small")
def test_pages_that_come_after_the_last_picture_are_handed_over(
    runs: Path, tmp_path: Path, by_itself: Remembered, handed: list[str]
) -> None:
    expected = written(runs, tmp_path / "site", by_itself, 1, most=3)  # all of them of one page
    assert not handed and sum(name.endswith(".jpg") for name in expected) == 3
    assert written(runs, tmp_path / "beside", by_itself, most=3) == expected
    assert len(handed) == 1
    handed.clear()
    assert written(runs, tmp_path / "beside", by_itself, most=3) == expected
    assert not handed  # it is taken over


# In the short form: the whole site at the end, which has no dataset at hand either.
@pytest.mark.long
@pytest.mark.usefixtures("small")
def test_pages_without_a_dataset_at_hand_are_handed_over(
    runs: Path,
    tmp_path: Path,
    by_itself: Remembered,
    handed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "nothing"))
    expected = written(runs, tmp_path / "site", by_itself, 1)
    assert not handed and not any(name.endswith(".jpg") for name in expected)
    assert written(runs, tmp_path / "beside", by_itself) == expected
    assert len(handed) == 2
    handed.clear()
    assert written(runs, tmp_path / "beside", by_itself) == expected and not handed


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("small")
def test_pages_of_processes_that_die_are_written_here(
    runs: Path,
    tmp_path: Path,
    by_itself: Remembered,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = written(runs, tmp_path / "site", by_itself, 1, most=0)
    monkeypatch.setattr(page_processes, "_write", die)
    hears = Hears()
    assert written(runs, tmp_path / "beside", by_itself, 2, hears, most=0) == expected
    assert hears.said == [crew.DIED] and not caplog.records  # nor does the count complain


@pytest.mark.usefixtures("small")
def test_pages_are_written_here_where_no_more_processes_can_be_started(
    runs: Path, tmp_path: Path, by_itself: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that were handed over before, and are still on their way."""
    expected = written(runs, tmp_path / "site", by_itself, 1, most=0)
    submit, handed = crew._Pool.submit, []

    def second_fails(self: crew._Pool, *given: Any) -> Any:
        handed.append(given)
        if len(handed) > 1:
            raise OSError("no more processes")
        submit(self, time.sleep, 1)  # both processes have something to do first
        submit(self, time.sleep, 1)
        for _ in range(4):
            submit(self, time.sleep, 0.1)
        return submit(self, *given)

    monkeypatch.setattr(crew._Pool, "submit", second_fails)
    monkeypatch.setattr(page_processes, "_TOGETHER", 1)
    hears = Hears()
    assert written(runs, tmp_path / "beside", by_itself, 2, hears, most=0) == expected
    (said,) = hears.said
    assert "no process can be started" in said and said.endswith(crew.GONE)


@pytest.mark.usefixtures("small")
def test_pages_count_as_soon_as_they_are_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other processes while boards are made, which may take a minute."""
    done = Counts()
    make_boards = building.boards

    def boards(*given: Any) -> list[board.Board]:
        deadline = time.monotonic() + 60
        while done.count < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert done.count == 2
        return make_boards(*given)

    monkeypatch.setattr(building, "boards", boards)
    monkeypatch.setattr(site, "Thumbnails", lambda *given: Thumbnails(*given, 0))
    monkeypatch.setattr(page_processes, "_TOGETHER", 1)
    with remembered.opened(tmp_path / "memory", beside=Crew(2)) as memory:
        accepted = verdicts.judge_all(records.find([runs]), None, memory)
        site.build(accepted, tmp_path / "site", root=tmp_path, memory=memory, reporter=done)
    assert done.count == 2


@pytest.mark.usefixtures("small")
def test_a_record_that_changes_while_pages_are_written_is_refused(
    runs: Path, tmp_path: Path, by_itself: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_seeds = error_pages.with_all_seeds

    def changed(of: list[records.Record]) -> object:
        for path in records.find([runs]):
            path.write_text(path.read_text() + "\n")
        return with_seeds(of)

    monkeypatch.setattr(error_pages, "with_all_seeds", changed)
    with pytest.raises(UserError, match="was changed after it was verified; start again"):
        written(runs, tmp_path / "beside", by_itself, most=0)
    assert not (tmp_path / "beside").exists()


@pytest.mark.usefixtures("small")
def test_a_site_is_the_same_however_many_processes_write_it(
    runs: Path, tmp_path: Path, handed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "Thumbnails", lambda *given: Thumbnails(*given, 0))  # no pictures

    def built(name: str, processes: int) -> dict[str, bytes]:
        monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / f"cache-{name}"))
        monkeypatch.setattr(crew, "most", lambda: processes)
        command = ["leaderboard", "build", str(runs), "--out", str(tmp_path / name)]
        command += ["--data", str(tmp_path)]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        return files(tmp_path / name)

    beside = built("beside", 2)
    assert len(handed) == 2
    assert built("alone", 1) == beside and len(handed) == 2

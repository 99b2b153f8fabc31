"""Progress: what is shown of tasks and of the whole run, in any width, and how long is left."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from promptbench.planning import extent, labels, plan
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.tracking import Epoch
from promptbench.tracking.display import Display, ShownRun, clock, times
from promptbench.tracking.outlook import Outlook
from promptbench.tracking.remote import Receiver
from promptbench.tracking.terminal import Terminal
from promptbench.tuning import searches
from tests.made_records import record

LABEL = "fit base_to_new: coop (lr = 0.001; preset unified) on stanford_cars, 16 shots, seed 1"


def plans(tmp_path: Path, *protocols: str, **options: Any) -> list[Plan]:
    options = {"datasets": "counts", "shots": 16, "seeds": "1,2", **options}
    requests = [Request("coop", name, **options) for name in protocols]
    made = [plan.build(request, "fp32", tmp_path) for request in requests]
    return labels.told_apart(plan.distinct(made))


def console(width: int, moving: bool, **options: Any) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=moving, **options)


def printed(own: Console) -> str:
    """What a console of `console` has written."""
    assert isinstance(own.file, io.StringIO)
    return own.file.getvalue()


def lines(display: Display, width: int) -> list[str]:
    """The lines as they are drawn, each checked to be one and no wider than the terminal."""
    found = []
    for drawn in display.get_renderables():
        (line,) = display.console.render_lines(drawn, pad=False)
        text = "".join(segment.text for segment in line)
        assert cell_len(text) <= width
        found.append(text)
    return found


@given(
    width=st.integers(20, 200),
    label=st.text(st.characters(codec="utf-8", categories=("L", "N", "Zs")), max_size=120),
    total=st.integers(0, 10**7),
    share=st.floats(0, 1),
    note=st.sampled_from(["", "loss 0.123", "loss 12345.678"]),
    cells=st.integers(0, 5000),
    left=st.none() | st.floats(0, 10**7),
)
def test_every_line_fits_every_width(
    width: int, label: str, total: int, share: float, note: str, cells: int, left: float | None
) -> None:
    display = Display(console(width, True))
    number = display.add_task(label, total=total, unit="images", note="")
    display.update(number, advance=int(total * share), note=note)
    display.run = ShownRun()
    display.run.update(cells, cells // 2, left)
    lines(display, width)


def shown(width: int, label: str = LABEL, **options: Any) -> list[str]:
    display = Display(console(width, True, **options))
    number = display.add_task(label, total=800, unit="steps", note="")
    display.update(number, advance=400, note="loss 0.512")
    display.run = ShownRun()
    display.run.update(12, 3, 260.0)
    return lines(display, width)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_training_and_its_run_say_where_they_are(width: int) -> None:
    label, task, run = shown(width)
    assert LABEL.startswith(label.removesuffix("…")) and len(label) > width - 20
    assert "400/800 steps" in task and "0:00 elapsed" in task
    assert run.startswith("run ") and "3/12 cells done  0:00 elapsed, about 4:" in run
    assert width < 80 or ("loss 0.512" in task and "━" in task)


def test_a_narrow_terminal_leaves_facts_out_and_cuts_none() -> None:
    _, task, run = shown(34)
    assert "400/800 steps" in task and "elapsed" in task and "loss" not in task
    assert run.endswith("3/12 cells done") and "…" not in task


def test_a_wide_terminal_takes_a_task_in_one_line() -> None:
    task, run = shown(180)
    assert task.startswith(LABEL) and "━" in task and "loss 0.512" in task and "cells" in run
    task, run = shown(80, "predict dtd/base")
    assert task.startswith("predict dtd/base ━")


def test_a_run_of_one_cell_needs_no_line_of_its_own() -> None:
    display = Display(console(80, True))
    display.run = ShownRun()
    display.run.update(1, 0, None)
    assert lines(display, 80) == []


def test_who_looks_on_hears_from_outside_how_long_it_takes(tmp_path: Path) -> None:
    """Cells that are told of when they have ended say nothing of time."""
    (made,) = plans(tmp_path, "base_to_new")
    out = console(80, False)
    terminal = Terminal(out)
    terminal.planned(made)
    terminal.watched(330.0, "2 on 2 machines, 1 failed")
    terminal.watched(329.0, "not every look is told")
    for cell in made.cells[:2]:
        terminal.cell_started(cell)
        terminal.cell_failed(cell, "it broke", tmp_path)
    text = printed(out)
    total = len(made.cells)
    assert f"0/{total} cells done, 0:00 elapsed, about 5:30 left, 2 on 2 machines, 1 fa" in text
    assert "(1 done, 0:00 elapsed, about 5:29 left)" in text and "every look" not in text
    terminal.close()


def test_a_run_elsewhere_shows_who_is_at_it() -> None:
    display = Display(console(80, True))
    display.run = ShownRun()
    display.run.update(2400, 300, 16_000.0)
    display.run.note = "64 on 16 machines"
    (run,) = lines(display, 80)
    assert run.endswith("300/2400 cells done  0:00 elapsed, about 4:26:39 left  64 on 16 machines")


def test_bars_are_plain_where_the_encoding_is() -> None:
    display = Display(Console(file=io.TextIOWrapper(io.BytesIO(), "ascii"), width=80))
    display.add_task("fit", total=2, completed=1, unit="steps", note="")
    (line,) = lines(display, 80)
    assert "############------------" in line and line.isascii()


def test_durations_are_spoken_as_clocks_show_them() -> None:
    assert [clock(s) for s in (-1, 7, 61.9, 3600 * 26 + 62)] == ["0:00", "0:07", "1:01", "26:01:02"]
    assert times(5, None) == "0:05 elapsed" and times(5, 65) == "0:05 elapsed, about 1:05 left"


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_what_is_left_follows_from_what_was_seen(tmp_path: Path) -> None:
    (made,) = plans(tmp_path, "base_to_new", set="Recipe.epochs=4")
    zero, _, first, second = made.cells
    now = Clock()
    outlook = Outlook(now)
    outlook.plan(made.cells)
    assert outlook.total == 4 and outlook.elapsed == 0 and outlook.left() is None
    for cell in made.cells[:2]:
        outlook.started(cell)
        now.time += 2
        outlook.ended(cell)
    assert outlook.done == 2 and outlook.elapsed == 4
    assert outlook.left() is None  # no training was seen
    outlook.started(first)
    now.time += 10
    outlook.epoch_ended(first, 0)
    assert outlook.left() == pytest.approx(3 * 10 + 2 + 4 * 10 + 2)
    now.time += 1
    assert outlook.left() == pytest.approx(3 * 10 + 2 + 4 * 10 + 2 - 1)
    now.time += 9
    outlook.epoch_ended(first, 1)
    outlook.ended(first, failed=True)
    assert outlook.left() == pytest.approx(4 * 10 + 2) and outlook.done == 3
    outlook.ended(second)
    assert outlook.left() == 0 and zero.id not in {second.id}


def test_cells_that_share_a_training_are_scored_only(tmp_path: Path) -> None:
    both = plans(tmp_path, "base_to_new", "generalized_base_to_new", seeds=1, baseline=False)
    (first,), (shared,) = (made.cells for made in both)
    now = Clock()
    outlook = Outlook(now)
    for made in both:
        outlook.plan(made.cells)
    outlook.started(first)
    for number in range(40):
        now.time += 1
        outlook.epoch_ended(first, number)
    now.time += 5
    outlook.ended(first)
    assert extent.steps(shared) > 0 and outlook.left() == pytest.approx(5)
    outlook.started(shared)
    now.time += 1
    assert outlook.left() == pytest.approx(4)


def test_cells_at_the_same_time_share_what_is_left(tmp_path: Path) -> None:
    (made,) = plans(tmp_path, "base_to_new", seeds="1,2,3,4", baseline=False, set="Recipe.epochs=2")
    now = Clock()
    outlook = Outlook(now)
    outlook.plan(made.cells)
    for cell in made.cells[:2]:
        outlook.started(cell)
    now.time += 10
    for cell in made.cells[:2]:
        outlook.epoch_ended(cell, 0)
    assert outlook.left() == pytest.approx((10 + 10 + 20 + 20) / 2)
    outlook.ended(made.cells[2])
    outlook.ended(made.cells[3])
    now.time += 4
    assert outlook.left() == pytest.approx(6)


def run(terminal: Terminal, made: Plan) -> None:
    terminal.planned(made)
    for cell in made.cells:
        terminal.cell_started(cell)
        with terminal.task(f"fit {cell.label}", 4, "steps") as task:
            task.advance(4, "loss 0.1")
        terminal.epoch_ended(cell, Epoch(0, 0.1, {}, {}))
        terminal.cell_ended(cell, record())
    terminal.close()


def test_a_pipe_gets_plain_lines_that_say_where_the_run_is(tmp_path: Path) -> None:
    lr = plans(tmp_path, "base_to_new", baseline=False, set="Recipe.epochs=2", seeds="1,2,3")
    plain = console(60, False)
    run(Terminal(plain), lr[0])
    text = printed(plain)
    assert "\x1b" not in text
    assert "cell 1/3 coop on counts, 16 shots, seed 1\n" in text
    assert (
        "cell 2/3 coop on counts, 16 shots, seed 2 (1 done, 0:00 elapsed, about 0:00 left)\n"
        in text
    )
    assert "fit coop on counts, 16 shots, seed 1: 4 steps in 0.0 s\n" in text


def test_a_terminal_keeps_what_was_done_and_takes_its_display_away(tmp_path: Path) -> None:
    (made,) = plans(tmp_path, "base_to_new", baseline=False)
    moving = console(80, True)
    terminal = Terminal(moving)
    run(terminal, made)
    text = printed(moving)
    assert "0/2 cells done" in text and "cell 2/2 coop" in text and "4 steps in" in text
    assert terminal._display is None


def test_tasks_of_several_processes_say_whose_they_are(tmp_path: Path) -> None:
    (made,) = plans(tmp_path, "base_to_new", baseline=False)
    cell: Cell = made.cells[0]
    plain = console(80, False)
    receiver = Receiver(Terminal(plain), {cell.id: cell})
    receiver.take("cell_started", (cell.id,))
    for number, label in enumerate(("predict counts/base", f"fit {cell.label}")):
        receiver.take("task", (number, label, 2, "images"))
        receiver.take("task_ended", (number,))
    text = printed(plain)
    assert f"predict counts/base, {cell.label}: 0 images" in text
    assert f"fit {cell.label}: 0 images" in text


def trials(tmp_path: Path) -> list[Plan]:
    (search,) = searches([Request("coop", "base_to_new", datasets="counts", seeds="1,2")], 3)
    return [plan.build(each, "fp32", tmp_path) for each in search.trials()]


def searched(made: list[Plan], moving: bool) -> str:
    out = console(80, moving)
    terminal = Terminal(out)
    for each in made:
        terminal.planned(each)
    for cell in (cell for each in made for cell in each.cells):
        terminal.cell_started(cell)
        with terminal.task(f"fit {cell.label}", 4, "steps") as task:
            task.advance(4, "loss 0.1")
        terminal.cell_ended(cell, record())
    terminal.cell_failed(made[0].cells[0], "it diverged", Path("log"))
    terminal.close()
    text = printed(out)
    return text


@pytest.mark.parametrize("moving", [True, False])
def test_a_search_is_one_line_and_what_has_failed(moving: bool, tmp_path: Path) -> None:
    text = searched(trials(tmp_path), moving)
    assert text.count("generalisation, trials: 6 cells, 0 done, 6 to compute") == 1
    assert "cell 1/6" not in text and "4 steps in" not in text
    assert ("6 cells done" in text) if moving else (text.count("/6 cells done, 0:00") == 1)
    assert "it diverged" in text


def test_plans_of_one_protocol_are_one_line(tmp_path: Path) -> None:
    made = plans(tmp_path, "base_to_new", "few_shot") + plans(tmp_path, "base_to_new", seeds="3")
    plain = console(300, False)
    terminal = Terminal(plain)
    for each in made:
        terminal.planned(each)
    terminal.message("then")
    *planned, then = printed(plain).splitlines()[-3:]
    counts = [len(made[0].cells) + len(made[2].cells), len(made[1].cells)]
    assert [line.split(": ")[1].split()[0] for line in planned] == [str(n) for n in counts]
    assert then == "then"
    terminal.close()
    assert printed(plain).count("to compute") == 2

"""What the author of a tracker writes: a listener with a title, made for one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from promptbench.tracking.listener import Listener


@dataclass(frozen=True)
class TrackerOptions:
    """How a tracker is wanted.

    `argument` stands behind its name and a colon, as in `--track wandb:online`, and is "" without
    one; a tracker that is `quiet` shows no progress.
    """

    argument: str = ""
    quiet: bool = False


class Tracker(Listener):
    """Shows, logs or sends what happens during a run: override the methods that it needs.

    In this order a tracker hears of a run:

    - `planned(plan)`, once for each plan, before anything is computed: `plan.cells` are all of its
      cells, `plan.pending()` those without a record;
    - of every cell that is computed `cell_started(cell)`, then `epoch_ended(cell, epoch)` for each
      epoch of its training (none, where another cell has the same training), and at last
      `cell_ended(cell, record)` or `cell_failed(cell, reason, log)`. A training that goes on from a
      checkpoint is announced by `training_resumed(cell, epochs)` with the epochs of before;
    - between all these `message(text)`, and `task(label, total, unit)`, a context manager around
      work that takes a while, whose `Task` receives `advance(count, note)` about ten times a
      second;
    - `waiting(count)`, when other processes compute all cells that are left;
    - `watched(left, note)`, every few seconds, where workers on other machines compute;
    - `close()`, at the end, however the run ended, and perhaps a second time.

    Of a cell there are `id`, `training_id`, `label`, `method.name`, `protocol`, `seed`,
    `parameters`, `recipe` and `folder(self.out)`, where the files of its record lie; a record holds
    all of `leaderboard/record.schema.json`, and `targets` have an `accuracy` in percent. What a
    method receives is the tracker's own copy.

    A tracker never costs a result. When one of its methods raises, the user reads one sentence, in
    which `remedy` may say what is to be done later; from then on only `close` is called. What it
    draws from random generators changes no number. `UserError` raised in the constructor refuses
    the run before anything is computed: there a missing package is named, with the command that
    installs it, and an `argument` that means nothing. Opening files and connections is for later,
    since trackers are also made only to see whether that is possible.

    Attributes:
        title: what it is called in `promptbench ls trackers`.
        takes: what may stand behind its name and a colon, in words; "" for nothing.
        in_every_process: with `--jobs N`, one in each process, for the cells that it computes one
            after the other. Otherwise there is one, in the process that was started, which hears of
            the cells of all processes, several at a time.
        beside: of a tracker `in_every_process`, the class of one more in the process that was
            started, which hears of the cells of all processes; None: there is none.
        wants_norms: epochs come with the norms of tokens, which cost a look at some images.
        remedy: what the user can do about a tracker that has failed, as the end of a sentence.
        out: the output folder; a tracker writes nowhere else.
    """

    title: ClassVar[str]
    takes: ClassVar[str] = ""
    in_every_process: ClassVar[bool] = False
    beside: ClassVar[type[Tracker] | None] = None
    remedy: str = ""

    def __init__(self, out: Path, options: TrackerOptions) -> None:
        self.out, self.options = out, options

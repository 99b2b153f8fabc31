"""The workers of a run on Ray: who comes, who computes what, who is gone."""

from __future__ import annotations

import time
from typing import Any

from promptbench import records
from promptbench.api import Work, counted
from promptbench.errors import RunError
from promptbench.executors._ray import engine, shares
from promptbench.executors._ray.actor import EXITED
from promptbench.executors._ray.engine import Gone, Unreachable
from promptbench.executors._ray.shares import Places, Slot, Terms
from promptbench.executors._ray.worker import (
    EVENTS,
    LOOK,
    START,
    Placed,
    Worker,
    as_sent,
    reason_to_end,
    shows,
    stored,
)
from promptbench.planning.cells import Cell
from promptbench.planning.profiles import Profile
from promptbench.running import failures
from promptbench.running.afterwards import Heard
from promptbench.support import stopping
from promptbench.support.processes import ending
from promptbench.tracking import Listeners, choosing
from promptbench.tracking.remote import Receiver
from promptbench.workers.handing_out import hand
from promptbench.workers.handing_out.board import Board
from promptbench.workers.handing_out.shared_folder import Token
from promptbench.workers.handing_out.unpacking import Sent
from promptbench.workers.looking_on.cancelling import refuse_cancelled
from promptbench.workers.plan.orders import Order

_LOOK = 0.5  # seconds that the driver waits for news of any worker
_NODES = 2.0  # between looks at nodes, and at the cells of others
_LATE = 20.0  # until a word is said of workers that have not come
_TIDY = 10.0  # for workers to end in, when there is nothing left
_GRACE = hand.GRACE + 5.0  # for all to save in, when the run is stopped
_LOST = 60.0  # of silence, until a worker counts as dead


class Crew:
    """All workers of a run, and what is left for them."""

    def __init__(
        self, work: Work, order: Order, sent: Sent, terms: Terms, profile: Profile
    ) -> None:
        self.work, self.order, self.terms, self.profile = work, order, terms, profile
        self.board = Board(work.cells, work.machine.out)
        self.heard = Heard(work.listener)
        self.workers: list[Worker] = []
        self._cells = {cell.id: cell for made in work.plans for cell in made.cells}
        self._token = Token(order.folder)
        self._sent = engine.put((sent.text, dict(sent.files), dict(sent.cards)))
        self._places = Places(terms, work.machine.jobs)
        self._count = 0
        self._said: set[str] = set()
        self._looked, self._alive = 0.0, time.monotonic()

    def compute(self) -> None:
        """Return when every cell has its record or its log.

        Raises:
            RunError: cells are left that no worker can compute.
            Cancelled, Stopped: the plan was, or a signal asked; `stop_in_order` is to follow.
        """
        with stopping.deferred() as request:  # Ray turns what a handler raises into something else
            while self.board.left:
                if time.monotonic() - self._looked > _NODES:
                    self._look_around()
                self._ask()
                self._hear(_LOOK)
                self._refuse_if_stuck()
                request.fulfil()

    # Who is there

    def _look_around(self) -> None:
        """Start workers on nodes that have come, and look which cells others have ended."""
        self._looked = time.monotonic()
        refuse_cancelled(self.order.folder, len(self.board.left))
        if ended := self.board.ended_elsewhere():
            self.heard.tell_the_rest(ended, self.board.out)
            self._alive = self._looked  # somebody is at work
        if (idle := self._places.look()) is not None:
            self._say_once(idle)
        if new := self._free_places():
            self._say_once(f"workers asked for: {shares.told(new)}")
        for slot in new:
            self._start(slot)
        self._say_who_is_late()

    def _free_places(self) -> list[Slot]:
        taken = [worker.slot for worker in self.workers]
        return self._places.free(taken, len(self.board.left))

    def _start(self, slot: Slot) -> None:
        self._count += 1
        actor = engine.actor(slot.node, slot.cpus, slot.gpus, self.profile.scratch)
        receiver = Receiver(Placed(self.heard, slot.node.name), self._cells)
        worker = Worker(slot, f"{self.order.id}-{self._count}", actor, receiver)
        worker.ask(LOOK, str(self.order.folder), self._token.text, worker.name)
        self.workers.append(worker)

    def _say_who_is_late(self) -> None:
        now = time.monotonic()
        late = [w for w in self.workers if w.stage == LOOK and now - w.asked > _LATE]
        if late:
            names = ", ".join(dict.fromkeys(worker.slot.node.name for worker in late))
            self._say_once(
                f"{counted(len(late), 'worker')} not there yet ({names}): what it takes may be in "
                "use there; the run goes on with those that are"
            )

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.heard.message(text)

    # What they say

    def _ask(self) -> None:
        """Ask workers that have answered again, with cells for those that have none."""
        for worker in [each for each in self.workers if each.call is None]:
            if worker.lost is not None:
                worker.repeat()
                continue
            if worker.idle:
                task = self.board.next(worker.without, claims_itself=not worker.sends)
                if task is not None:
                    worker.give(task, self.board.out)
            worker.listen()

    def _hear(self, seconds: float) -> None:
        if not self.workers:
            time.sleep(seconds)
            return
        ended = engine.first_of([w.call for w in self.workers if w.call is not None], seconds)
        for worker in [each for each in self.workers if each.call in ended]:
            call, worker.call = worker.call, None
            try:
                answer = engine.result(call)
            except Unreachable as lost:
                self._lose_sight(worker, str(lost))
            except Gone as gone:
                self._bury(worker, str(gone))
            else:
                worker.lost = None
                self._answered(worker, answer)

    def _answered(self, worker: Worker, answer: Any) -> None:
        if worker.stage == LOOK:
            self._begin(worker, answer)
        elif worker.stage == EVENTS:
            worker.heard(len(answer))
            for event in answer:
                self._take(worker, event["event"], event["facts"], event["files"])
        # else it has started, and is asked what happens

    def _lose_sight(self, worker: Worker, reason: str) -> None:
        """A worker does not answer; perhaps its node is gone, perhaps only the network."""
        now = time.monotonic()
        worker.lost = worker.lost or now
        if worker.slot.node.id not in engine.nodes() or now - worker.lost > _LOST:
            self._bury(worker, f"it does not answer ({reason})")
        else:
            time.sleep(_LOOK)  # what cannot be reached is refused at once

    def _begin(self, worker: Worker, answer: dict[str, str]) -> None:
        """Start a worker that has come, and that does or does not see the output folder."""
        node, out = worker.slot.node.name, self.board.out
        shared = answer["seen"] == "yes" and self._token.is_answered(worker.name)
        worker.sends = not shared
        if shared:
            self._say_once(f"{node} sees {out}, and writes there")
        else:
            self._say_once(f"{node} does not see {out}: what it computes is sent here")
            tracked, quiet = self.work.machine.trackers, self.work.machine.quiet
            worker.trackers = choosing.of_process(tracked, out, quiet)
            for made in self.work.plans:
                worker.trackers.planned(made)
            both = Listeners([Placed(self.heard, node), worker.trackers])
            worker.receiver = Receiver(both, self._cells)
        given = {
            "out": str(self.order.machine.out) if shared else "",
            "device": worker.slot.device,
            "norms": self.heard.wants_norms,
            "setup": list(self.profile.setup),
        }
        worker.ask(START, self._sent, given)

    def _take(self, worker: Worker, event: str, facts: list[Any], files: dict[str, bytes]) -> None:
        if event == hand.READY:
            worker.ready, worker.without = True, frozenset(facts[0])
            for remark in facts[1]:
                self._say_once(f"{worker.slot.node.name}: {remark}")
        elif event == hand.IDLE:
            if worker.task is not None:
                self.board.back(worker.task)
            worker.task, worker.idle = None, True
        elif event == hand.SAVED:
            self._store(worker, self._cells[facts[0]], files, facts[1])
        elif event in ("cell_ended", "cell_failed"):
            self._cell_over(worker, event, facts, files)
        elif event == hand.REFUSED:
            self._give_up(worker, facts[0])
        elif event == hand.LOST:
            self._bury(worker, facts[0])
        elif event == EXITED:
            code, last_line = facts
            how = f"{ending(code)}: {last_line}" if last_line else ending(code)
            self._bury(worker, f"its process ended ({how})")
        elif event != hand.STOPPED:
            worker.receiver.take(event, as_sent(event, facts))

    def _cell_over(
        self, worker: Worker, event: str, facts: list[Any], files: dict[str, bytes]
    ) -> None:
        """A cell has ended on a node; here, too, once its files are."""
        cell, out = self._cells[facts[0]], self.board.out
        if worker.sends and not self._store(worker, cell, files, facts[-1]):
            return
        if event == "cell_failed":
            worker.receiver.take(event, (cell.id, facts[1], failures.log_of(cell, out)))
        else:
            if not shows(cell, out):
                worker.receiver.cell = None
                self._say_once(f"{cell.label}: its record does not show in {out}; once more")
                return
            record = records.read(cell.folder(out) / records.RECORD)
            worker.receiver.take(event, (cell.id, record))
        self._places.has_computed(worker.slot)
        self.board.ended(cell)

    def _store(
        self, worker: Worker, cell: Cell, files: dict[str, bytes], sums: dict[str, str]
    ) -> bool:
        if (lost := stored(cell, files, sums, self.board.out)) is not None:
            worker.receiver.cell = None
            self.heard.message(f"{worker.slot.node.name}: {lost}")
        return lost is None

    # Who is gone

    def _bury(self, worker: Worker, reason: str) -> None:
        """A worker has ended before its time, perhaps with a cell in its hands."""
        if worker not in self.workers:
            return
        node, cell = worker.slot.node, worker.cell
        self._drop(worker)
        if not self._places.has(node):
            at = f", with {cell.label}" if cell is not None else ""
            self.heard.message(f"{node.name} is gone{at}; the others go on")
            return
        if cell is None or not worker.ready:
            self.heard.message(f"{node.name}: a worker is gone: {reason}")
        elif self.board.died(cell, reason):
            self.heard.cell_failed(cell, reason, failures.log_of(cell, self.board.out))
        else:
            self.heard.message(f"{node.name}: {cell.label}: {reason}; another worker goes on")
        if self._places.has_lost(worker.slot, reason):
            self.heard.message(f"{node.name}: one worker less, after several deaths in a row")

    def _give_up(self, worker: Worker, reason: str) -> None:
        """A worker cannot take part, and nor could another one in its place."""
        if worker in self.workers:
            self._places.give_up(worker.slot, reason)
            self._say_once(f"{worker.slot.node.name} takes no part: {reason}")
            self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        self.workers.remove(worker)
        if worker.task is not None:
            self.board.back(worker.task)
        worker.close()

    def _refuse_if_stuck(self) -> None:
        """Refuse to wait for workers that do not come, or cannot compute what is left.

        Raises:
            RunError: it would be in vain.
        """
        if any(worker.ready and worker.task is not None for worker in self.workers):
            self._alive = time.monotonic()
            return
        reason = reason_to_end(
            self.board.left,
            self.workers,
            free=len(self._free_places()),
            given_up=self._places.given_up.values(),
            waited=time.monotonic() - self._alive,
            most=self.terms.wait,
        )
        if reason is not None:
            left = counted(len(self.board.left), "cell")
            raise RunError(
                f"{left} left{reason}; what is finished is kept, and the same command goes on "
                "from here"
            )

    # How it ends

    def stop_in_order(self) -> None:
        """Let all workers save what they are at, and take what they send."""
        for worker in self.workers:
            worker.actor.stop.remote()
        limit = time.monotonic() + _GRACE
        busy = [worker for worker in self.workers if worker.stage == EVENTS]
        while (waiting := [w for w in busy if w in self.workers]) and time.monotonic() < limit:
            for worker in waiting:
                if worker.call is None:
                    worker.listen()
                if not engine.first_of([worker.call], 0.1):
                    continue
                try:
                    events = engine.result(worker.call)
                except Gone:
                    self._drop(worker)
                    continue
                worker.heard(len(events))
                worker.call = None
                for event in events:
                    if event["event"] == EXITED:
                        busy.remove(worker)
                    elif event["event"] in (hand.SAVED, "cell_ended", "cell_failed"):
                        self._take(worker, event["event"], event["facts"], event["files"])

    def close(self) -> None:
        """End all workers, and let them tidy up."""
        calls = [worker.actor.close.remote() for worker in self.workers if worker.stage != LOOK]
        limit = time.monotonic() + _TIDY
        while calls and time.monotonic() < limit:
            ended = engine.first_of(calls, _LOOK)
            calls = [call for call in calls if call not in ended]
        for worker in list(self.workers):
            self._drop(worker)

"""A record's predictions computed again from what its method has learned, and held against them.

Nothing is trained. It takes the datasets and the backbone's weights, and the learned parameters,
beside the record or where it points to. The predictions follow from them if every label is the same
and probabilities agree; on another device, or with other versions, a few labels may tip over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from promptbench import records
from promptbench.analysis.runs import Run, open_runs
from promptbench.config import suites
from promptbench.errors import UserError, one_line
from promptbench.isolation import audit
from promptbench.leaderboard.accepting import claims
from promptbench.leaderboard.checking import pointing
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.planning.machine import Machine
from promptbench.records import Environment, Record, TargetResult
from promptbench.records.verify import read_table
from promptbench.reproduction import Whereabouts
from promptbench.running.lab import arithmetic, environment
from promptbench.running.predicting.scoring import score
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable
from promptbench.tracking import Listener

TIPPED = 1000  # on another machine one label of so many may differ, and one in any case
APART = 0.05  # by which a confidence may differ: bfloat16 has three digits

Outcome = Literal["same", "different", "impossible"]


@dataclass(frozen=True)
class Recomputed:
    """What came of it: `said` is that in a sentence, `facts` what is kept of a success."""

    outcome: Outcome
    said: str
    facts: dict[str, Any] = field(default_factory=dict)


def recompute_all(
    verdicts: Sequence[Verdict], machine: Machine, here: Whereabouts, listener: Listener
) -> Iterator[Verdict]:
    """Recompute records, keep for which it has come out the same (`claims`), and yield the verdicts
    as they are then: recomputed, refused, or as they were, with the reason in a note."""
    for verdict in verdicts:
        if verdict.state == "refused":
            yield verdict
            continue
        found = recompute(verdict, machine, here, listener)
        if found.outcome == "same":
            claims.write(verdict.path, found.facts)
        elif found.outcome == "different":
            claims.withdraw(verdict.path)
            yield replace(verdict, state="refused", reasons=(*verdict.reasons, found.said))
            continue
        (now,) = claims.promoted([verdict])
        when = " this time" if now.state == "recomputed" else ""
        notes = (f"not recomputed{when}: {found.said}",) if found.outcome == "impossible" else ()
        yield replace(now, notes=(*now.notes, *notes))


def recompute(
    verdict: Verdict, machine: Machine, here: Whereabouts, listener: Listener
) -> Recomputed:
    """Compute the predictions of a record again.

    Args:
        verdict: what is known of the record; it must be verified, that is, with its datasets.
        machine: how it is computed; precision is the record's.
        here: where data, weights and class texts lie.
        listener: hears how far it is.
    """
    record = verdict.record
    if record is None or verdict.state != "verified":
        reasons = "; ".join(verdict.reasons or verdict.notes)
        return Recomputed("impossible", f"only a verified record can be: {reasons}")
    with tempfile.TemporaryDirectory(prefix="recomputed-") as scratch:
        folder = Path(scratch)
        try:
            run = _opened(verdict.path, record, folder, machine, here, listener)
            return _compared(verdict.path.parent, record, run, folder / "again")
        except UserError as error:
            told = one_line(error).replace(str(folder / "cell"), str(verdict.path.parent))
            return Recomputed("impossible", printable(told))


def _opened(
    path: Path,
    record: Record,
    scratch: Path,
    machine: Machine,
    here: Whereabouts,
    listener: Listener,
) -> Run:
    """The cell of a record with what it has learned, in a folder of its own."""
    data = pointing.parameters(path, record)
    cell = scratch / "cell"
    cell.mkdir()
    records.copy(path, cell)
    if data is not None:
        (cell / records.PARAMETERS).write_bytes(data)
    with arithmetic.restored():
        (run,) = open_runs([cell], machine, listener, here)
    return run


def _compared(folder: Path, record: Record, run: Run, scratch: Path) -> Recomputed:
    with audit.watched(run.cell.method.cls), arithmetic.restored():
        home = suites.of_backbone(run.lab.backbone.name)
        arithmetic.settle(run.lab.compute.device, home.threads if home else None)
        method = run.method()
        made = [score(run.cell, run.lab, method, t, scratch) for t in run.cell.leg.targets]
        run.lab.keeper.refuse_changed()
        now = environment.describe(run.lab.compute)
    again = {target.key: target for target in made}
    changed = circumstances(record.environment, now)
    found = [
        difference((t, folder), (again[t.key], scratch), bool(changed)) for t in record.targets
    ]
    told = "; ".join(d.said for d in found if d.said) or "predictions identical"
    if any(d.said for d in found):
        told += f" ({', '.join(changed) or 'on the device and with the versions of the record'})"
    if not all(d.holds for d in found):
        return Recomputed("different", f"its learned parameters give other predictions: {told}")
    facts = {
        "said": printable(told),
        "labels_that_differ": {t.key: d.labels for t, d in zip(record.targets, found, strict=True)},
        "images": {t.key: sum(t.total) for t in record.targets},
        "promptbench": now.promptbench,
        "torch": now.packages.get("torch"),
        "device": now.device,
    }
    return Recomputed("same", told, facts)


@dataclass(frozen=True)
class Difference:
    """How the predictions of a target differ; `said` is "" if they are identical."""

    labels: int
    said: str
    holds: bool


def difference(
    old: tuple[TargetResult, Path], new: tuple[TargetResult, Path], elsewhere: bool
) -> Difference:
    """Compare the predictions of a target with those that were computed again.

    Args:
        old, new: a target and the folder of its predictions.
        elsewhere: whether they were computed on another device or with other versions.
    """
    key = old[0].key
    if old[0].predictions_sha256 == new[0].predictions_sha256:
        return Difference(0, "", True)
    then, now = read_table(*old), read_table(*new)
    labels = (then.columns["label"].tolist(), now.columns["label"].tolist())
    if then.keys != now.keys or labels[0] != labels[1]:
        return Difference(len(then.keys), f"{key}: other images or labels", False)
    other = then.columns["predicted"] != now.columns["predicted"]
    many, images = int(other.sum()), len(then.keys)
    most = max(1, images // TIPPED) if elsewhere else 0
    said = f"{key}: {many} of {counted(images, 'label')} differ" if many else ""
    apart = _apart(then.columns, now.columns, ~other)
    if many == 0 and apart:
        said = f"{key}: labels identical, confidences differ by up to {apart:.4f}"
    elif apart > APART:
        said += f", confidences of others by up to {apart:.4f}"
    return Difference(many, said, many <= most and apart <= APART)


def _apart(then: Any, now: Any, rows: Any) -> float:
    """By how much confidences differ at most; 0 where there are none, as in schema 1."""
    if "confidence" not in then or not rows.any():
        return 0.0
    return float(np.abs(then["confidence"] - now["confidence"])[rows].max())


def circumstances(then: Environment, now: Environment) -> list[str]:
    """What of the machine is not as in the record, of what may move a label."""
    pairs = [
        ("device", then.device, now.device),
        ("torch", then.packages.get("torch"), now.packages.get("torch")),
        ("threads", then.threads, now.threads),
        ("promptbench", then.promptbench, now.promptbench),
    ]
    return [f"{name} {a} then, {b} now" for name, a, b in pairs if a != b]

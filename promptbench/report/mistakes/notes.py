"""What is said beside mistakes: how seeds were put together, what is not known and why."""

from __future__ import annotations

from collections.abc import Sequence

from promptbench.records.labels import MOST_CONFUSIONS
from promptbench.report.mistakes.confusions import Confusions
from promptbench.support.prose import counted


def pooled(seeds: Sequence[int], same: bool, calibrated: Sequence[int]) -> list[str]:
    """How seeds were put together; `calibrated` are those whose confidences are known."""
    if len(seeds) < 2:
        return []
    said = ", ".join(map(str, seeds))
    if same:
        return [f"seeds {said} have the same predictions: every image counts once"]
    note = f"seeds {said} together: every image counts once for each"
    if calibrated:
        held = "all of them" if len(calibrated) == len(seeds) else f"those of {_of(calibrated)}"
        note += f"; the bins hold {held}"
    if len(calibrated) > 1:
        note += ", and the error over seeds is the mean of each seed's"
    return [note]


def absent(
    without: Sequence[int], labels_only: Sequence[int], found: Confusions, old: bool
) -> list[str]:
    """What cannot be shown, and why."""
    notes = []
    if labels_only:
        notes.append(
            f"accuracy only: predictions of schema 1 hold labels and no confidence "
            f"({_of(labels_only)}), so that they are in no reliability diagram and no list of "
            "confident mistakes"
        )
    if without:
        notes.append(
            f"no predictions lie beside the record ({_of(without)}): confidence, keys of images "
            "and all that follows from them are not known"
        )
    if not found.whole:
        what = (
            "records of schema 1 hold none, only what was right per class"
            if old
            else f"records of more than {MOST_CONFUSIONS} classes keep the most frequent ones"
        )
        known = int(found.pairs.images.sum())
        notes.append(
            f"confusions are known of {known:,} of {counted(found.wrong, 'mistake')}: {what}"
        )
    return notes


def _of(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"

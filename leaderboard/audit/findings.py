"""What the audit finds."""

from __future__ import annotations

from dataclasses import dataclass

# What each kind of finding is, the ones that no reading explains first.
KINDS = {
    "harmonic mean": "a printed harmonic mean does not follow from its two numbers",
    "average": "a printed average does not follow from its columns",
    "twice": "one source prints two numbers for the same cell, or a line stands there twice",
    "datasets": "an average is over other datasets than the protocol's",
    "mean of HMs": "an average HM is the mean of the datasets' HMs, not the HM of the averages",
    "two names": "the same numbers stand under two names",
    "open": "the source does not print what would be needed to decide",
}


@dataclass(frozen=True)
class Finding:
    """One finding about one printed number (or, for "two names", about a row).

    `printed` is the number as it is printed; `low` and `high` are the ends of what the other
    numbers of the row allow, None where that is not a question of numbers. `file` and `line` say
    where the number stands; `note` is what this line of the file says itself.
    """

    kind: str
    protocol: str
    method: str
    shots: str
    backbone: str
    inference: str
    dataset: str
    split: str
    printed: str
    low: float | None
    high: float | None
    detail: str
    source: str
    origin: str
    note: str
    file: str
    line: int
    cause: str = ""

    @property
    def place(self) -> str:
        """Which number of which row: method, circumstances, dataset and split."""
        told = [f"{self.shots} shots"] if self.shots not in ("", "0") else []
        told += [self.backbone] if self.backbone else []
        told += [f"{self.inference} inference"] if self.inference == "decoupled" else []
        around = f" ({', '.join(told)})" if told else ""
        where = " ".join(filter(None, (self.dataset, self.split)))
        return f"{self.method}{around}" + (f", {where}" if where else "")

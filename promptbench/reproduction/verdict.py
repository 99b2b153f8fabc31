"""How a cell that was computed again compares with its record: what differs, what is as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from promptbench.records import Record, scores
from promptbench.support.safe_text import printable

_HASH = re.compile(r"\b[0-9a-f]{40,64}\b")  # twelve characters tell hashes apart

_OTHER = "same counts, other predictions"

Outcome = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Reproduction:
    """How a cell computed again compares with its record.

    `numbers` says in what the numbers differ, `circumstances` what else is not as it was (weights,
    data, configuration, code, machine), `same` which of these are.
    """

    outcome: Outcome
    tolerance: float
    numbers: tuple[str, ...]
    circumstances: tuple[str, ...]
    same: tuple[str, ...]


def compare(
    old: Record, new: Record, tolerance: float, answers: Mapping[str, str | None] | None = None
) -> Reproduction:
    """The verdict on two records of a cell.

    `tolerance` is in the usual metric, per target. `answers` say in what the predictions of a
    target differ, if they do (see `answers_differ`); without them their hashes are compared.
    """
    if answers is None:
        answers = {
            t.key: None if t.predictions_sha256 == o.predictions_sha256 else _OTHER
            for t in old.targets
            for o in new.targets
            if t.key == o.key
        }
    numbers, circumstances = _numbers(old, new, answers), _circumstances(old, new)
    return Reproduction(
        outcome=_outcome(old, new, numbers, tolerance),
        tolerance=tolerance,
        numbers=tuple(map(printable, numbers)),
        circumstances=tuple(printable(text) for text in circumstances.values() if text),
        same=tuple(name for name, text in circumstances.items() if not text),
    )


def _outcome(old: Record, new: Record, numbers: list[str], tolerance: float) -> Outcome:
    if not numbers:
        return "identical"
    then, now = scores.per_target(old), scores.per_target(new)
    largest = max(abs(then[key] - now[key]) for key in then)
    same_task = old.source.keys == new.source.keys and _totals(old) == _totals(new)
    return "within tolerance" if same_task and largest <= tolerance else "different"


def _totals(record: Record) -> dict[str, list[int]]:
    return {target.key: target.total for target in record.targets}


def _numbers(old: Record, new: Record, answers: Mapping[str, str | None]) -> list[str]:
    """In which numbers two records of a cell differ, in words."""
    found = []
    if old.source.keys != new.source.keys:
        found.append("the few-shot subset has other images")
    if old.training.losses != new.training.losses:
        found.append(_losses(old, new))
    if old.training.parameters_sha256 != new.training.parameters_sha256:
        found.append("the learned parameters have other bytes")
    metric, again = scores.load(), {target.key: target for target in new.targets}
    before, now = scores.per_target(old, metric), scores.per_target(new, metric)
    for target in old.targets:
        other = again[target.key]
        if target.total != other.total:
            found.append(f"{target.key}: {sum(target.total)} images, now {sum(other.total)}")
        if target.correct != other.correct:
            a, b = before[target.key], now[target.key]
            unit = f" {metric.unit}" if metric.unit else ""
            found.append(
                f"{target.key}: {metric.text(a)}{unit} then, {metric.text(b)}{unit} now "
                f"({metric.text(b - a, '+')})"
            )
        elif difference := answers[target.key]:
            found.append(f"{target.key}: {difference}")
    return found


def _losses(old: Record, new: Record) -> str:
    then, now = old.training.losses, new.training.losses
    for epoch, (a, b) in enumerate(zip(then, now, strict=False), 1):
        for name in a:
            if a[name] != b.get(name):
                change = f"{name} {a[name]!r}, now {b.get(name)!r}"
                return f"losses differ from epoch {epoch} on: {change}"
    return f"{len(then)} epochs then, {len(now)} now"


def _circumstances(old: Record, new: Record) -> dict[str, str]:
    """What determines the numbers -> how it has changed, "" if it has not."""
    then, now = old.environment, new.environment
    code = [
        _change("provider", old.method.provider, new.method.provider),
        _change("promptbench", then.promptbench, now.promptbench),
        _change("revision", then.git_revision, now.git_revision),
        *_changes(then.packages, now.packages),
    ]
    machine = [
        _change(name, getattr(then, name), getattr(now, name))
        for name in ("python", "platform", "device", "threads")
    ]
    settings = [
        *_changes(old.method.parameters, new.method.parameters),
        *_changes(old.training.recipe, new.training.recipe),
    ]
    return {
        "weights": _change("weights", old.backbone.sha256, new.backbone.sha256),
        "preprocessing": "; ".join(
            filter(None, _changes(old.backbone.preprocess.facts, new.backbone.preprocess.facts))
        ),
        "data": "; ".join(
            _change(f"data of {name}", old.data[name].shards_sha256, new.data[name].shards_sha256)
            or _change(f"card of {name}", old.data[name].card_sha256, new.data[name].card_sha256)
            for name in old.data
            if old.data[name] != new.data.get(name)
        ),
        "class texts": "; ".join(
            change
            for name, info in old.data.items()
            if (other := new.data.get(name))
            and (
                change := _change(
                    f"class texts of {name}", info.class_texts_sha256, other.class_texts_sha256
                )
            )
        ),
        "configuration": "; ".join(filter(None, settings)),
        "protocol": _change("protocol version", old.protocol.version, new.protocol.version),
        "code": "; ".join(filter(None, code)),
        "machine": "; ".join(filter(None, machine)),
        "cell id": _change("cell id", old.cell_id, new.cell_id),
    }


def _changes(then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [_change(name, then.get(name), now.get(name)) for name in sorted({*then, *now})]


def _change(name: str, then: object, now: object) -> str:
    plain = [list(value) if isinstance(value, tuple) else value for value in (then, now)]
    if plain[0] == plain[1]:
        return ""
    a, b = (_HASH.sub(lambda match: match[0][:12], str(value)) for value in plain)
    return f"{name} {a}, now {b}"

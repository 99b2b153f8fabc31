"""Everything about one cell, beside what goes wrong in it: results, settings, where it was computed
and from what, ids and hashes, and the commands that compute it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptbench.leaderboard.accepting.copies import place_of
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import error_pages
from promptbench.leaderboard.web.commands import command_of, settings_of
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records import Record, TargetResult, subset
from promptbench.records.scores import Folders, of_counts
from promptbench.report.text import NOTHING
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable, visible

_KEYS = 200  # names of images that a page lists; a file has all
Facts = list[tuple[str, str]]


def whole_page(verdict: Verdict, folders: Folders, thumbnails: Thumbnails) -> dict[str, Any]:
    """What the page of a record says: its cell, and what goes wrong in it.

    Args:
        folders: where predictions lie.
        thumbnails: which write its pictures.
    """
    record = verdict.whole()
    about = record_page(replace(verdict, record=record))
    own = {"about": about, "title": about["heading"], "state": verdict.state}
    return error_pages.error_page(record, folders, thumbnails) | own


def record_page(verdict: Verdict) -> dict[str, Any]:
    """What the page of a record says of its cell, as plain data."""
    record = verdict.whole()
    folder = f"records/{place_of(record).as_posix()}"
    return {
        "permalink": error_pages.page_of(record).rpartition("/")[2],
        "heading": printable(
            f"{record.method.title} on {record.leg.source.key}, "
            f"{counted(record.source.shots, 'shot')}, seed {record.seed}"
        ),
        "metric": known.default_metric().label,
        "results": [_result(target) for target in record.targets],
        "commands": "\n".join(
            (
                command_of(record),
                f"promptbench reproduce {folder}/record.json",
                f"promptbench leaderboard verify {folder}",
            )
        ),
        "notes": verdict.notes,
        "settings": _shown(settings_of(record)),
        "training": _training(record),
        "losses": _losses(record.training.losses),
        "environment": _environment(record),
        "identity": _identity(record),
        "config": visible(record.config),
        "subset": subset.FILE if (verdict.path.parent / subset.FILE).is_file() else "",
        "keys": [printable(key) for key in record.source.keys[:_KEYS]],
        "key_count": len(record.source.keys),
    }


def _result(target: TargetResult) -> dict[str, Any]:
    metric = known.default_metric()
    value = of_counts(metric, target)[target.key]
    return {
        "key": target.key,
        "split": target.split,
        "shift": target.shift,
        "value": metric.text(value),
        "right": f"{sum(target.correct):,}",
        "images": f"{sum(target.total):,}",
        "seconds": f"{target.seconds:.2f}",
    }


def _training(record: Record) -> Facts:
    own = record.training
    facts: dict[str, Any] = {
        "learned parameters": f"{record.method.learned_parameters:,}",
        "epochs": own.epochs,
        "steps": own.steps,
        "seconds": f"{own.seconds:.2f}",
        "selection": record.protocol.selection,
        "data beyond the few shots": record.method.extra_data or "not stated",
    }
    if record.validation is not None:
        chosen = record.validation.chosen
        facts["validation images"] = f"{record.validation.images:,}"
        facts["validation accuracy of what is scored"] = (
            NOTHING if chosen is None else f"{chosen:.2f}"
        )
    if record.tuning is not None:
        facts["settings found by"] = f"a search of {record.tuning.budget} trials"
    if record.limit is not None:
        facts["limit"] = f"the first {record.limit} images of each target"
    return _shown(facts)


def _losses(losses: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The loss terms by epoch as a table; of many epochs some twenty, evenly, with the last."""
    terms = list(dict.fromkeys(term for epoch in losses for term in epoch))
    every = max(1, -(-len(losses) // 20))
    numbers = [i for i in range(len(losses)) if i % every == 0 or i == len(losses) - 1]
    return {
        "terms": [printable(term) for term in terms],
        "every": every,
        "rows": [
            (i + 1, [f"{losses[i][term]:.4g}" if term in losses[i] else NOTHING for term in terms])
            for i in numbers
        ],
    }


def _environment(record: Record) -> Facts:
    own, backbone = record.environment, record.backbone
    return _shown(
        {
            "created": record.created,
            "promptbench": own.promptbench,
            "git revision": own.git_revision or "not known",
            "Python": own.python,
            **own.packages,
            "platform": own.platform,
            "device": own.device,
            "precision": own.precision,
            "CPU threads": own.threads,
            "peak memory in MiB": f"{own.peak_memory_mb:.0f}",
            "backbone": f"{backbone.name}, weights {backbone.weights}",
            "image size": backbone.image_size,
        }
    )


def _identity(record: Record) -> Facts:
    """Ids and SHA-256 of everything that the numbers hang on."""
    found = {
        "schema": record.schema_version,
        "cell": record.cell_id,
        "training": record.training_id,
        "settings": record.config_sha256,
        "weights of the backbone": record.backbone.sha256,
        "module and settings of the method": record.method.source_sha256 or "not stated",
        "file of learned parameters": record.training.parameters_sha256 or "nothing is learned",
    }
    for name, data in record.data.items():
        found[f"card of {name}, version {data.card_version}"] = data.card_sha256
        found[f"images of {name}"] = data.shards_sha256
        if data.class_texts_sha256:
            found[f"sentences of {name}"] = data.class_texts_sha256
    found |= {f"predictions of {t.key}": t.predictions_sha256 for t in record.targets}
    return _shown(found)


def _shown(facts: Mapping[str, Any]) -> Facts:
    return [(printable(str(key)), printable(str(value))) for key, value in facts.items()]

"""What each fact of a record means for the row that the record stands in.

| role   | records that differ in it                   | such as                               |
|--------|---------------------------------------------|---------------------------------------|
| TABLE  | stand in different tables                   | suite, protocol, backbone, precision, |
|        |                                             | preprocessing with its image size     |
| ROW    | stand in different rows                     | method, title, provider, preset,      |
|        |                                             | overrides, inference, limit           |
| AGREE  | stand in different rows if they share what  | hashes of a dataset, settings on a    |
|        | the fact is about (a dataset, a source, a   | source, test images of a target, code |
|        | target); a record that does not say it      | of a plugin                           |
|        | joins a row, which then carries a mark      |                                       |
| COLUMN | are other cells of a row: they stand in     | source, targets                       |
|        | other columns and never make one number     |                                       |
| MARK   | share a row, which carries a mark; its      | versions, revision, device, threads   |
|        | footnote names the values and their seeds   |                                       |
| SEED   | share a row: what a seed changes, what was  | seed, counts, losses, seconds, dates  |
|        | measured, or names of files and cells       |                                       |

`DECISIONS` has the role of every fact, with the reason; a test walks the record's model, so that a
new fact without a decision fails. The rule is symmetrical, and the order of records plays no part.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from promptbench.core.registry import BUILT_IN, PROTOCOLS
from promptbench.records import Record, once_for_alike


class Role(Enum):
    """What becomes of records that differ in a fact; see the module."""

    TABLE = "table"
    ROW = "row"
    AGREE = "agree"
    COLUMN = "column"
    MARK = "mark"
    SEED = "seed"


@dataclass(frozen=True)
class Decision:
    """A fact's role and its reason.

    `name` is what labels and footnotes call it. `source`: the fact may differ from source to source
    and is compared between records of one source only (facts of datasets and targets are compared
    by dataset and target in any case).
    """

    role: Role
    why: str
    name: str = ""
    source: bool = False


_T, _R, _A, _C, _M, _S = (
    Role.TABLE, Role.ROW, Role.AGREE, Role.COLUMN, Role.MARK, Role.SEED,
)  # fmt: skip
_CODE = "other code may compute other numbers from the same settings; versions rarely do"
_MACHINE = "other hardware rounds otherwise; the same cell stays within a few images"
_PREPROCESS = "other pixels enter the same network"

DECISIONS: dict[str, Decision] = {
    "schema_version": Decision(_M, "of schema 1, metrics of probabilities have no value", "schema"),
    "cell_id": Decision(_S, "names the cell, the seed included"),
    "training_id": Decision(_S, "names the training, the seed included"),
    "suite": Decision(_T, "another benchmark"),
    "comparable": Decision(
        _M, "follows from suite, weights and data", "comparable with published numbers", True
    ),
    "method.name": Decision(_R, "another method"),
    "method.title": Decision(_R, "a row has one title"),
    "method.paper": Decision(_M, "moves no number", "paper"),
    "method.paradigm": Decision(_R, "a row stands under one paradigm"),
    "method.provider": Decision(_R, "other code under the same name", "provider"),
    "method.parameters": Decision(_A, "the settings in force", "settings", True),
    "method.learned_parameters": Decision(_A, "follows from code and settings", "learns", True),
    "method.extra_data": Decision(_A, "other knowledge", "learns also from"),
    "method.source_sha256": Decision(
        _A,
        "other code under the same name; of a built-in method it is a mark, as versions are",
        "code",
    ),
    "preset": Decision(_R, "other settings"),
    "overrides": Decision(_R, "other settings"),
    "inference": Decision(_R, "another rule"),
    "protocol.name": Decision(_T, "another protocol"),
    "protocol.version": Decision(_T, "versions of a protocol move numbers"),
    "protocol.selection": Decision(_R, "which epoch is scored"),
    "source.dataset": Decision(_C, "another leg of the protocol"),
    "source.classes": Decision(_C, "another leg of the protocol"),
    "source.shots": Decision(_C, "another leg; another table where one shows a single number"),
    "source.keys": Decision(_S, "the few-shot subset is drawn with the seed"),
    "source.keys_sha256": Decision(_S, "the few-shot subset is drawn with the seed"),
    "seed": Decision(_S, "it is what rows average over"),
    "limit": Decision(_R, "a part of the test set"),
    "backbone.name": Decision(_T, "another network"),
    "backbone.weights": Decision(_M, "a name for the same bytes", "weights called"),
    "backbone.sha256": Decision(_T, "another network"),
    "backbone.activation_verified": Decision(
        _M, "what was known of the same bytes", "activation verified"
    ),
    "backbone.image_size": Decision(_T, _PREPROCESS),
    "backbone.mean": Decision(_T, _PREPROCESS),
    "backbone.std": Decision(_T, _PREPROCESS),
    "backbone.interpolation": Decision(_T, _PREPROCESS),
    "backbone.resize_mode": Decision(_T, _PREPROCESS),
    "backbone.fill_color": Decision(_T, _PREPROCESS),
    "backbone.weights_preset": Decision(_M, "a name for the same bytes", "preset of the weights"),
    "config": Decision(_M, "its settings are compared as such", "configuration", True),
    "config_sha256": Decision(_M, "of the configuration", "hash of the configuration", True),
    "data.*.card_version": Decision(_A, "another version of the data", "card version"),
    "data.*.card_sha256": Decision(_A, "other class names, templates or splits", "card"),
    "data.*.shards_sha256": Decision(_A, "other images or labels", "images"),
    "data.*.resize_short": Decision(_R, "images stored at another size", "stored at"),
    "data.*.class_sets": Decision(_A, "other labels under its name", "class set"),
    "data.*.class_texts": Decision(_M, "a name for the same bytes", "class texts called"),
    "data.*.class_texts_sha256": Decision(_A, "other sentences", "class texts"),
    "training.recipe": Decision(_A, "the settings in force", "settings", True),
    "training.epochs": Decision(_A, "follows from the recipe", "epochs", True),
    "training.steps": Decision(_A, "follows from the recipe and the data", "steps", True),
    "training.seconds": Decision(_S, "was measured"),
    "training.losses": Decision(_S, "follows from the seed"),
    "training.class_chunk": Decision(_M, "sums may differ in the last bit", "class chunk"),
    "training.parameters_sha256": Decision(_S, "follows from the seed"),
    "validation.fingerprint": Decision(_S, "the few-shot subset is drawn with the seed"),
    "validation.images": Decision(_A, "another validation set", "validation images", True),
    "validation.per_class": Decision(
        _A, "another validation set", "validation images per class", True
    ),
    "validation.keys": Decision(_S, "the few-shot subset is drawn with the seed"),
    "validation.accuracy": Decision(_S, "follows from the seed"),
    "validation.epoch": Decision(_S, "follows from the seed"),
    "validation.seconds": Decision(_S, "was measured"),
    "tuning.budget": Decision(_A, "another budget, which the preset says as well", "budget"),
    "tuning.rule": Decision(_A, "another choice", "choice of trials"),
    "tuning.engine": Decision(_A, "other trials", "trials drawn by"),
    "tuning.space": Decision(_A, "other trials", "search space"),
    "tuning.space_sha256": Decision(_A, "other trials", "search space"),
    "tuning.seeds": Decision(_A, "other trainings behind the choice", "seeds of the trials"),
    "tuning.chosen": Decision(_A, "another choice for a source", "trial", True),
    "tuning.trials": Decision(_A, "another choice for a source", "trials", True),
    "targets.*.dataset": Decision(_C, "another target"),
    "targets.*.classes": Decision(_C, "another target"),
    "targets.*.names": Decision(_C, "another target"),
    "targets.*.split": Decision(_A, "other test images", "split"),
    "targets.*.shift": Decision(_A, "another task", "shift"),
    "targets.*.correct": Decision(_S, "it is what rows average"),
    "targets.*.total": Decision(_A, "other test images", "images"),
    "targets.*.learned": Decision(_S, "follows from source and target, which are columns"),
    "targets.*.confusions": Decision(_S, "follows from the seed"),
    "targets.*.predictions": Decision(_S, "the name of a file"),
    "targets.*.predictions_sha256": Decision(_S, "follows from the seed"),
    "targets.*.seconds": Decision(_S, "was measured"),
    "targets.*.class_seconds": Decision(_S, "was measured"),
    "environment.promptbench": Decision(_M, _CODE, "promptbench"),
    "environment.git_revision": Decision(_M, _CODE, "revision"),
    "environment.python": Decision(_M, _CODE, "Python"),
    "environment.packages": Decision(_M, _CODE),
    "environment.platform": Decision(_M, _MACHINE, "platform"),
    "environment.device": Decision(_M, _MACHINE, "device"),
    "environment.precision": Decision(_T, "rounds otherwise at every step"),
    "environment.threads": Decision(_M, _MACHINE, "threads"),
    "environment.peak_memory_mb": Decision(_S, "was measured"),
    "created": Decision(_S, "a date that a record gives itself"),
}

APART = (Role.TABLE, Role.ROW, Role.AGREE)  # whoever differs in it shares no row

Scope = tuple[Any, ...]  # what a fact is about: a dataset, a target, a source; () for the record
Key = tuple[str, Scope]
Facts = Mapping[Key, str]  # values as JSON, None left out


def stated(r: Record, role: Role) -> Iterator[tuple[Key, Any]]:
    """The facts of a record that have a role, with None for what the record does not say."""
    source: Scope = (r.source.dataset, r.source.classes, r.source.shots)
    datasets = used(r)
    for path, whole, name, by_source in _of_role(role):
        if whole == "data":
            for dataset in datasets:
                value = getattr(r.data.get(dataset), name, None)
                if name == "class_sets":  # records of several legs of a row use other ones
                    yield from (((path, (dataset, own)), v) for own, v in (value or {}).items())
                else:
                    yield (path, (dataset,)), value
        elif whole == "targets":
            yield from (((path, (t.key,)), getattr(t, name)) for t in r.targets)
        else:
            part = getattr(r, whole) if whole else r
            value = None if part is None else getattr(part, name)
            yield (path, source if by_source else ()), value


@functools.cache
def _of_role(role: Role) -> tuple[tuple[str, str, str, bool], ...]:
    """The facts of a role: path, part of the record ("" is the record itself), name in it, and
    whether they are compared by source. They are asked for of every record."""
    found = []
    for path, decision in DECISIONS.items():
        whole, _, name = path.replace(".*.", ".").rpartition(".")
        if decision.role is role:
            found.append((path, whole, name, decision.source))
    return tuple(found)


def used(r: Record) -> list[str]:
    """The datasets that a record has used, as it says."""
    names = (r.source.dataset, *(target.dataset for target in r.targets), *r.data)
    return list(dict.fromkeys(names))


@once_for_alike
def agreements(r: Record) -> Facts:
    """What the other records of a row may not contradict, as far as this one says it."""
    said = (
        (key, as_json(value))
        for key, value in stated(r, Role.AGREE)
        if value is not None and not only_marked(r.method.provider, key[0])
    )
    return _shared(tuple(said))


@functools.lru_cache(maxsize=2**14)  # seeds of a row say the same
def _shared(items: tuple[tuple[Key, str], ...]) -> Facts:
    return dict(items)


def distinct(said: Iterable[Facts]) -> list[Facts]:
    """What records say (`agreements`), with what many of them say only once."""
    return list({id(facts): facts for facts in said}.values())


def of_images(path: str) -> bool:
    """Whether a fact is about the images and class names that a record has seen; sentences about
    the classes are what one method knows of them."""
    return path.startswith(("data.", "targets.")) and not path.startswith("data.*.class_texts")


def only_marked(provider: str, path: str) -> bool:
    """Whether a fact on which rows agree is only a mark for methods of a provider: the code of
    promptbench's own methods changes with its version."""
    return path == "method.source_sha256" and provider == BUILT_IN


def shots_together(protocol: str) -> bool:
    """Whether a table of a protocol holds all numbers of shots."""
    together: bool = PROTOCOLS.load(protocol).cls.shots_together
    return together


def table_of(r: Record, together: Callable[[str], bool] = shots_together) -> dict[str, Any]:
    """What distinguishes tables; records that agree in it may stand in one. `together` answers
    `shots_together`, for callers that know what it said before."""
    preprocess = r.backbone.preprocess.facts  # with what records from before it was kept had
    entering = {
        f"backbone.{'image_size' if name == 'size' else name}": value
        for name, value in preprocess.items()
    }
    facts = {path: entering.get(path, value) for (path, _), value in stated(r, Role.TABLE)}
    return {**facts, "source.shots": None if together(r.protocol.name) else r.source.shots}


def as_json(value: Any) -> str:
    """A value in one spelling, whether it comes from Python or from a file: 1.0 is 1."""
    return _in_one_spelling(_AS_IT_IS.encode(value))


_AS_IT_IS = json.JSONEncoder(sort_keys=True, default=str)


@functools.lru_cache(maxsize=2**14)  # most records say the same
def _in_one_spelling(text: str) -> str:
    return json.dumps(_plain(json.loads(text)), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

"""Cells, and the cell that a record describes.

A cell is one training with everything scored on it. Its id hashes all that determines its numbers;
its training id leaves out what only evaluation depends on, so that cells can share a training.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptbench import records
from promptbench.core import selection
from promptbench.core.class_list import ClassSet
from promptbench.core.class_sets import spelled
from promptbench.core.protocol import Leg, Protocol
from promptbench.core.registry import Plugin
from promptbench.core.selection import Selection
from promptbench.core.traits import has_solver
from promptbench.data.cards.cards import DataCard
from promptbench.data.class_texts import ClassTexts
from promptbench.records import TRIAL, Record, TuningInfo
from promptbench.records.tuning import FOLDER as TRIALS
from promptbench.support.prose import counted


@dataclass(frozen=True)
class Cell:
    """One training and its targets, with the configuration in force as plain data.

    `selection` is the rule that says which state is scored, `rules` are all that look on at the
    training, the protocol's own first. `weights` is what records call them, `preprocess` what is
    unusual about how images enter, `class_texts` by dataset what a method that uses sentences about
    classes is given of them.
    """

    method: Plugin[Any]
    protocol: str
    protocol_version: int
    selection: Plugin[Selection]
    suite: str
    leg: Leg
    seed: int
    preset: str
    inference: str
    backbone: str
    weights: str
    preprocess: dict[str, Any]
    precision: str
    limit: int | None
    parameters: dict[str, Any] = field(repr=False)
    recipe: dict[str, Any] = field(repr=False)
    overrides: list[str] = field(repr=False)
    weights_sha256: str = field(repr=False)
    cards_sha256: dict[str, str] = field(repr=False)
    class_texts: Mapping[str, ClassTexts] = field(default_factory=dict, repr=False)
    tuning: TuningInfo | None = field(default=None, repr=False)  # what chose its settings
    rules: tuple[Plugin[Selection], ...] = field(default=(), repr=False)
    marks: tuple[str, ...] = field(default=(), repr=False)  # see labels
    prefix: str = field(default="", repr=False)

    @functools.cached_property
    def training_id(self) -> str:
        """Hash of everything that determines the training; the rules that a user adds to the
        protocol's own choose among its states and change none."""
        source, rule = self.leg.source, self.usual_rule
        facts = {
            "method": [self.method.name, self.method.provider, self.parameters],
            "recipe": self.recipe,
            "source": [source.dataset, spelled(source.classes, source.labels), source.shots],
            "card": self.cards_sha256[source.dataset],
            "seed": self.seed,
            "backbone": [self.backbone, self.weights_sha256, *self._unusual],
            "precision": self.precision,
        }
        if rule.name != Protocol.selection:  # the usual one is older than rules are facts of ids
            facts["selection"] = [rule.name, rule.provider]
        if (texts := self.class_texts.get(source.dataset)) is not None:
            facts["class texts"] = texts.sha256
        return _digest(facts)

    @property
    def usual_rule(self) -> Plugin[Selection]:
        """The selection rule of the cell's protocol."""
        return self.rules[0] if self.rules else self.selection

    @property
    def learns(self) -> bool:
        """Whether there is a training, so that a rule has states to choose from."""
        return bool(self.recipe) or has_solver(self.method.cls)

    @property
    def is_validated(self) -> bool:
        """Whether a rule that looks on at its training needs validation images."""
        return self.learns and any(rule.cls.validates for rule in (*self.rules, self.selection))

    def told(self, card: DataCard, names: Sequence[str]) -> ClassSet:
        """What the method receives of classes of a dataset: names, template and, if it uses them,
        the texts."""
        texts = self.class_texts.get(card.name)
        return ClassSet(tuple(names), card.template, texts.of(names) if texts else ())

    @property
    def by_steps(self) -> bool:
        """Whether it is trained by gradient steps; a solver's recipe has none."""
        return "epochs" in self.recipe

    @property
    def _unusual(self) -> list[dict[str, Any]]:
        return [self.preprocess] if self.preprocess else []

    @functools.cached_property
    def id(self) -> str:
        """Hash of everything that determines the record's numbers."""
        targets = [
            [t.key, t.split, t.shift, self.cards_sha256[t.dataset], *t.own_labels]
            for t in self.leg.targets
        ]
        protocol = [self.protocol, self.protocol_version, self.inference, self.preset]
        facts: list[Any] = [self.training_id, self.suite, protocol, targets, self.limit]
        if self.class_texts:
            facts.append({name: texts.sha256 for name, texts in self.class_texts.items()})
        if self.tuning is not None:
            facts.append({"tuning": self.tuning.facts})
        if self.selection.name != self.usual_rule.name:
            facts.append({"selection": [self.selection.name, self.selection.provider]})
        return _digest(facts)

    @property
    def label(self) -> str:
        """How the cell is called in progress and logs; `labels` marks what a run distinguishes."""
        inference = () if self.inference == "unified" else (self.inference,)
        variant = "; ".join((*inference, *self.marks))
        name = self.method.name + (f" ({variant})" if variant else "")
        source = self.leg.source
        return (
            f"{self.prefix}{name} on {source.dataset}, {counted(source.shots, 'shot')}, "
            f"seed {self.seed}"
        )

    def folder(self, out: Path) -> Path:
        """Where the record, its predictions and its parameters lie."""
        return out / self._place

    @functools.cached_property
    def _place(self) -> str:
        source = self.leg.source
        name = f"{source.dataset}-{source.shots}shot-seed{self.seed}-{self.id[:10]}"
        home = f"{self.suite}/{self.protocol}/{self.method.name}"
        return f"{home}/{TRIALS}/{name}" if self.preset == TRIAL else f"{home}/{name}"

    def is_done(self, out: Path) -> bool:
        """Whether its record exists and it and the files beside it are whole."""
        folder = self.folder(out)
        return (folder / records.RECORD).is_file() and records.damage(folder) is None

    def training_folder(self, out: Path) -> Path:
        """Where the training's checkpoint and parameters lie."""
        return out / self.suite / "trainings" / f"{self.method.name}-{self.training_id[:16]}"

    def outcome_folder(self, out: Path, rule: Plugin[Selection] | None = None) -> Path:
        """Where the state that a rule, such as the cell's, has chosen lies: that of the protocol's
        own in the training's folder, that of another below it."""
        chosen_by = rule or self.selection
        folder = self.training_folder(out)
        own = chosen_by.name == self.usual_rule.name
        return folder if own else folder / f"selected-{chosen_by.name}"


def of_record(
    record: Record,
    method: Plugin[Any],
    rule: Plugin[Selection],
    cards_sha256: Mapping[str, str],
) -> Cell:
    """The cell that a record describes, by what it says of itself.

    Args:
        method, rule: its method and its protocol's selection rule, as they are installed here.
        cards_sha256: the hash of each dataset of the record, card and images.

    Raises:
        UserError: it was selected by a rule that is not installed here.
    """
    chosen_by = selection.of_record(record.protocol.selection, rule)
    return Cell(
        method=method,
        protocol=record.protocol.name,
        protocol_version=record.protocol.version,
        selection=chosen_by,
        rules=tuple({each.name: each for each in (rule, chosen_by)}.values()),
        suite=record.suite,
        leg=record.leg,
        seed=record.seed,
        preset=record.preset,
        inference=record.inference,
        backbone=record.backbone.name,
        weights=record.backbone.weights,
        preprocess=record.backbone.preprocess.departures,
        precision=record.environment.precision,
        limit=record.limit,
        parameters=record.method.parameters,
        recipe=record.training.recipe,
        overrides=record.overrides,
        tuning=record.tuning,
        weights_sha256=record.backbone.sha256,
        cards_sha256=dict(cards_sha256),
        class_texts={
            name: ClassTexts(info.class_texts, info.class_texts_sha256)
            for name, info in record.data.items()
            if info.class_texts is not None and info.class_texts_sha256 is not None
        },
    )


def _digest(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

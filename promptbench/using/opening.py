"""A finished cell opened again without its images: backbone, method, and what it has learned."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from promptbench import records
from promptbench.config import suites
from promptbench.core.method import ClassSet, Method
from promptbench.core.protocol import Leg
from promptbench.core.registry import BUILT_IN, METHODS
from promptbench.core.traits import uses_class_texts
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.data.class_texts import ClassTexts
from promptbench.errors import UserError, one_line
from promptbench.isolation.entering import enter
from promptbench.models.backbones import loading
from promptbench.models.backbones.loading import Backbone
from promptbench.planning import class_texts
from promptbench.records import Record
from promptbench.reproduction import Whereabouts, request_of
from promptbench.running.lab import arithmetic
from promptbench.running.lab.calling import built
from promptbench.running.lab.compute import Compute, resolve
from promptbench.storage import reading
from promptbench.support.safe_text import shown_path
from promptbench.support.seeding import seeded, undisturbed
from promptbench.support.version import __version__

CARD = "card.toml"  # beside a record that was handed on, for those who lack the dataset's
_MOST_PARAMETERS = 16 * 2**30


@dataclass(frozen=True)
class Opened:
    """A cell's method as it was scored, and what it was computed with.

    `threads` are those of the CPU that its backbone asks for, `texts` the sentences about classes
    that a method which uses them was given.
    """

    folder: Path
    record: Record
    method: Method
    classes: ClassSet
    backbone: Backbone
    compute: Compute
    threads: int | None
    texts: ClassTexts | None


def opened(path: Path, here: Whereabouts, device: str, precision: str | None) -> Opened:
    """Open the cell of a record.

    Args:
        path: the file of the record.
        here: where weights and class texts lie, if not where the record says.
        device: auto, cpu, cuda or cuda:N.
        precision: as the record's if None.

    Raises:
        UserError: a method, card, weights, class texts or learned parameters that are not here, or
            are not those of the record.
    """
    record, folder = records.read(path), path.parent
    _known(record)
    card = _card_of(record, folder)
    parameters = _parameters(record, folder)
    texts = _texts_of(record, here)
    suite = request_of(record, here).resolved_suite()
    compute = resolve(device, precision or record.environment.precision)
    home = suites.of_backbone(suite.backbone)
    threads = home.threads if home else None
    with arithmetic.restored(), undisturbed():  # a model begins with random weights
        arithmetic.settle(compute.device, threads)
        backbone = loading.load(suite.backbone, suite.weights, compute.device, suite.weights_preset)
        _same_weights(backbone, record)
        if compute.dtype != torch.float32:
            backbone.towers.cast(compute.dtype)
        labels = record.leg.source.labels_in(len(card.classes))
        names = tuple(card.classes[label] for label in labels)
        classes = ClassSet(names, card.template, texts.of(names) if texts else ())
        method = _restored(record, folder, backbone, compute, classes, parameters)
    return Opened(folder, record, method, classes, backbone, compute, threads, texts)


def _known(record: Record) -> None:
    """Refuse a method that is not here or is another's; say that the version is another."""
    own = record.method
    if own.name not in METHODS.names():
        raise UserError(
            f"method {own.name!r} of the record is not installed; name its file with --plugin"
        )
    here = METHODS.load(own.name)
    if here.provider != own.provider:
        raise UserError(
            f"method {own.name!r} comes from {here.provider} here, and from {own.provider} in the "
            "record; name the file that computed it with --plugin"
        )
    version = record.environment.promptbench
    if own.provider == BUILT_IN and version != __version__:
        warnings.warn(
            f"the record was computed by promptbench {version}, this is {__version__}: predictions "
            "may differ from those of the record",
            stacklevel=2,
        )


def _card_of(record: Record, folder: Path) -> DataCard:
    """The card of the source, whose names and template the method has learned with."""
    name, beside = record.source.dataset, folder / CARD
    card = cards.read(beside) if beside.is_file() else cards.load(name)
    held = record.data[name].card_sha256 if name in record.data else ""
    if card.digest != held or card.name != name:
        raise UserError(
            f"the data card of {name} is not the one of the record ({card.digest[:12]}, not "
            f"{held[:12]}): class names, template or splits differ; put the card of then into a "
            "folder that PROMPTBENCH_CARDS names"
        )
    return card


def _texts_of(record: Record, here: Whereabouts) -> ClassTexts | None:
    """The sentences about classes that the record's method was given; None of other methods."""
    cls, name = METHODS.load(record.method.name).cls, record.source.dataset
    if not uses_class_texts(cls, record.method.parameters):
        return None
    shelf = class_texts.shelf_of(here.class_texts, record.backbone.name)
    found = shelf.of(Leg(record.leg.source, ()))[name]
    held = record.data[name].class_texts_sha256
    if found.sha256 != held:
        raise UserError(
            f"the class texts {found.file} of {name} are not those of the record "
            f"({record.data[name].class_texts}, {str(held)[:12]}); name their file with "
            "--class-texts"
        )
    return found


def _same_weights(backbone: Backbone, record: Record) -> None:
    own = record.backbone
    if backbone.sha256 != own.sha256:
        raise UserError(
            f"the weights {backbone.weights} are not those of the record ({own.sha256[:12]}); name "
            "theirs with --weights"
        )
    if backbone.preprocess != own.preprocess:
        marks = ", ".join(backbone.preprocess.marks) or "as usual"
        raise UserError(
            f"images enter the weights {backbone.weights} in another way than in the record "
            f"({marks}); name those of the record with --weights"
        )


def _parameters(record: Record, folder: Path) -> bytes | None:
    """The learned parameters, as the record has their hash; None if nothing was learned."""
    held = record.training.parameters_sha256
    if held is None:
        return None
    path = folder / records.PARAMETERS
    if not path.exists():
        raise UserError(
            f"{shown_path(folder)} has no {records.PARAMETERS}: the method cannot be used without "
            "what it has learned; copy the file beside the record, or run the cell again"
        )
    data = reading.read_bytes(path, _MOST_PARAMETERS, "the learned parameters")
    if hashlib.sha256(data).hexdigest() != held:
        raise UserError(
            f"{shown_path(path)} is not what the record beside it was computed with; put the "
            "original back, or run the cell again"
        )
    return data


def _restored(
    record: Record,
    folder: Path,
    backbone: Backbone,
    compute: Compute,
    classes: ClassSet,
    parameters: bytes | None,
) -> Method:
    """The method with its learned parameters, in evaluation mode."""
    cls, settings = METHODS.load(record.method.name).cls, record.method.parameters
    backbone.towers.forget()
    try:
        with seeded(record.seed, "init"):
            method: Method = enter(built, compute, cls, backbone.towers, classes, **settings)
        if parameters is not None:
            enter(method.load_state_dict, load(parameters), strict=True)
            enter(method.to, compute.device)
    except (TypeError, SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{cls.title} cannot be made of the record in {shown_path(folder)} by the code that is "
            f"installed here: {one_line(error)}"
        ) from error
    enter(method.eval)
    return method


def told(opened: Opened, names: Sequence[str]) -> ClassSet:
    """What the method is told of class names: the template of its source, and its texts."""
    texts = opened.texts.of(names) if opened.texts else ()
    return ClassSet(tuple(names), opened.classes.template, texts)

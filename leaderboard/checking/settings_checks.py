"""Whether a record's settings are the shipped ones or named overrides, and its ids their hashes."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from promptbench.config import parsing, suites
from promptbench.config.parsing import Binding
from promptbench.config.suites import SEARCHED
from promptbench.core.protocol import Leg
from promptbench.core.recipe import Recipe, whole
from promptbench.core.traits import has_decoupled_inference, uses_class_texts
from promptbench.data.shards import store
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known, search_checks
from promptbench.planning import cells
from promptbench.planning.cells import Cell
from promptbench.planning.settings import differences
from promptbench.records import TRIAL, Record
from promptbench.records.tuning import is_tuned

if TYPE_CHECKING:
    from promptbench.core.method import Method

_PRESETS = ("paper", "unified", TRIAL)


def preset(record: Record, leg: Leg) -> Iterator[str]:
    """Every setting is the shipped one, or named among the overrides; so is the inference rule."""
    if record.preset not in _PRESETS and not is_tuned(record.preset):
        yield f"unknown preset {record.preset!r}"
        return
    if record.method.name not in known.method_names():
        return  # somebody else's method; `unchecked` says so
    method = known.method(record.method.name)
    if method.provider != record.method.provider:
        yield f"provider {record.method.provider!r}; known here is {method.provider!r}"
        return
    for what in ("title", "paper", "paradigm"):
        if getattr(record.method, what) != getattr(method.cls, what):
            yield f"the method's {what} is not {getattr(method.cls, what)!r}"
    if wrong := list(search_checks.reasons(record)):
        yield from wrong
        return
    decoupled = known.protocol(record.protocol.name).cls.split_known and has_decoupled_inference(
        method.cls
    )
    if record.inference not in ("unified", *(["decoupled"] if decoupled else [])):
        yield f"{record.method.name} has no {record.inference!r} inference under this protocol"
    now, *before = ([*_changed(record, s, method.cls)] for s in _generations(record, leg))
    if all(before):  # those of no generation hold
        yield from now
    yield from _of_texts(record, uses_class_texts(method.cls, record.method.parameters))


def _of_texts(record: Record, used: bool) -> Iterator[str]:
    """Every dataset has class texts where the method uses them, and none has where it does not."""
    for name, info in record.data.items():
        if used and info.class_texts_sha256 is None:
            yield f"the method uses class texts, and the record names no file of {name}"
        if info.class_texts_sha256 is not None and not used:
            yield f"the method uses no class texts, and the record names a file of {name}"


def _changed(
    record: Record, usual: dict[str, dict[str, Any]], method: type[Method]
) -> Iterator[str]:
    """Settings that are not the shipped ones, nor named as overrides; overrides that are not so."""
    own, younger = method.__name__, method.younger
    now = {own: {**younger, **record.method.parameters}}
    usual = usual | {own: {**younger, **usual[own]}}
    if "Recipe" in usual:
        usual = usual | {"Recipe": whole(usual["Recipe"])}
        now["Recipe"] = whole(record.training.recipe)
    for cls, values in usual.items():
        if set(values) != set(now[cls]):
            yield f"the settings of {cls} are not those that it has: {sorted(now[cls])}"
            return
    plain, changed = _plain(usual), _plain(now)
    found = differences(plain, changed, method)
    named = {_binding(text) for text in record.overrides}
    for binding in found:
        if _binding(binding) not in named:
            name = binding.partition(" = ")[0]
            cls, _, key = name.partition(".")
            yield (
                f"preset {record.preset!r} has {name} = {plain[cls][key]!r}, the record has "
                f"{changed[cls][key]!r} and names no override"
            )
    for name, _ in sorted(named - set(map(_binding, found))):
        yield f"the override {name!r} is not what the record's settings say"


def _generations(record: Record, leg: Leg) -> list[dict[str, dict[str, Any]]]:
    """What a record's settings may be but for its overrides: those that promptbench ships; where a
    search has chosen them since, also those before."""
    own = (record.method.name, record.protocol.name, record.backbone.name, record.preset, leg)
    now, before = (known.shipped_settings(*own, by_hand=by_hand) for by_hand in (False, True))
    return [
        search_checks.chosen(record, each) for each in ([now] if now == before else [now, before])
    ]


def are_superseded(record: Record) -> bool:
    """Whether a record of an installed method has the settings of a suite's backbone from before a
    search chose them."""
    if record.method.name not in known.method_names():
        return False
    try:
        chosen = _chosen_by_search(record)
        if all(_holds(record, each) for each in chosen):
            return False  # also where nothing was chosen, without the method's module
        found = _generations(record, record.leg)
        if len(found) == 1:
            return False
        cls = known.method(record.method.name).cls  # with torch, which most tables do without
        return any(_changed(record, found[0], cls)) and not any(_changed(record, found[1], cls))
    except (UserError, KeyError):  # what is wrong with it is said where it is checked
        return False


def _chosen_by_search(record: Record) -> list[Binding]:
    """What a search has chosen of the method's settings under the protocol that the record trains
    as: read from its file, without the method's own module, which imports torch.

    Raises:
        UserError: a protocol that is not known here.
    """
    home, protocol = suites.of_backbone(record.backbone.name), record.protocol.name
    path = None if home is None else home.overlay_file(record.method.name, SEARCHED)
    if path is None:
        return []
    trained = known.protocol(protocol).cls.trains_as or protocol
    return [each for each in parsing.read(path) if each.scope.partition("/")[0] in ("", trained)]


def _holds(record: Record, binding: Binding) -> bool:
    """Whether a record has a value, and not because an override says so."""
    name = f"{binding.cls}.{binding.parameter}"
    if any(_binding(text)[0] == name for text in record.overrides):
        return False
    of_recipe = binding.cls == Recipe.__name__
    own = record.training.recipe if of_recipe else record.method.parameters
    return bool(_plain(own.get(binding.parameter)) == _plain(binding.value))


def _plain(settings: Any) -> Any:
    """Settings as JSON gives them back: lists for tuples."""
    return json.loads(json.dumps(settings, default=str))


def _binding(text: str) -> tuple[str, str]:
    """(name, value in one spelling) of `Name.parameter = value`; other text stays as it is."""
    name, _, value = text.partition(" = ")
    try:
        return name, json.dumps(ast.literal_eval(value), default=str)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def identity(record: Record, leg: Leg) -> Iterator[str]:
    """Cell and training id are the hashes of what the record says of itself."""
    used = {record.source.dataset, *(target.dataset for target in record.targets)}
    if record.method.name not in known.method_names() or used != set(record.data):
        return  # ids cannot be derived; `checks.data` says what hashes are missing
    try:
        cell = described(record, leg)
    except UserError:  # a selection rule that is not here: `checks` refuses it, or says so
        return
    if cell.training_id != record.training_id:
        yield "the training id is not that of its method, settings, data, seed and weights"
    elif cell.id != record.cell_id:
        yield "the cell id is not that of its training, protocol and targets"


def described(record: Record, leg: Leg) -> Cell:
    """The cell that a record of an installed method describes, for its ids."""
    digests = {
        name: store.digest_of(known.card(name), info.shards_sha256, info.resize_short)
        for name, info in record.data.items()
    }
    rule = known.selection_of(record.protocol.name)
    cell = cells.of_record(record, known.method(record.method.name), rule, digests)
    return cell if "Recipe" in _generations(record, leg)[0] else replace(cell, recipe={})


def superseded(record: Record) -> Iterator[str]:
    """What is to be known of settings that are not those of today, as notes."""
    if are_superseded(record):
        yield (
            "settings by hand, as promptbench shipped them before a search chose those of "
            f"{record.backbone.name} (promptbench info {record.method.name})"
        )


def unchecked(record: Record) -> Iterator[str]:
    """What cannot be checked here, as notes."""
    own = record.method
    if own.name not in known.method_names():
        yield (
            f"settings not checked: {own.name} comes from {own.provider}, which is not installed "
            "here"
        )
        if own.extra_data is None:
            yield f"{own.name} does not say what it learns from beyond the few shots"

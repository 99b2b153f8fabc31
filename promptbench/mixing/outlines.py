"""Records as tables need them, many at once: what seeds do not change is held only once.

An outline is a record without what no table reads: few-shot keys, losses, confusions. Outlines that
differ only in what a seed changes (see `facts`) are of one kind: they share one object for all
the rest, and whatever follows from that is found once for all of them. Records are compared by
digests of what outlines leave out (`digests`), which these can be given.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, PrivateAttr

from promptbench.mixing.facts import DECISIONS, Role
from promptbench.records import Record, confusion_sums, once
from promptbench.records.confusion_sums import packed
from promptbench.records.infos import CONSISTENT

LEFT_OUT = frozenset(
    {"source.keys", "validation.keys", "training.losses", "targets.*.confusions"},
)
_ALIKE = frozenset(  # most seeds share them; what differs in them is of another kind
    {"source.keys_sha256", "targets.*.learned", "targets.*.predictions"}
)
_TARGETS = "targets"

Own = dict[str, Any]  # by part of the record ("" is itself) values by name; of targets a list


def _own_names() -> dict[str, tuple[str, ...]]:
    """The facts that are an outline's own, by the part of the record that holds them."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, decision in DECISIONS.items():
        if decision.role is Role.SEED and path not in LEFT_OUT | _ALIKE:
            part, _, name = path.replace(".*.", ".").rpartition(".")
            found[part].append(name)
    return {part: tuple(names) for part, names in found.items()}


_OWN = _own_names()
_PARTS = tuple(part for part in _OWN if part not in ("", _TARGETS))
_LEFT_OUT: dict[str, Any] = {
    "source": {"keys"},
    "validation": {"keys"},
    "training": {"losses"},
    _TARGETS: {"__all__": {"confusions"}},
}


_NOT_HELD = "an outline of a record holds no few-shot keys, losses or confusions"
_NOT_TOLD = "an outline knows its file and its digests only where it was told"


class _Absent:
    """Stands for what an outline does not hold; to read it is a mistake of code that needs the
    whole record."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise RuntimeError(_NOT_HELD)

    def __getattr__(self, name: str) -> NoReturn:
        # What looks through objects of all kinds must be able to pass this one.
        raise AttributeError(_NOT_HELD)

    __iter__ = __len__ = __getitem__ = __contains__ = __eq__ = __bool__ = _refuse
    __hash__ = object.__hash__


ABSENT: Any = _Absent()


class Digests(NamedTuple):
    """What records are compared by, of what an outline leaves out: equal where that is.

    `images` counts the few-shot images; `keys` is a SHA-256 of their keys in order, `subset` in any
    order, `losses` of the losses ("" without any); `numbers` is `Record.numbers_sha256`, and
    `computed` the same without the hashes of predictions. `confusions` are their packed sums
    (`with_confusions`), "" where they were not asked for or the record does not say all of them.
    """

    images: int
    keys: str
    subset: str
    losses: str
    numbers: str
    computed: str
    confusions: str = ""


class Outline(Record):
    """A record without what `LEFT_OUT` names: `ABSENT` stands there."""

    _likeness: Any = PrivateAttr(default=None)
    _digests: Digests | None = PrivateAttr(default=None)
    _file_sha256: str | None = PrivateAttr(default=None)

    @property
    def likeness(self) -> object:
        """One object for all outlines of its kind."""
        # Asked for all the time: pydantic looks a private attribute up twenty times more slowly.
        private = self.__pydantic_private__
        return private["_likeness"] if private else None

    @property
    def file_sha256(self) -> str:
        """The SHA-256 of the record's file, of an outline that was told."""
        if self._file_sha256 is None:
            raise RuntimeError(_NOT_TOLD)
        return self._file_sha256

    def told(self, file_sha256: str, own: Digests) -> Outline:
        """The outline with the SHA-256 of the record's file and its digests."""
        self._file_sha256, self._digests = file_sha256, own
        return self


@once
def digests(record: Record) -> Digests:
    """What a record is compared by, of what its outline leaves out."""
    if isinstance(record, Outline):
        if record._digests is None:
            raise RuntimeError(_NOT_TOLD)
        return record._digests
    keys, losses = record.source.keys, record.training.losses
    of_keys, of_losses = digest_of(keys), digest_of(losses) if losses else ""
    computed = record.numbers(predictions=False) | {"subset": of_keys, "losses": of_losses}
    return Digests(
        images=len(keys),
        keys=of_keys,
        subset=digest_of(sorted(set(keys))),
        losses=of_losses,
        numbers=record.numbers_sha256,
        computed=digest_of(computed),
    )


def with_confusions(record: Record) -> Digests:
    """The digests of a whole record, with the sums of its confusions (`confusion_sums`)."""
    sums = confusion_sums.sums_of(record.targets)
    return digests(record)._replace(confusions="" if sums is None else packed(sums))


def digest_of(value: Any) -> str:
    """The SHA-256 by which `Digests` tell plain data from other data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Kind:
    """What outlines that differ only in what a seed changes have in common.

    Args:
        text: as `parted` says it.
        own: of any of its outlines.
    """

    def __init__(self, text: str, own: Own) -> None:
        held = json.loads(text)
        held |= own[""]
        for part in _PARTS:
            if part in held:
                held[part] |= own[part]
        for target, values in zip(held[_TARGETS], own[_TARGETS], strict=True):
            target |= values
        for part, name in (("source", "keys"), ("validation", "keys"), ("training", "losses")):
            if part in held:
                held[part][name] = []
        first = Record.model_validate_json(json.dumps(held), context=CONSISTENT)
        self._targets = [
            target.model_copy(update={} if target.labels_only else {"confusions": ABSENT})
            for target in first.targets
        ]
        self._parts = {
            part: value.model_copy(update={name: ABSENT} if name else {})
            for part, name in (("training", "losses"), ("validation", "keys"), ("environment", ""))
            if (value := getattr(first, part)) is not None
        }
        source = first.source.model_copy(update={"keys": ABSENT})
        self._first = Outline.model_construct(**{**dict(first), "source": source})
        self._first._likeness = self

    def outline(self, own: Own) -> Outline:
        """The outline of this kind with what is its `own`."""
        parts = {part: _with(value, own[part]) for part, value in self._parts.items()}
        targets = [
            _with(target, values)
            for target, values in zip(self._targets, own[_TARGETS], strict=True)
        ]
        return _with(self._first, {**own[""], **parts, _TARGETS: targets})


Part = TypeVar("Part", bound=BaseModel)


def _with(first: Part, values: Mapping[str, Any]) -> Part:
    """A copy of a part of a kind with values of its own. All copies share one set of the names of
    fields that were given, which takes more memory than most of what is their own."""
    found = first.model_copy(update=values)
    object.__setattr__(found, "__pydantic_fields_set__", first.model_fields_set)
    return found


def parted(record: Record) -> tuple[str, Own]:
    """What a record shares with all of its kind, as JSON, and what is its own."""
    held = record.model_dump(mode="json", exclude=_LEFT_OUT)
    own: Own = {"": {name: held.pop(name) for name in _OWN[""]}}
    for part in _PARTS:
        if part in held:
            own[part] = {name: held[part].pop(name) for name in _OWN[part]}
    own[_TARGETS] = [{name: each.pop(name) for name in _OWN[_TARGETS]} for each in held[_TARGETS]]
    for each, target in zip(held[_TARGETS], record.targets, strict=True):
        each["confusions"] = None if target.labels_only else {}
    return json.dumps(held), own


class Kinds:
    """Makes outlines, of which those of one kind share an object."""

    def __init__(self) -> None:
        self._known: dict[str, Kind] = {}

    def outline(self, record: Record) -> Outline:
        """The outline of a record."""
        return self.of(*parted(record))

    def of(self, text: str, own: Own) -> Outline:
        """The outline of the parts of a record; see `parted`."""
        if text not in self._known:
            self._known[text] = Kind(text, own)
        return self._known[text].outline(own)

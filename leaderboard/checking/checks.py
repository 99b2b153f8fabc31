"""What a record must agree with to stand on the leaderboard: suites, protocols, settings, cards.

Each check takes a record and yields the reasons against it, as sentences. A record is a stranger's
text: nothing of it is evaluated, imported or used as a path here.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from promptbench.core import selection
from promptbench.core.protocol import Leg
from promptbench.core.registry import BUILT_IN
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known, run_checks, settings_checks, titles
from promptbench.models.backbones import checkpoints
from promptbench.records import Record, validation_claims

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
LIMIT = 2**32  # of seeds and shots
_CLOCK = 1e-3  # to which the seconds of scoring are rounded
_PREDICTIONS = re.compile(r"predictions/[a-z0-9_-]{1,128}\.csv\.gz")


def reasons(record: Record) -> Iterator[str]:
    """Everything that speaks against a record, apart from its predictions.

    Stops after names that are not known, since nothing else can be checked then.
    """
    first = [*form(record), *names(record)]
    yield from first
    if first:
        return
    yield from titles.reasons(record)
    yield from task(record)
    yield from data(record)
    yield from weights(record)
    yield from run_checks.reasons(record)
    yield from validation(record)
    leg = usual_leg(record)
    if leg is not None:
        settings = list(settings_checks.preset(record, leg))
        yield from settings or (*settings_checks.identity(record, leg), *run_checks.method(record))


def contradictions(record: Record) -> Iterator[str]:
    """In what a record contradicts itself, wherever it belongs: form, settings, ids.

    Settings and ids follow from the method, protocol and cards of the record; where these are not
    the ones here, `underivable` says so and they are not checked.
    """
    yield from form(record)
    yield from labels(record)
    if next(names(record), None) is None:
        yield from targets(record)
    if underivable(record) is None:
        yield from run_checks.reasons(record)
        yield from validation(record)
        leg = Leg(record.leg.source, ())
        settings = list(settings_checks.preset(record, leg))
        yield from settings or settings_checks.identity(record, leg)


def underivable(record: Record) -> str | None:
    """Why settings and ids of a record cannot be derived here; None if they can."""
    missing = next(names(record), None)
    if missing is not None:
        return missing
    name, provider = record.method.name, record.method.provider
    if name not in known.method_names() or known.method(name).provider != provider:
        return f"{name} comes from {provider}, which is not installed here"
    for dataset, info in record.data.items():
        if dataset not in known.dataset_names() or known.card(dataset).digest != info.card_sha256:
            return f"the card of {dataset} is not the one here"
    try:
        selection.of_record(record.protocol.selection, known.selection_of(record.protocol.name))
    except UserError as error:
        return str(error)
    return None


def form(record: Record) -> Iterator[str]:
    """Names that can be names, numbers that can be numbers, the text's hash."""
    for what, name in (
        ("method", record.method.name),
        ("protocol", record.protocol.name),
        ("suite", record.suite),
        *(("dataset", name) for name in {record.source.dataset, *record.data}),
    ):
        if not NAME.fullmatch(name):
            yield f"{what} {name!r} is not a name of small letters, digits and underscores"
    for what, digest in (("cell id", record.cell_id), ("training id", record.training_id)):
        if not DIGEST.fullmatch(digest):
            yield f"the {what} {digest!r} is not a SHA-256"
    for what, number, least in (
        ("seed", record.seed, 0),
        ("number of shots", record.source.shots, 1),
    ):
        if not least <= number < LIMIT:
            yield f"the {what} is not a number from {least} to {LIMIT - 1}"
    if any(not math.isfinite(n) or n < 0 for n in _measured(record)):
        yield "a time, a size or a loss is negative or not finite"
    if hashlib.sha256(record.config.encode()).hexdigest() != record.config_sha256:
        yield "config_sha256 is not the hash of the config text"
    for target in record.targets:
        if (target.class_seconds or 0) > target.seconds + _CLOCK:
            yield f"{target.key}: its class side took longer than all of its scoring"
    files = Counter(target.predictions for target in record.targets)
    yield from (f"{file!r} is given for {n} targets" for file, n in files.items() if n > 1)
    for target in record.targets:
        if not _PREDICTIONS.fullmatch(target.predictions):
            yield f"{target.predictions!r} is not a name of a predictions file"


def _measured(record: Record) -> Iterator[float]:
    yield record.training.seconds
    yield record.environment.peak_memory_mb
    for target in record.targets:
        yield from (target.seconds, target.class_seconds or 0.0)
    for terms in record.training.losses:  # a method's term may be negative, not infinite
        yield from (abs(value) for value in terms.values())


def names(record: Record) -> Iterator[str]:
    """Suite, protocol, built-in method and datasets are known here."""
    used = {record.source.dataset, *(target.dataset for target in record.targets)}
    yield from unknown(record.suite, record.protocol.name, used)
    if record.method.provider == BUILT_IN and record.method.name not in known.method_names():
        yield f"the method {record.method.name!r} claims to be of promptbench and is not"


def unknown(suite: str, protocol: str, datasets: set[str]) -> Iterator[str]:
    """Names of a suite, a protocol and datasets that are not known here."""
    for what, wanted, here in (
        ("suite", {suite}, known.suite_names()),
        ("protocol", {protocol}, known.protocol_names()),
        ("dataset", datasets, known.dataset_names()),
    ):
        for name in sorted(wanted - set(here)):
            yield f"the {what} {name!r} is not known here"


def validation(record: Record) -> Iterator[str]:
    """The chosen epoch is the one that the rule chooses by the record's validation accuracies."""
    problem = validation_claims.problem_of_choice(record)
    if problem is not None:
        yield problem


def task(record: Record) -> Iterator[str]:
    """Whole test sets, the protocol's version and selection, targets that it scores."""
    own = record.protocol
    yield from scope(own.name, own.version, own.selection, record.limit)
    yield from _standing(record)
    legs = known.legs(own.name, record.suite, record.source.shots)
    other = list(other_class_sets(record, legs)) if usual_leg(record) is None else []
    yield from other or coverage(own.name, record.suite, record.leg)


def scope(protocol: str, version: int, chosen_by: str, limit: int | None) -> Iterator[str]:
    """Whole test sets, the protocol's version, and its selection or another of promptbench's."""
    cls = known.protocol(protocol).cls
    if limit is not None:
        yield f"only the first {limit} images of each target were scored"
    if version != cls.version:
        yield f"version {version} of {protocol}; the leaderboard is at version {cls.version}"
    rule = selection.recorded(known.selection_of(protocol))
    if chosen_by not in (rule, *known.own_selections()):
        yield f"selection {chosen_by!r}; the protocol's is {rule!r}"


def coverage(protocol: str, suite: str, leg: Leg) -> Iterator[str]:
    """The source is one of the protocol's in the suite, with all its targets and no other."""
    source = leg.source
    legs = known.legs(protocol, suite, source.shots)
    usual = next((each for each in legs if each.source == source), None)
    if usual is None:
        yield (
            f"{source.dataset} ({source.classes} classes) is not a source of "
            f"{protocol} in suite {suite}; its sources are "
            f"{', '.join(f'{each.source.dataset} ({each.source.classes})' for each in legs)}"
        )
        return
    for t in leg.targets:
        if t not in usual.targets:
            yield f"{t.key} (split {t.split}, shift {t.shift}) is not a target of {usual.source}"
    missing = [target.key for target in usual.targets if target not in leg.targets]
    if missing:
        yield (
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: a record of "
            f"{protocol} scores {', '.join(target.key for target in usual.targets)}"
        )


def targets(record: Record) -> Iterator[str]:
    """The targets are those of a leg of the protocol, over the datasets that the record has."""
    s, own = record.source, record.leg
    used = tuple(dict.fromkeys([s.dataset, *(target.dataset for target in record.targets)]))
    try:
        legs = known.legs(record.protocol.name, record.suite, s.shots, used)
    except UserError as error:
        yield str(error)
        return
    leg = next((leg for leg in legs if leg.source == own.source), None)
    other = list(other_class_sets(record, legs))
    if other:
        yield from other
    elif leg is None:
        yield f"{s.dataset} ({s.classes} classes) is not a source of {record.protocol.name}"
    elif set(leg.targets) != set(own.targets) or len(leg.targets) != len(own.targets):
        yield (
            f"the targets {', '.join(target.key for target in record.targets)} are not those of "
            f"{record.protocol.name}: {', '.join(target.key for target in leg.targets)}"
        )


def other_class_sets(record: Record, legs: Iterable[Leg]) -> Iterator[str]:
    """The class sets of a record whose labels are not those that the legs of its protocol have."""
    ours = {
        (dataset, name): labels
        for leg in legs
        for dataset, sets in leg.class_sets.items()
        for name, labels in sets.items()
    }
    for dataset, sets in record.leg.class_sets.items():
        for name, labels in sets.items():
            if ours.get((dataset, name), labels) != labels:
                yield (
                    f"the class set {name} of {dataset} has other labels than that of "
                    f"{record.protocol.name}"
                )


def _standing(record: Record) -> Iterator[str]:
    """Whether the record may stand beside published numbers, as it says; records from before
    backbones counted say so of every one in a comparable suite."""
    suite, backbone = known.suite(record.suite), record.backbone
    usual = backbone.name == suite.backbone and suite.has_weights(backbone.weights, backbone.sha256)
    possible = {suite.comparable} if usual else {suite.comparable, False}
    if record.comparable not in possible:
        yield f"comparable is {record.comparable}; for suite {suite.name} it is {suite.comparable}"


def usual_leg(record: Record) -> Leg | None:
    """The protocol's leg of the record's source, with all its targets."""
    legs = known.legs(record.protocol.name, record.suite, record.source.shots)
    return next((leg for leg in legs if leg.source == record.leg.source), None)


def data(record: Record) -> Iterator[str]:
    """The cards' versions and hashes, class counts, and the sizes of whole test sets."""
    used = {record.source.dataset, *(target.dataset for target in record.targets)}
    if used != set(record.data):
        yield f"hashes are given for {sorted(record.data)}, used are {sorted(used)}"
    for name in sorted(used & set(record.data)):
        card, info = known.card(name), record.data[name]
        if (info.card_version, info.card_sha256) != (card.version, card.digest):
            yield (
                f"{name}: made with another card (version {info.card_version}, "
                f"{info.card_sha256[:12]}; known is version {card.version}, {card.digest[:12]})"
            )
    yield from labels(record)
    yield from sizes(record)
    yield from few_shots(record)


def labels(record: Record) -> Iterator[str]:
    """The class counts and class sets of targets are those of cards that are the same here."""
    for target, result in zip(record.leg.targets, record.targets, strict=True):
        info = record.data.get(target.dataset)
        here = known.card(target.dataset) if target.dataset in known.dataset_names() else None
        if here is None or (info is not None and info.card_sha256 != here.digest):
            continue
        n_classes = len(here.classes)
        own, competing = target.labels_in(n_classes), target.competing_in(n_classes)
        if len(result.total) != len(competing):
            yield f"{target.key}: {len(result.total)} classes; its card has {len(competing)}"
        if not set(own) <= set(competing) <= set(range(n_classes)):
            yield f"{target.key}: its class sets hold labels that its card has not"


def sizes(record: Record) -> Iterator[str]:
    """Whole test splits: the targets whose class sets make all classes together, such as base and
    new, make one."""
    scored: dict[tuple[str, str, str | None], dict[str, tuple[int, Sequence[int]]]]
    scored = defaultdict(dict)
    for target, result in zip(record.leg.targets, record.targets, strict=True):
        card = known.card(target.dataset)
        n_classes = len(card.classes)
        labels = target.labels_in(n_classes)
        images, size = sum(result.total), card.splits.get(target.split, 0)
        scored[target.dataset, target.split, target.names][target.classes] = images, labels
        if images > size or (len(labels) == n_classes and images != size):
            yield f"{target.key}: {images} images; the card's {target.split} split has {size}"
    for (name, split, _), found in scored.items():
        together = sorted(label for _, labels in found.values() for label in labels)
        whole, size = sum(n for n, _ in found.values()), known.card(name).splits.get(split, 0)
        parts = len(found) > 1 and together == list(range(len(known.card(name).classes)))
        if parts and whole != size:
            counts = [f"{n} of {classes}" for classes, (n, _) in found.items()]
            first, *others = f"{', '.join(counts[:-1])} and {counts[-1]}".partition(" of ")
            yield (
                f"{name}: {first} images{''.join(others)} classes are {whole}; the card's {split} "
                f"split has {size}"
            )


def few_shots(record: Record) -> Iterator[str]:
    """No more few-shot images than there can be; fewer may be right, where classes are small."""
    keys, most = record.source.keys, most_keys(record)
    if len(set(keys)) != len(keys):
        yield f"{len(keys) - len(set(keys))} of the few-shot images are there twice"
    if not 0 < len(keys) <= most:
        yield f"{len(keys)} few-shot images; {record.source.shots} per class are {most}"


def most_keys(record: Record) -> int:
    """The number of few-shot images if every class has enough of them."""
    source = record.leg.source
    return source.shots * len(source.labels_in(len(known.card(source.dataset).classes)))


def weights(record: Record) -> Iterator[str]:
    """A known activation, and the suite's own weights where these come with promptbench."""
    if not record.backbone.activation_verified:
        yield "the activation of the backbone's checkpoint is not known (QuickGELU or GELU)"
    suite, backbone = known.suite(record.suite), record.backbone
    if suite.comparable or (backbone.name, backbone.weights) != (suite.backbone, suite.weights):
        return
    if backbone.sha256 != checkpoints.find(suite.backbone, suite.weights).sha256:
        yield f"the weights {backbone.weights!r} have another hash ({backbone.sha256[:12]})"


def refusals(record: Record) -> list[str]:
    """The reasons against a record; a card or plugin that does not load is one of them."""
    try:
        return list(reasons(record))
    except UserError as error:
        return [str(error)]

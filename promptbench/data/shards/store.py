"""Where prepared datasets live; preparing and opening them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from promptbench.data import fewshot, layouts
from promptbench.data.cards import cards, twins
from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.places import cache_folder as cache_folder  # part of this interface
from promptbench.data.cards.places import data_root
from promptbench.data.layouts import ImageSource
from promptbench.data.shards import remote, shards, writing
from promptbench.data.shards.index import MOST_INDEX
from promptbench.data.shards.shard_writing import WritingOptions
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.support import allotted
from promptbench.support.progress import Reporter

FINGERPRINT_SHOTS = 16


def folder_of(card: DataCard, root: Path | None) -> Path:
    """The folder of a dataset: under the data root, in the cache if generated or served, or where
    a folder of shards lies already."""
    if card.source.kind == "generated":
        return cache_folder() / "data" / f"{card.name}-{card.digest[:12]}"
    if _is_shards(card):
        if remote.is_url(card.source.location):
            return remote.cached_path(card.source.location, "index.json").parent
        return Path(card.source.location).expanduser()
    return data_root(root) / card.name


def is_prepared(card: DataCard, root: Path | None) -> bool:
    """Whether a run can read the dataset now (served shards count: they come when needed)."""
    return _is_shards(card) or shards.lies_in(folder_of(card, root))


def provide(name: str, root: Path | None, listener: Reporter) -> ShardSet:
    """The shards of a dataset; generated ones are written at first use."""
    card = cards.load(name)
    folder = folder_of(card, root)
    if card.source.kind == "generated" and not shards.lies_in(folder):
        options = WritingOptions(check=False, workers=default_workers(), allow_duplicates=True)
        source = layouts.open_source(card, "", listener)
        return writing.write(card, folder, source, options, listener)
    return open_or_fetch(card, root, listener)


def open_or_fetch(card: DataCard, root: Path | None, listener: Reporter) -> ShardSet:
    """A dataset that is prepared, or whose shards lie on a server.

    Raises:
        UserError: it is neither; the command that prepares it is named.
    """
    if _is_shards(card):
        return _shards_of_others(card, listener)
    folder = folder_of(card, root)
    if not shards.lies_in(folder):
        raise _unprepared([card], root)
    return shards.open_set(card, folder)


def digests(names: Iterable[str], root: Path | None) -> dict[str, str]:
    """What determines the numbers of each dataset: its card, and its shards unless they follow
    from the card.

    Raises:
        UserError: datasets that are not prepared, all of them, with the command to run.
    """
    loaded = [cards.load(name) for name in names]
    missing = [c for c in loaded if c.source.kind != "generated" and not is_prepared(c, root)]
    if missing:
        raise _unprepared(missing, root)
    return {card.name: _digest_here(card, root) for card in loaded}


def _digest_here(card: DataCard, root: Path | None) -> str:
    if _shards_follow(card):
        return card.digest
    index = shards.open_set(card, folder_of(card, root)).index
    return digest_of(card, index.digest, index.resize_short)


def digest_of(card: DataCard, shards_sha256: str, resize_short: int | None) -> str:
    """What determines the numbers of a dataset whose index has the digest `shards_sha256`; records
    hold all three, so that their ids can be derived again without the shards."""
    if _shards_follow(card):
        return card.digest
    facts = f"{card.digest} {shards_sha256} {resize_short}"
    return hashlib.sha256(facts.encode()).hexdigest()


def training_counts(card: DataCard, root: Path | None) -> list[int]:
    """Training images per class of a dataset that is prepared, generated or served; of served
    shards only the index is fetched."""
    if card.source.kind == "generated":
        samples = layouts.open_source(card, "", Reporter()).samples("train")
        counts = Counter(sample.label for sample in samples)
        return [counts[label] for label in range(len(card.classes))]
    return open_or_fetch(card, root, Reporter()).index.splits["train"].per_class


def _shards_follow(card: DataCard) -> bool:
    """Whether the card determines the shards: they are generated, or it holds their digest."""
    return card.source.kind == "generated" or _is_shards(card)


def prepare(
    name: str,
    location: str | None,
    root: Path | None,
    options: WritingOptions,
    listener: Reporter,
) -> ShardSet:
    """Turn the images of a dataset into shards; one that is prepared already is opened.

    Raises:
        UserError: no source, a source that is not as the card says, or other shards in its place.
    """
    card = cards.load(name)
    if card.source.kind == "generated":
        return provide(name, root, listener)
    if _is_shards(card):
        raise UserError(f"{name!r} is a folder of shards already; a run reads it as it is")
    folder, place = folder_of(card, root), location or card.source.location
    if shards.lies_in(folder):
        done = shards.open_set(card, folder)
        _refuse_another_variant(done, options)
        listener.message(f"{name} is prepared already")
        return done
    if not place:
        layout = f" ({card.layout[0]})" if card.layout else ""
        raise UserError(f"where are the images of {name!r}? pass --source DIR{layout}")
    if groups := twins.twins(card):
        listener.message(f"{name}: {twins.told(card, groups)}")
    listener.message(f"{name}: looking at {place}")
    source = layouts.open_source(card, place, listener)
    check_fingerprints(card, source)
    beside = {"card.toml": cards.path_of(name).read_bytes()}
    if cards.is_packaged(name):  # its splits are everybody's: duplicates are counted and said
        options = replace(options, allow_duplicates=True)
    return writing.write(card, folder, source, options, listener, beside)


def check_fingerprints(card: DataCard, source: ImageSource) -> None:
    """Compare the 16-shot subsets of a source with those that the field uses.

    Raises:
        UserError: they differ, so that few-shot results would not be comparable.
    """
    for key, expected in card.fingerprints.items():
        samples = source.samples("train")
        seed = int(key.removeprefix("seed_"))
        chosen = fewshot.sample([s.label for s in samples], FINGERPRINT_SHOTS, seed)
        if fewshot.fingerprint([samples[i].name for i in chosen]) != expected:
            raise UserError(
                f"the training split of this {card.name} is not the field's: its few-shot subset "
                f"of seed {seed} differs from the card's fingerprint; take the published split "
                f"file (`promptbench data info {card.name}`), or write a card of your own for "
                "another split (`promptbench data new`)"
            )


def default_workers() -> int:
    """Threads or processes that prepare a dataset."""
    return allotted.threads()


def is_own_format(card: DataCard) -> bool:
    """Whether its shards are written from this very card (others bring their own index)."""
    return not _is_shards(card)


def _is_shards(card: DataCard) -> bool:
    return card.source.kind == "wds" and "shards" in card.source.options


def _refuse_another_variant(data: ShardSet, options: WritingOptions) -> None:
    if data.index.resize_short != options.resize_short:
        raise UserError(
            f"{data.folder} holds images with resize_short = {data.index.resize_short}, asked for "
            f"is {options.resize_short}; delete it first, or prepare below another --out"
        )


def _unprepared(missing: list[DataCard], root: Path | None) -> UserError:
    names = ", ".join(card.name for card in missing)
    own = all(card.source.location for card in missing)
    source = "" if own else " --source DIR"
    out = f" --out {root}" if root is not None else ""
    several = "datasets are" if len(missing) > 1 else "dataset is"
    return UserError(
        f"{len(missing)} {several} not prepared under {data_root(root)}: {names}; run `promptbench "
        f"data prepare {' '.join(card.name for card in missing)}{source}{out}`, or use the demo's "
        "(--suite demo)"
    )


def _shards_of_others(card: DataCard, listener: Reporter) -> ShardSet:
    """A folder of shards, local or served, whose index has the digest that the card holds."""
    base, expected = card.source.location, str(card.source.options["shards"])
    fetch = None
    index = read_shared_index(base, listener)
    if (index.digest != expected or index.classes != card.classes) and remote.is_url(base):
        index = read_shared_index(base, listener, refresh=True)
    if index.digest != expected or index.classes != card.classes:
        raise UserError(
            f"the shards at {base} are not those that the card {card.name!r} was written for; "
            "write a new card with `promptbench data new`"
        )
    if remote.is_url(base):
        fetch = partial(_fetched, base, listener)
    return ShardSet(card, folder_of(card, None), index, fetch)


def read_shared_index(base: str, listener: Reporter, refresh: bool = False) -> shards.ShardIndex:
    """The index of a folder of shards, local or served; a damaged copy of a served one is fetched
    again.

    Raises:
        remote.NotThere: there is none.
    """
    if not remote.is_url(base):
        path = Path(base).expanduser() / "index.json"
        if not shards.lies_in(path.parent):
            raise remote.NotThere(f"{path} does not exist")
        return shards.read_index(path)
    where = f"{base.rstrip('/')}/index.json"
    expected = remote.Expected(at_most=MOST_INDEX)
    path = remote.fetch(base, "index.json", listener, expected, refresh)
    try:
        return shards.read_index(path, where)
    except UserError as error:
        if refresh:
            raise
        listener.message(f"the cached copy cannot be used: {error}; fetching it again")
    return shards.read_index(remote.fetch(base, "index.json", listener, expected, True), where)


def _fetched(base: str, listener: Reporter, name: str, expected: remote.Expected) -> Path:
    return remote.fetch(base, name, listener, expected)

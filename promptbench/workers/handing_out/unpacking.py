"""Putting down what `sending` has packed, on the machine that it was sent to, with light imports.

A data root that is not there gives way to that machine's own. Ids of cells hang on no path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.data import class_texts
from promptbench.data.cards import cards
from promptbench.storage.files import write_whole

_PLAN, _CARDS = "plan.json", "cards"


@dataclass(frozen=True)
class Sent:
    """What is sent: an order as text, and files by their paths where it was made."""

    text: str
    files: Mapping[str, bytes]
    cards: Mapping[str, bytes]


def unpacked(sent: Sent, folder: Path, out: Path, device: str) -> Path:
    """Write an order and its files into a folder of this machine; the plan file's path.

    A data root that is not here gives way to this machine's own (PROMPTBENCH_DATA). Ids of cells
    hang on no path.

    Args:
        out: the output folder on this machine.
        device: the device that this worker has.
    """
    places = {}
    for number, name in enumerate(_folders(sent.files)):
        for path, data in sent.files.items():
            if os.path.dirname(path) == name:  # noqa: PTH120  (a path of another machine)
                places[path] = folder / "files" / str(number) / Path(path).name
                write_whole(places[path], data)
    known = cards.names()
    for name, data in sent.cards.items():
        if name.removesuffix(".toml") not in known:
            write_whole(folder / _CARDS / name, data)
    plain = json.loads(sent.text)
    _redirect(plain["machine"], "plugin", places)
    for request in plain["requests"]:
        _redirect(request, "gin", places)
        _redirect_texts(request, places)
        if not Path(request.get("data", "")).is_dir():
            request.pop("data", None)
    plain["machine"] |= {"out": str(out), "device": device}
    file = folder / _PLAN
    write_whole(file, json.dumps(plain, indent=1).encode())
    return file


def with_cards_of(folder: Path) -> None:
    """Let this process find the cards that came with an order."""
    if (folder / _CARDS).is_dir():
        listed = [str(folder / _CARDS), os.environ.get("PROMPTBENCH_CARDS", "")]
        os.environ["PROMPTBENCH_CARDS"] = os.pathsep.join(filter(None, listed))


def _folders(files: Mapping[str, bytes]) -> list[str]:
    """The folders of files, each once: files that lie beside each other stay so."""
    return list(dict.fromkeys(os.path.dirname(path) for path in files))  # noqa: PTH120  (as above)


def _redirect_texts(request: dict[str, Any], places: Mapping[str, Path]) -> None:
    """Class texts are files, perhaps each with its dataset, or a folder with all of them."""
    folders = {os.path.dirname(path): place.parent for path, place in places.items()}  # noqa: PTH120
    for number, each in enumerate(request.get("class_texts", ())):
        dataset, path = class_texts.parted(each)
        place = places.get(str(path)) or folders.get(str(path), path)
        request["class_texts"][number] = class_texts.joined(dataset, place)


def _redirect(options: dict[str, Any], key: str, places: Mapping[str, Path]) -> None:
    if key in options:
        options[key] = [str(places[path]) for path in options[key]]

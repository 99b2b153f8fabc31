"""Where the site leads: the project's own addresses, which its package says or nobody knows."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

_PACKAGE = "promptbench-vlm"
# What `project.urls` may call an address, as the packaging standards fold its case and signs.
_CALLED = {
    "repository": ("repository", "source", "sourcecode", "github"),
    "documentation": ("documentation", "docs"),
    "issues": ("issues", "tracker", "bugtracker", "bugreports"),
}


def links() -> list[tuple[str, str]]:
    """What each link is, and its address; empty where the package names none."""
    try:
        said = metadata.metadata(_PACKAGE).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # used from a checkout that is not installed
        return []
    return links_of(said)


def links_of(said: Iterable[str]) -> list[tuple[str, str]]:
    """The same from the lines of package metadata, `label, address`; only those on the web."""
    pairs = [tuple(part.strip() for part in line.split(",", 1)) for line in said if "," in line]
    own = {_folded(label): address for label, address in pairs if _on_the_web(address)}
    found = []
    for name, labels in _CALLED.items():
        address = next((own[label] for label in labels if label in own), None)
        if address is not None:
            found.append((name, address))
    return found


def _folded(label: str) -> str:
    return "".join(character for character in label.casefold() if character.isalnum())


def _on_the_web(address: str) -> bool:
    return address.startswith(("https://", "http://"))

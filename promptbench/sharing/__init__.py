"""Finished cells handed on: to a folder or a repository of the Hugging Face hub, and from there."""

from promptbench.sharing.fetching import fetched, learned
from promptbench.sharing.places import FOLDER, FolderPlace, HubPlace, hub_place, place_of
from promptbench.sharing.pushing import Pushed, push

__all__ = [
    "FOLDER",
    "FolderPlace",
    "HubPlace",
    "Pushed",
    "fetched",
    "hub_place",
    "learned",
    "place_of",
    "push",
]

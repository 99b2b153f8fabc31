"""The Hugging Face hub, where open_clip's registry keeps most weights.

Its client tries for half a minute per file name to reach a server whose name does not even resolve.
One look beforehand tells whether there is anything to be patient with.
"""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import constants

_PORTS = {"http": 80, "https": 443}


def obstacle() -> str | None:
    """Why nothing can be fetched from the hub, None if it may be.

    The server gets the time that the client itself gives it to answer. Behind a proxy only the
    client can tell.
    """
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = urlsplit(constants.ENDPOINT)
    proxies = urllib.request.getproxies()
    if proxies.keys() & {address.scheme, "all"}:
        return None
    place = (address.hostname or "", address.port or _PORTS[address.scheme])
    try:
        socket.create_connection(place, timeout=constants.HF_HUB_ETAG_TIMEOUT).close()
    except OSError as error:
        return f"{place[0]} cannot be reached: {error.strerror or error}"
    return None


@contextmanager
def cache_alone() -> Iterator[None]:
    """Inside the block the client looks into its cache and asks no server."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before

"""The Hugging Face hub, where open_clip's registry keeps most weights.

Its client tries for half a minute per file name to reach a server whose name does not even resolve,
longer behind a proxy that is silent. So its cache is looked into first, and then one request, which
has to be answered in seconds, says whether there is anything to wait for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants, get_session

from promptbench.errors import UserError

_SECONDS = 5.0  # for one answer, whatever comes before it: names, proxies, handshakes


def fetched(download: Callable[[], str], registry: Mapping[str, Any], tag: str, name: str) -> Path:
    """What `download` returns for a tag of `name`: from its cache, or else from a server that
    answers.

    Raises:
        UserError: it is in no cache, and cannot be had.
    """
    why = None
    try:
        if registry.get("hf_hub"):
            with cache_alone():
                try:
                    return Path(download())
                except (OSError, RuntimeError, ValueError):
                    pass  # not there, as the client says in many ways
            why = obstacle()
            if why is not None:
                raise OSError(why)
        return Path(download())
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"weights {tag!r} of {name} are neither in open_clip's cache nor downloadable "
            f"({why or type(error).__name__}); run once with a network, or pass --weights PATH"
        ) from error


def obstacle() -> str | None:
    """Why nothing can be fetched from the hub, None if it may be.

    The client's own session asks, through its proxies and with its certificates.
    """
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    found = ["no answer"]
    asking = threading.Thread(target=_ask, args=(found,), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    host = urlsplit(constants.ENDPOINT).hostname
    return f"{host} cannot be reached: {found[-1]}" if found[-1] else None


def _ask(found: list[str]) -> None:
    """Append what is wrong, or nothing."""
    try:
        answer = get_session().head(constants.ENDPOINT, timeout=_SECONDS)
        wrong = f"it answers {answer.status_code}" if answer.status_code >= 500 else ""
    except Exception as error:  # of whatever library the client uses
        wrong = str(error) or type(error).__name__
    found.append(wrong)


@contextmanager
def cache_alone() -> Iterator[None]:
    """Inside the block the client looks into its cache and asks no server."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before

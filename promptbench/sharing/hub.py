"""The Hugging Face hub, asked through its own client, whose errors become sentences.

Only files are exchanged. Nothing of a repository is executed, and what is downloaded is used only
after it was compared with the hashes of its record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptbench.data.fetching.obtaining import OFFLINE, is_offline
from promptbench.errors import UserError, one_line
from promptbench.models.backbones import hub as backbones_hub
from promptbench.sharing.places import HUB, HubPlace
from promptbench.support.safe_text import printable, shortened

_LOGIN = "set HF_TOKEN, or log in with `hf auth login`"


class Absent(UserError):
    """A file that a repository does not have."""


class NotCached(UserError):
    """A file that cannot be asked for, and is not in the client's cache."""


def file_of(place: HubPlace, name: str, most: int, why_not: str | None = None) -> Path:
    """Download a file of at most `most` bytes into the client's cache, and return its path there.

    Args:
        why_not: why the hub cannot be asked, if so (see `obstacle`): the cache is looked into only.

    Raises:
        Absent: the repository has no such file.
        NotCached: the hub cannot be asked, and the cache does not have it.
        UserError: no such repository or revision, no permission, or a larger file.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.file_download import get_hf_file_metadata, hf_hub_url

    cached = why_not is not None
    with _told(place, name, why_not), _without_bars():
        if not cached:
            url = hf_hub_url(place.repository, name, revision=place.revision)
            size = get_hf_file_metadata(url).size
            if size is not None and size > most:
                raise UserError(
                    f"{place}: {name} has {size} bytes, more than promptbench reads ({most})"
                )
        found = hf_hub_download(
            place.repository,
            name,
            revision=place.revision,
            local_files_only=cached,
        )
        return Path(found)


def token_for(place: HubPlace) -> str:
    """The user's token.

    Raises:
        UserError: there is none.
    """
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise UserError(f"pushing to {place} needs a token of the Hugging Face hub: {_LOGIN}")
    return str(token)


def create(place: HubPlace, token: str, private: bool) -> list[str]:
    """Make a repository, unless it is there, and return the names of its files.

    Raises:
        UserError: it cannot be made, or seen.
    """
    from huggingface_hub import HfApi

    _refuse_offline(place)
    with _told(place):
        api = HfApi(token=token)
        api.create_repo(place.repository, private=private, exist_ok=True)
        return list(api.list_repo_files(place.repository))


def commit(
    place: HubPlace, contents: Mapping[str, bytes], stale: list[str], token: str, message: str
) -> str:
    """Add files to a repository, and remove those that are `stale`, in one commit; return its hash.

    Raises:
        UserError: the server refuses it.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    operations: list[Any] = [CommitOperationAdd(name, data) for name, data in contents.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    with _told(place), _without_bars():
        made = HfApi(token=token).create_commit(
            place.repository, operations, commit_message=message
        )
    return str(made.oid)


def address(place: HubPlace) -> str:
    """The page of a repository."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{place.repository}"


def obstacle() -> str | None:
    """Why the hub cannot be asked; None if it can."""
    return f"{OFFLINE} is set" if is_offline() else backbones_hub.obstacle()


def _refuse_offline(place: HubPlace) -> None:
    why = obstacle()
    if why is not None:
        raise UserError(f"{place} cannot be reached: {why}; a push to folder:DIR needs no network")


@contextmanager
def _without_bars() -> Iterator[None]:
    """Show no progress bars, unless the user asks for them."""
    utils = _utils()
    before = utils.are_progress_bars_disabled()
    if before or os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS"):
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()


@contextmanager
def _told(place: HubPlace, name: str = "files", offline: str | None = None) -> Iterator[None]:
    """Turn the client's errors into sentences about a place."""
    utils = _utils()
    try:
        yield
    except UserError:
        raise
    except utils.LocalEntryNotFoundError as error:
        if offline is None:
            raise UserError(f"{place} cannot be downloaded: {_reason(error)}") from error
        raise NotCached(
            f"{place} cannot be asked for {name} ({offline}), and the hub's cache does not have it"
        ) from error
    except utils.GatedRepoError as error:
        raise UserError(
            f"{place} is gated: ask its owners for access on its page, then {_LOGIN}"
        ) from error
    except utils.RepositoryNotFoundError as error:
        raise UserError(
            f"{place} does not exist, or is private and your token cannot see it ({_LOGIN})"
        ) from error
    except utils.RevisionNotFoundError as error:
        raise UserError(f"{HUB}{place.repository} has no revision {place.revision!r}") from error
    except utils.EntryNotFoundError as error:
        raise Absent(f"{place} has no {name}") from error
    except utils.HfHubHTTPError as error:
        raise UserError(f"{place}: {_refusal(error)}") from error
    except (KeyError, TypeError) as error:  # the client trusts what it is sent
        raise UserError(f"{place}: {address(place)} does not answer as the hub does") from error
    except Exception as error:  # of whatever library the client speaks HTTP with
        raise UserError(f"{place} cannot be used: {_reason(error)}") from error


def _utils() -> Any:
    """The module in which every version of the client has its errors."""
    import huggingface_hub.utils

    return huggingface_hub.utils


def _refusal(error: Any) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"your token may not do that ({status}), it has no right to write there ({_LOGIN})"
    return f"the hub refuses it ({status}): {_reason(error)}"


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    text = str(cause).strip() or one_line(cause)
    return shortened(printable(text), 300)

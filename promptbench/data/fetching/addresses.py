"""The address that a program downloads from, of the one that a person opens."""

from __future__ import annotations

import os
import re

_DRIVE = re.compile(r"https://drive\.google\.com/file/d/([\w-]+)(/.*)?")
_HUB = "https://huggingface.co/"


def download_address(url: str) -> tuple[str, dict[str, str]]:
    """Return the download address of a published one, and headers for its host alone.

    A page of Google Drive becomes its file. Addresses of the Hugging Face hub follow HF_ENDPOINT
    and carry the user's token (HF_TOKEN, or what `hf auth login` has stored), for gated datasets.
    """
    if found := _DRIVE.fullmatch(url):
        drive = "https://drive.usercontent.google.com/download"
        return f"{drive}?id={found[1]}&export=download&confirm=t", {}
    if not url.startswith(_HUB):
        return url, {}
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or _HUB.rstrip("/")
    from huggingface_hub import get_token

    token = get_token() if hub.startswith("https://") else None
    return f"{hub}/{url.removeprefix(_HUB)}", {"Authorization": f"Bearer {token}"} if token else {}

"""The version of promptbench and the folder it lies in, for whoever writes them down."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"

PACKAGE = Path(__file__).resolve().parents[1]

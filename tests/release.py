"""What has to agree before a release: the tag, the version, the citation and the notes.

python -m tests.release v1.2.0 --notes notes.md
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from promptbench.support.version import __version__

ROOT = Path(__file__).resolve().parent.parent


def notes_of(changelog: str, version: str) -> str:
    """The notes of a version, as CHANGELOG.md has them below its heading.

    Raises:
        ValueError: it has none, or they say that it is not released.
    """
    parts = re.split(r"^## (.*)$", changelog, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    for heading, text in found.items():
        if heading.split()[0] != version:
            continue
        if "unreleased" in heading:
            raise ValueError(f"CHANGELOG.md calls {version} unreleased: give it its date")
        if not text.strip():
            raise ValueError(f"CHANGELOG.md says nothing of {version}")
        return text.strip() + "\n"
    raise ValueError(f"CHANGELOG.md has no heading for {version}")


def checked(tag: str, root: Path = ROOT, version: str = __version__) -> str:
    """The notes of a release by its tag.

    Raises:
        ValueError: tag, version, citation or notes contradict each other; in what.
    """
    if tag != f"v{version}":
        raise ValueError(f"the tag {tag} is not v{version} (promptbench/support/version.py)")
    cited = re.search(r"^version: (.*)$", (root / "CITATION.cff").read_text(), re.MULTILINE)
    if cited is None or cited[1].strip() != version:
        raise ValueError(f"CITATION.cff does not cite {version}")
    return notes_of((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def main() -> None:
    """Check, and write the notes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag")
    parser.add_argument("--notes", type=Path, required=True)
    given = parser.parse_args()
    try:
        given.notes.write_text(checked(given.tag), encoding="utf-8")
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

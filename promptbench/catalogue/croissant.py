"""A data card as Croissant JSON-LD (MLCommons, version 1.0): what dataset searches read.

Only what the card knows is said. Croissant wants a checksum of every file, so that files without a
known one are named in the description, and not in `distribution`.
"""

from __future__ import annotations

import re
from typing import Any

from promptbench.catalogue.citing import citation_text, entry_of
from promptbench.data.cards.cards import Archive, DataCard

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_FORMATS = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
    ".json": "application/json",
    ".mat": "application/x-matlab-data",
}
_URL = re.compile(r"https?://[^\s,;()]+")


def croissant(card: DataCard) -> dict[str, Any]:
    """Return the JSON-LD of a card: licence, citation, published files, classes and splits."""
    files, unchecked = _distribution(card)
    facts = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": card.name,
        "alternateName": card.title,
        "description": _description(card, unchecked),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": _licence(card),
        "url": _url(card),
        "version": f"{card.version}.0.0",
        "datePublished": _year(card),
        "citeAs": citation_text(card),
        "keywords": ["image classification", "few-shot", card.suite],
        "distribution": files,
        "recordSet": [_classes(card), _splits(card)],
    }
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def _description(card: DataCard, unchecked: list[Archive]) -> str:
    parts = [
        card.description or card.title,
        f"{len(card.classes)} classes; the prompt of CLIP is {card.template!r}.",
    ]
    if unchecked:
        names = ", ".join(f"{a.file} ({' or '.join(a.urls) or 'no address'})" for a in unchecked)
        parts.append(f"Files without a known checksum, not listed: {names}.")
    return " ".join(parts)


def _licence(card: DataCard) -> str | None:
    nothing = card.licence in ("", "unknown", "no licence source found")
    return None if nothing else card.licence


def _url(card: DataCard) -> str | None:
    found = (_URL.search(line) for line in (*card.obtain, card.source.location))
    return next((match[0] for match in found if match), None)


def _year(card: DataCard) -> str | None:
    entry = entry_of(card)
    return entry.fields.get("year") if entry else None


def _distribution(card: DataCard) -> tuple[list[dict[str, Any]], list[Archive]]:
    """The published files with an address and a checksum, and those without a checksum."""
    files, unchecked = [], []
    for archive in card.archives:
        sums = {
            k: v for k, v in (("md5", archive.md5), ("sha256", archive.sha256)) if v != "unknown"
        }
        if not sums:
            unchecked.append(archive)
        elif archive.urls:
            suffix = f".{archive.file.rpartition('.')[2].lower()}"
            size = {} if archive.bytes == "unknown" else {"contentSize": f"{archive.bytes} B"}
            about = {"description": archive.remark} if archive.remark else {}
            files.append(
                {
                    "@type": "cr:FileObject",
                    "@id": archive.file,
                    "name": archive.file,
                    **about,
                    "contentUrl": archive.urls[0],
                    **size,
                    "encodingFormat": _FORMATS.get(suffix, "application/octet-stream"),
                    **sums,
                }
            )
    return files, unchecked


def _classes(card: DataCard) -> dict[str, Any]:
    rows = [
        {"classes/label": label, "classes/name": name} for label, name in enumerate(card.classes)
    ]
    fields = [_field("classes", "label", "sc:Integer"), _field("classes", "name", "sc:Text")]
    told = "Class names in label order."
    return _listed("classes", told, "sc:Enumeration", "label", fields, rows)


def _splits(card: DataCard) -> dict[str, Any]:
    rows = [{"splits/name": name, "splits/images": count} for name, count in card.splits.items()]
    fields = [_field("splits", "name", "sc:Text"), _field("splits", "images", "sc:Integer")]
    told = "Splits with their numbers of images."
    return _listed("splits", told, "cr:Split", "name", fields, rows)


def _listed(
    name: str,
    description: str,
    kind: str,
    key: str,
    fields: list[dict[str, str]],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """A record set whose rows stand in the card itself."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "dataType": kind,
        "key": {"@id": f"{name}/{key}"},
        "field": fields,
        "data": rows,
    }


def _field(record_set: str, name: str, kind: str) -> dict[str, str]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": f"{record_set}/{name}",
        "description": f"The {name}.",
        "dataType": kind,
    }

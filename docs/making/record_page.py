"""The fields of a record, from its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptbench import records

Schema = Mapping[str, Any]


def fields() -> str:
    """Return the record's fields, part by part, as Markdown."""
    schema = records.schema()
    parts = ["## Record", *_part(schema)]
    for name, part in schema["$defs"].items():
        parts += [f"## {name}", *_part(part)]
    return "\n\n".join(parts)


def _part(part: Schema) -> Iterator[str]:
    if said := part.get("description"):
        yield " ".join(said.split())
    required = set(part.get("required", ()))
    lines = ["| field | type | | meaning |", "|---|---|---|---|"]
    for name, field in part.get("properties", {}).items():
        default = "required" if name in required else f"default `{field.get('default')!r}`"
        said = " ".join(field.get("description", "").split())
        lines.append(f"| `{name}` | {_type(field)} | {default} | {said} |")
    yield "\n".join(lines)


def _type(field: Schema) -> str:
    """Return the type of a field in words; parts of the record are links."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"])
    if "const" in field or "enum" in field:
        return " or ".join(f"`{value!r}`" for value in field.get("enum", [field.get("const")]))
    if "prefixItems" in field:
        return "(" + ", ".join(_type(item) for item in field["prefixItems"]) + ")"
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list of {_type(field.get('items', {}))}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"by name: {_type(field['additionalProperties'])}"
    return f"{kind}{_limits(field)}"


def _limits(field: Schema) -> str:
    largest = field.get("maximum")
    if largest is not None and largest >= 2**53 - 1:
        largest = None  # what a JSON number can hold says nothing of the field
    said = {"from": field.get("minimum"), "to": largest, "matching": field.get("pattern")}
    return "".join(f" {word} `{value}`" for word, value in said.items() if value is not None)

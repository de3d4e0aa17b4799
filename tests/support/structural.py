"""Whether a document fits a structural schema of Kubernetes: no field that it does not name.

Covers what schemas of custom resources have: types, properties, required, enum, items, bounds and
integers that may be strings. Rules in CEL are not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["problems"]

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "string": str,
}


def problems(value: Any, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What in ``value`` the schema does not allow, with where it is."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str) or isinstance(value, bool):
            yield f"{path}: neither an integer nor a string: {value!r}"
        return
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        yield f"{path}: not of type {kind}: {value!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, int) and not isinstance(value, bool):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield f"{path}: {value} is out of bounds"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), f"{path}[{number}]")
    elif isinstance(value, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        yield from _fields(value, schema, path)


def _fields(value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}: lacks {name}"
    for name, inner in value.items():
        if name in known:
            yield from problems(inner, known[name], f"{path}.{name}")
        elif isinstance(others, dict):
            yield from problems(inner, others, f"{path}.{name}")
        elif others is not True and (known or others is False):
            yield f"{path}: has no field {name}"


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, TYPES[kind])

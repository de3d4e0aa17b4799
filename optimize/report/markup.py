"""Pieces of HTML that the sections share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

__all__ = ["Cell", "at_batch", "number", "section", "table", "text"]

Cell = tuple[str, str]
"""Markup, and the CSS classes of its cell."""


def text(value: Any) -> str:
    """Anything, escaped."""
    return html.escape(str(value))


def number(value: Any, digits: int = 4) -> str:
    """A number for people; what is no number as it is, and nothing for None."""
    if value is None:
        return ""
    if not isinstance(value, int | float):
        return text(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.{digits}g}"


def section(title: str, inner: str) -> str:
    """A section, or nothing where there is nothing in it."""
    return f"<section><h2>{text(title)}</h2>{inner}</section>" if inner else ""


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], kinds: Sequence[str] = ()) -> str:
    """A table that becomes cards on a phone; ``kinds`` are CSS classes of its rows."""
    numeric = {
        index
        for index in range(len(heads))
        if rows and all(row[index][1] == "n" or not row[index][0] for row in rows)
    }
    head = "".join(
        f"<th{_classes('n' if index in numeric else '')}>{text(name).replace(':', ':<wbr>')}"
        for index, name in enumerate(heads)
    )
    body = []
    for index, row in enumerate(rows):
        cells = "".join(
            f'<td{_classes(kind)} data-label="{text(name)}">{inner}</td>'
            for name, (inner, kind) in zip(heads, row, strict=True)
        )
        body.append(f"<tr{_classes(kinds[index] if kinds else '')}>{cells}</tr>")
    return (
        f"<div class=wide><table class=cards><tr class=head>{head}</tr>{''.join(body)}"
        "</table></div>"
    )


def _classes(names: str) -> str:
    return f' class="{names}"' if names else ""


def at_batch(candidate: dict[str, Any], batch: int) -> dict[str, Any]:
    """The figures of a candidate at a batch size, of rows of the typical length."""
    profile = candidate["profile"]
    rows: list[dict[str, Any]] = [
        row for row in profile["rows"] if row["length"] == profile["typical_length"]
    ]
    return min(rows, key=lambda row: abs(row["batch"] - batch))

"""Rows of cells as lines of text."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

__all__ = ["aligned"]


def aligned(rows: Iterable[Sequence[str]], numbers: Container[int]) -> list[str]:
    """A line for each row; the columns ``numbers`` are aligned on the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

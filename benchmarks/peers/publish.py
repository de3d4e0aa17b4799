"""``python -m benchmarks.peers.publish``: put the last run's table into docs/peers.md.

A step of its own, because a run is to be looked at before its figures are shown to others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.models import ROOT
from benchmarks.peers.results import read
from benchmarks.peers.table import render

__all__ = ["insert", "main"]

BEGIN = "<!-- figures: written by python -m benchmarks.peers.publish -->"
END = "<!-- end of figures -->"


def insert(page: str, figures: str) -> str:
    """The page with other figures between its marks.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{figures.strip()}\n\n{END}{after}"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.publish", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/peers/peers.json"))
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "peers.md")
    options = parser.parse_args(words)
    page = insert(options.page.read_text(), render(read(options.results)))
    options.page.write_text(page)
    print(f"written: {options.page}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A whole run: what is set up, in which order servers are visited, what is kept of it."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.peers.catalogue import PENSTOCK, Row
from benchmarks.peers.environment import SetupError, ensure
from benchmarks.peers.models import MODELS, PeerModel
from benchmarks.peers.results import Results, Visit, write
from benchmarks.peers.visit import Plan, visit

__all__ = ["order", "run", "set_up"]

MAX_FAILURES = 2
"""After so many failed visits a row is not started again: it has had its second chance."""

Planned = tuple[int, str, Row]
"""Round, model, row."""


def order(rows: Sequence[Row], models: Sequence[str], rounds: int, seed: int) -> Iterator[Planned]:
    """Every row with every model once a round, shuffled anew each round.

    So nobody always comes after the same neighbour, or always when the machine is busy.
    """
    rng = random.Random(seed)
    for number in range(1, rounds + 1):
        turns = [(number, model, row) for model in models for row in rows]
        rng.shuffle(turns)
        yield from turns


def set_up(rows: Sequence[Row], say: Callable[[str], None]) -> dict[str, str]:
    """Make the environments that are missing; returns the reason for each that failed."""
    failed = {}
    for peer in dict.fromkeys(row.peer for row in rows if row.peer != PENSTOCK):
        say(f"setting up {peer}")
        try:
            ensure(peer)
        except (SetupError, OSError) as error:
            failed[peer] = f"set-up failed: {error}"
    return failed


def run(
    results: Results,
    turns: Sequence[Planned],
    plan: Plan,
    unusable: Mapping[str, str],
    file: Path,
    say: Callable[[str], None],
    done: Callable[[Visit], None],
) -> None:
    """Visit after visit, each written down when it is over.

    Only one server exists at a time: idle ones would still take memory and CPU (Ray's cluster
    takes a tenth of a core), and starting anew each round spreads the luck of a start.

    Args:
        unusable: the reason by peer, where set-up failed.
        done: told of each visit after it is written down.
    """
    failures: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder = Path(name)
        models: dict[str, PeerModel] = {}
        for index, (number, model, row) in enumerate(turns):
            if failures[row.name, model] >= MAX_FAILURES:
                continue
            if row.peer in unusable:
                failures[row.name, model] = MAX_FAILURES
                seen = Visit(
                    peer=row.peer, row=row.row, model=model, round=number,
                    failure=unusable[row.peer],
                )  # fmt: skip
            else:
                if model not in models:
                    models[model] = MODELS[model](folder / model)
                (scratch := folder / str(index)).mkdir()
                tell = _prefixed(say, f"{index + 1}/{len(turns)} {model}, {row.name}: ")
                seen = visit(row, models[model], number, plan, scratch, tell)
                failures[row.name, model] += bool(seen.failure)
            results.visits.append(seen)
            write(results, file)
            done(seen)
    results.complete = True
    write(results, file)


def _prefixed(say: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda what: say(prefix + what)

"""``python -m benchmarks.peers``: set up what is missing, measure everybody, write the table.

Writes ``peers.json`` after every visit and ``peers.md`` at the end; Ctrl-C leaves both, valid, with
what was measured until then. Exit status: 0 all rows measured; 1 a row failed, and is shown as
failed; 2 Penstock itself failed; 130 interrupted.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.interrupts import interruptible
from benchmarks.machine import facts
from benchmarks.peers.campaign import order, run, set_up
from benchmarks.peers.catalogue import PEERS, PENSTOCK, ROWS, Row
from benchmarks.peers.environment import locked_version
from benchmarks.peers.models import MODELS, ROOT
from benchmarks.peers.results import Results, Visit
from benchmarks.peers.table import render
from benchmarks.peers.visit import Plan

__all__ = ["chosen", "exit_status", "main"]

CONNECTIONS = (8, 64, 256)
RATES = (100, 1000)
SEED = 20261124
FULL_ROUNDS, QUICK_ROUNDS = 3, 1
SHORT_GRACE_S = 2.0
"""After a load of seconds; what is not answered by then makes the rate one that was not kept."""


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks.peers --only litserve --model mlp --quick",
    )
    parser.add_argument(
        "--only", action="append", choices=PEERS, help="a peer beside Penstock; may be repeated"
    )
    parser.add_argument(
        "--model", action="append", choices=MODELS, help="may be repeated; default: all"
    )
    parser.add_argument("--quick", action="store_true", help="one round of short loads, to try it")
    parser.add_argument("--rounds", type=int, help=f"default {FULL_ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument(
        "--seconds", type=float, help="of every load, more where a p99 takes more requests"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the order and the arrivals")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/peers"))
    return parser.parse_args(words)


def chosen(only: Sequence[str] | None) -> list[Row]:
    """Penstock and the peers that were named, or all."""
    return [row for row in ROWS if row.peer == PENSTOCK or not only or row.peer in only]


def exit_status(visits: Sequence[Visit]) -> int:
    """What the run has to say to a script."""
    failed = {visit.peer for visit in visits if visit.failure}
    if PENSTOCK in failed:
        return 2
    return 1 if failed else 0


def plan_of(options: argparse.Namespace) -> Plan:
    if options.quick:
        return Plan(CONNECTIONS, 1, RATES, 2, 1, options.seed)
    if options.seconds is not None:
        seconds = options.seconds
        return Plan(CONNECTIONS, seconds, RATES, seconds, 1, options.seed, SHORT_GRACE_S)
    return Plan(CONNECTIONS, 3, RATES, 5, 2, options.seed)


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    rows, models = chosen(options.only), list(dict.fromkeys(options.model or MODELS))
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else FULL_ROUNDS)
    plan = plan_of(options)
    results = Results(
        date=datetime.datetime.now(datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
        command=shlex.join(["python", "-m", "benchmarks.peers", *(words or sys.argv[1:])]),
        commit=_commit(),
        machine=facts(),
        versions={row.peer: locked_version(row.peer) for row in rows if row.peer != PENSTOCK},
        settings={
            "rounds": rounds,
            "closed_s": plan.closed_s,
            "open_s": plan.open_s,
            "seed": plan.seed,
        },
    )
    console = Console()
    file = options.out / "peers.json"
    interrupted = False
    try:
        with interruptible(), console.status("setting up") as status:
            unusable = set_up(rows, status.update)
            turns = list(order(rows, models, rounds, options.seed))
            run(
                results, turns, plan, unusable, file, status.update,
                lambda seen: console.print(
                    _line(seen), markup=False, highlight=False, soft_wrap=True
                ),
            )  # fmt: skip
    except KeyboardInterrupt:
        interrupted = True
    if results.visits:
        table = options.out / "peers.md"
        table.write_text(render(results))
        console.print(f"written: {file}, {table}")
    return 130 if interrupted else exit_status(results.visits)


def _line(seen: Visit) -> str:
    name = f"{seen.model:6} {seen.peer} {seen.row}"
    figures = ", ".join(
        f"{one.load} {one.ok_per_s:,.0f}/s p99 {one.p99_ms:,.1f} ms" for one in seen.loads
    )
    return f"{name:28} {seen.took_s:.0f} s: {figures} {seen.failure.strip()[:300]}"


def _commit() -> str:
    """The commit, with a mark where the working tree differs from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "an unknown commit"


if __name__ == "__main__":
    raise SystemExit(main())

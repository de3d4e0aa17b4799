"""``python -m benchmarks.run [SCENARIO …] [--quick]``: measure, print, write down, judge.

Exit status: 0 all thresholds met; 1 one is missed; 2 something failed to run; 3 a scenario could
not be measured on this machine just now.
"""

from __future__ import annotations

import argparse
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.context import Context, penstock_command
from benchmarks.machine import facts
from benchmarks.report import document, markdown, table
from benchmarks.result import Result, Verdict
from benchmarks.scenarios.catalogue import SCENARIOS

__all__ = ["exit_status", "main"]

FULL = (7, 3)
QUICK = (3, 1)
SEED = 20261123


def exit_status(verdicts: Sequence[Verdict], errors: int) -> int:
    """The worst of all."""
    if errors:
        return 2
    if Verdict.FAIL in verdicts:
        return 1
    return 3 if Verdict.INVALID in verdicts else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks.run small_requests overload --quick",
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="few short rounds: a smoke test")
    parser.add_argument("--rounds", type=int, help=f"default {FULL[0]}, quick {QUICK[0]}")
    parser.add_argument("--round-s", type=int, help=f"default {FULL[1]}, quick {QUICK[1]}")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--seed", type=int, default=SEED, help="of the arrivals")
    parsed = parser.parse_args()
    if unknown := [name for name in parsed.scenarios if name not in SCENARIOS]:
        parser.error(f"no scenario {', '.join(unknown)}: choose from {', '.join(SCENARIOS)}")
    return parsed


def main() -> int:
    options = arguments()
    rounds, round_s = QUICK if options.quick else FULL
    rounds, round_s = options.rounds or rounds, options.round_s or round_s
    console = Console()
    results: list[Result] = []
    errors = 0
    machine = facts()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        for name in options.scenarios or SCENARIOS:
            with console.status(name) as status:
                context = Context(
                    Path(folder), penstock_command(), rounds, round_s, options.seed, status.update
                )
                try:
                    results.append(SCENARIOS[name](context))
                except Exception:  # noqa: BLE001 - the other scenarios are still worth running
                    errors += 1
                    console.print(f"[red]{name}: error[/]")
                    console.print(traceback.format_exc(), markup=False, highlight=False)
                    continue
            console.print(table.render(results[-1]))
    options.out.mkdir(parents=True, exist_ok=True)
    run = {"rounds": rounds, "round_s": round_s, "seed": options.seed}
    (options.out / "result.json").write_bytes(document.render(results, machine, run))
    (options.out / "summary.md").write_text(markdown.render(results, machine))
    console.print(f"written: {options.out}/result.json, {options.out}/summary.md")
    return exit_status([result.verdict for result in results], errors)


if __name__ == "__main__":
    raise SystemExit(main())

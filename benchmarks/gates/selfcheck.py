"""Does the ratio gate catch what it should? On real servers, again and again.

    python -m benchmarks.gates.selfcheck --runs 20

Each run measures a server of this working tree whose every request costs a tenth more CPU than the
baseline's, and then one that is the same as the baseline, with ``ab_cpu`` and the smoke gate's
limit. The slowed one must never pass, the same one never fail; inconclusive is allowed to both.
Verdicts are added to a file, so that the runs can be spread over quiet minutes; what is printed is
the count of all of them. Exit status: 0 no mistake among them, 1 a mistake, 130 interrupted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console

from benchmarks.context import Context
from benchmarks.gates.files import load
from benchmarks.gates.findings import Finding
from benchmarks.gates.judge import Judge
from benchmarks.gates.noise import foreign_share
from benchmarks.gates.slowed import write_slowed
from benchmarks.gates.verdict import Verdict
from benchmarks.interrupts import interruptible
from benchmarks.measurement import Measurement
from benchmarks.scenarios import catalogue
from benchmarks.subject import Launch

__all__ = ["Checked", "mistakes", "summary"]

Kind = Literal["slowed", "identical"]
WRONG: dict[Kind, Verdict] = {"slowed": Verdict.PASS, "identical": Verdict.FAIL}
MODEL = "fraud"
CPU = "server_cpu_us_per_req"
LEARNING = {"rounds": 4, "round_s": 0.3, "starts": 1}


class Checked(msgspec.Struct, frozen=True):
    """One run."""

    kind: Kind
    slower: float
    """Part of a request's CPU that was added; 0 for the same server."""
    verdict: Verdict
    ratio: float
    low: float
    high: float
    foreign_share: float
    """Part of the machine that others used meanwhile."""
    params: dict[str, Any]


def summary(checked: Iterable[Checked]) -> str:
    """The counts, a line a kind."""
    lines = []
    for kind, wrong in WRONG.items():
        seen = [one.verdict for one in checked if one.kind == kind]
        counts = ", ".join(f"{count} {verdict}" for verdict, count in Counter(seen).most_common())
        lines.append(f"{kind}: {len(seen)} runs: {counts or 'none'}; {wrong} would be wrong")
    return "\n".join(lines)


def mistakes(checked: Iterable[Checked]) -> int:
    """How many verdicts are wrong."""
    return sum(one.verdict is WRONG[one.kind] for one in checked)


def cost_us(models: Path) -> float:
    """CPU of a request to the server as it is, on this machine just now."""
    measured, _ = _measured(models, 0.0, LEARNING, seed=0)
    return measured.metrics[f"baseline.{CPU}"]


def check(
    kind: Kind, slower: float, extra_us: float, params: dict[str, Any], seed: int, models: Path
) -> Checked:
    """One run of two servers, of which the candidate burns ``extra_us`` a request."""
    measured, found = _measured(models, extra_us, params, seed)
    return Checked(
        kind=kind,
        slower=slower,
        verdict=found.verdict,
        ratio=round(found.value, 4),
        low=round(found.low, 4),
        high=round(found.high, 4),
        foreign_share=round(foreign_share(measured.noise), 3),
        params=params,
    )


def _measured(
    models: Path, extra_us: float, params: dict[str, Any], seed: int
) -> tuple[Measurement, Finding]:
    spec = load("smoke").spec
    (gate,) = (gate for one in spec.scenarios for gate in one.gates if gate.is_relative)
    with tempfile.TemporaryDirectory(prefix="penstock-selfcheck-") as name:
        folder = Path(name)
        candidate = Launch(models, penstock=str(write_slowed(folder / "candidate", extra_us)))
        baseline = Launch(models, penstock=str(write_slowed(folder / "baseline")))
        context = Context(folder, candidate, baseline, model=MODEL, seed=seed)
        measured = catalogue.run("ab_cpu", context, params)
    return measured, Judge(noise=spec.noise, seed=seed).finding(gate, measured)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="of each kind")
    parser.add_argument("--slower", type=float, default=0.1, help="part of a request's CPU")
    parser.add_argument("--rounds", type=int, default=12, help="pairs of rounds, a run")
    parser.add_argument("--round-s", type=float, default=0.2, help="load of a round")
    parser.add_argument("--starts", type=int, default=2, help="of both servers, a run")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/selfcheck/verdicts.jsonl")
    )
    options = parser.parse_args()
    params = {"rounds": options.rounds, "round_s": options.round_s, "starts": options.starts}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    decoder = msgspec.json.Decoder(Checked)
    checked = decoder.decode_lines(options.out.read_bytes()) if options.out.exists() else []
    console = Console(highlight=False, soft_wrap=True)
    try:
        with interruptible(), options.out.open("ab") as file:
            models = options.models.resolve()
            extra_us = options.slower * cost_us(models)
            settings: dict[Kind, tuple[float, float]] = {
                "slowed": (options.slower, extra_us),
                "identical": (0.0, 0.0),
            }
            for _ in range(options.runs):
                for kind, (slower, burnt_us) in settings.items():
                    seed = 1 + len(checked)
                    one = check(kind, slower, burnt_us, params, seed, models)
                    checked.append(one)
                    file.write(msgspec.json.encode(one) + b"\n")
                    file.flush()
                    console.print(
                        f"{kind}: {one.verdict}, {one.ratio:.3f} ({one.low:.3f} – {one.high:.3f}),"
                        f" others used {one.foreign_share:.0%}"
                    )
    except KeyboardInterrupt:
        console.print(summary(checked))
        return 130
    console.print(summary(checked))
    return 1 if mistakes(checked) else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Does the ratio gate catch what it should? On real servers, again and again.

    python -m benchmarks.gates.selfcheck --runs 20

Each run measures a server of this working tree whose every request costs a tenth more CPU than the
baseline's, or one that is the same as the baseline, with ``ab_cpu`` and the smoke gate's limit, and
once more where that is missed. The slowed one must never pass, the same one never fail;
inconclusive is allowed to both.
Verdicts are added to a file, so that it may be ended and goes on the next time; what is printed is
the count of all of them. Exit status: 0 no mistake among them, 1 a mistake, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console

from benchmarks.context import Context
from benchmarks.gates.bench import Bench
from benchmarks.gates.driver import Silent
from benchmarks.gates.files import load
from benchmarks.gates.findings import Finding
from benchmarks.gates.judge import Judge
from benchmarks.gates.noise import foreign_share
from benchmarks.gates.outcome import Provenance
from benchmarks.gates.runner import Runner
from benchmarks.gates.slowed import write_slowed
from benchmarks.gates.verdict import Verdict
from benchmarks.interrupts import interruptible
from benchmarks.scenarios import catalogue
from benchmarks.subject import Launch

__all__ = ["Checked", "check", "fewest", "mistakes", "summary"]

Kind = Literal["slowed", "identical"]
WRONG: dict[Kind, Verdict] = {"slowed": Verdict.PASS, "identical": Verdict.FAIL}
JUDGED = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
MODEL = "fraud"
CPU = "server_cpu_us_per_req"
LEARNING = {"rounds": 4, "round_s": 0.3, "starts": 2}


class Checked(msgspec.Struct, frozen=True):
    """One run."""

    kind: Kind
    slower: float
    """Part of a request's CPU that was added; 0 for the same server."""
    verdict: Verdict
    measured: tuple[tuple[float, float, float], ...]
    """Candidate / baseline and its interval, of each measurement: two where the first missed."""
    foreign_share: float
    """Part of the machine that others used meanwhile."""
    day: str
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


def fewest(checked: Iterable[Checked], runs: int) -> Kind | None:
    """The kind that was judged least often, if that is less than this; the slowed one first."""
    counts = Counter(one.kind for one in checked if one.verdict in JUDGED)
    kind = min(WRONG, key=lambda one: counts[one])
    return kind if counts[kind] < runs else None


def cost_us(models: Path) -> float:
    """CPU of a request to the server as it is, on this machine just now."""
    with _servers(models, 0.0, seed=0) as context:
        return catalogue.run("ab_cpu", context, LEARNING).metrics[f"baseline.{CPU}"]


def check(
    kind: Kind, slower: float, extra_us: float, params: dict[str, Any], seed: int, models: Path
) -> Checked:
    """One run of the gate on two servers, of which the candidate burns ``extra_us`` a request.

    Raises:
        RuntimeError: a load or a server failed.
    """
    with _servers(models, extra_us, seed) as context:
        result = _runner(Bench(context, ()), params, seed).run()
    if result.interrupted:
        raise KeyboardInterrupt
    (outcome,) = result.scenarios
    for one in outcome.attempts:
        if one.error:
            raise RuntimeError(f"the comparison did not run: {one.error}")
    found = [_finding(one.findings) for one in outcome.attempts if not one.discarded]
    noise = [one.measurement.noise for one in outcome.attempts if one.measurement]
    return Checked(
        kind=kind,
        slower=slower,
        verdict=outcome.verdict,
        measured=tuple(
            (round(one.value, 4), round(one.low, 4), round(one.high, 4)) for one in found
        ),
        foreign_share=round(foreign_share(tuple(itertools.chain(*noise))), 3),
        day=datetime.now(UTC).date().isoformat(),
        params=params,
    )


def _finding(findings: tuple[Finding, ...]) -> Finding:
    return next(one for one in findings if one.is_relative)


@contextlib.contextmanager
def _servers(models: Path, extra_us: float, seed: int) -> Iterator[Context]:
    with tempfile.TemporaryDirectory(prefix="penstock-selfcheck-") as name:
        folder = Path(name)
        candidate = Launch(models, penstock=str(write_slowed(folder / "candidate", extra_us)))
        baseline = Launch(models, penstock=str(write_slowed(folder / "baseline")))
        yield Context(folder, candidate, baseline, model=MODEL, seed=seed)


def _runner(bench: Bench, params: dict[str, Any], seed: int) -> Runner:
    """Of the smoke gate's comparison, with these parameters and time for all of it."""
    whole = load("smoke", [f"defaults.seed={seed}", "budget.max_minutes=60"]).spec
    scenarios = tuple(
        one.model_copy(update={"params": {**one.params, **params}})
        for one in whole.scenarios
        if one.kind == "ab_cpu"
    )
    spec = whole.model_copy(update={"scenarios": scenarios})
    provenance = Provenance(
        started="", command="", gate_file="smoke", gate_sha256="", seed=spec.defaults.seed
    )
    return Runner(
        spec=spec,
        driver=bench,
        judge=Judge(noise=spec.noise, ratios=spec.relative_gates),
        provenance=provenance,
        progress=Silent(),
        save=lambda result: None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="of each kind, with those in the file")
    parser.add_argument("--slower", type=float, default=0.1, help="part of a request's CPU")
    parser.add_argument("--rounds", type=int, default=12, help="pairs of rounds, a run")
    parser.add_argument("--round-s", type=float, default=0.5, help="load of a round")
    parser.add_argument("--starts", type=int, default=6, help="of both servers, a run")
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
            while (kind := fewest(checked, options.runs)) is not None:
                seed = 1 + len(checked)
                one = check(kind, *settings[kind], params, seed, models)
                checked.append(one)
                file.write(msgspec.json.encode(one) + b"\n")
                file.flush()
                seen = ", then ".join(
                    f"{ratio:.3f} ({low:.3f} – {high:.3f})" for ratio, low, high in one.measured
                )
                console.print(f"{kind}: {one.verdict}, {seen}; others used {one.foreign_share:.0%}")
    except KeyboardInterrupt:
        console.print(summary(checked))
        return 130
    console.print(summary(checked))
    return 1 if mistakes(checked) else 0


if __name__ == "__main__":
    raise SystemExit(main())

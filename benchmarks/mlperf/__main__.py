"""``python -m benchmarks.mlperf``: MLPerf LoadGen against Penstock, beside our own generator.

Starts a server for a model repository, or takes a running one (``--url``), and runs LoadGen's
Server (Poisson arrivals, p99 bound), SingleStream (one in flight) and Offline (all at once), each
after the same load by ``benchmarks.loadgen``. LoadGen's rules and verdicts, not its official
minimum of 600 s unless asked for. Writes ``mlperf.json``, ``mlperf.md`` and LoadGen's own logs.
Exit status: 0 all runs VALID by LoadGen; 1 one INVALID; 2 something did not run; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from benchmarks.context import penstock_command
from benchmarks.inputs.source import Inputs, make_payloads
from benchmarks.loadgen.launch import LoadError
from benchmarks.machine import facts
from benchmarks.mlperf.compare import Comparison, LoadGenError, Plan, compare, render
from benchmarks.mlperf.job import SCENARIOS
from benchmarks.process import StartError
from benchmarks.subject import Given, Launch, Served, Subject, UnsupportedError, serve

__all__ = ["main"]

PAYLOADS = 64
CONNECTIONS = 64
SEED = 20261124


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mlperf",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks.mlperf --scenario Server --qps 1000 --duration-s 60",
    )
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="default: all")
    parser.add_argument("--repository", type=Path, default=Path("models"), help="to be served")
    parser.add_argument("--url", help="a server that runs already, http://host:port")
    parser.add_argument("--model", default="fraud")
    parser.add_argument("--qps", type=float, default=1000.0, help="arrivals of Server")
    parser.add_argument("--slo-ms", type=float, default=100.0, help="p99 bound of Server")
    parser.add_argument("--duration-s", type=float, default=10.0, help="of each run")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mlperf"))
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    console = Console()
    if importlib.util.find_spec("mlperf_loadgen") is None:
        console.print("no LoadGen here: pip install mlcommons-loadgen (it is in the bench extra)")
        return 2
    subject: Subject = (
        Given(options.url)
        if options.url
        else Launch(options.repository, penstock=penstock_command())
    )
    comparisons: list[Comparison] = []
    status = 0
    with tempfile.TemporaryDirectory(prefix="mlperf-") as folder:
        try:
            with serve(subject, Path(folder) / "server.log") as server:
                plan = _plan(options, server)
                with console.status("") as progress:
                    for scenario in dict.fromkeys(options.scenario or SCENARIOS):
                        progress.update(f"{scenario}: ours, then LoadGen's")
                        comparisons.append(compare(scenario, plan))
        except KeyboardInterrupt:
            status = 130
        except (StartError, UnsupportedError, LoadError, LoadGenError, OSError) as error:
            console.print(f"error: {error}", markup=False)
            status = 2
    console.print(render(comparisons), markup=False, highlight=False, soft_wrap=True)
    options.out.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": facts(),
        "settings": {key: str(value) for key, value in vars(options).items()},
        "complete": not status,
        "scenarios": comparisons,
    }
    (options.out / "mlperf.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    (options.out / "mlperf.md").write_text(render(comparisons))
    console.print(f"written: {options.out}/mlperf.json, {options.out}/mlperf.md")
    return status or int(not all(one.loadgen.valid for one in comparisons))


def _plan(options: argparse.Namespace, server: Served) -> Plan:
    payloads = make_payloads(
        Inputs(),
        server,
        model=options.model,
        protocol="http",
        encoding="json",
        rows=1,
        count=PAYLOADS,
        seed=options.seed,
    )
    return Plan(
        target=server.target("http"),
        payloads=payloads,
        connections=CONNECTIONS,
        rate_per_s=options.qps,
        duration_s=options.duration_s,
        slo_ms=options.slo_ms,
        seed=options.seed,
        folder=options.out.resolve(),
    )


if __name__ == "__main__":
    raise SystemExit(main())

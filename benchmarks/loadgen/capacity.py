"""How many requests a second one generator process can drive, on this machine, just now.

    python -m benchmarks.loadgen.capacity [--protocol http|grpc|grpc_stream] [--rate 20000]

Open loop, Poisson, against the least server there is (HTTP: the bare floor; gRPC: one that answers
without a look at the request). The rate is driven if the generator's own health says so; the exit
status is 0 then, 3 otherwise. On a machine with two cores, server and generator need one each.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.loadgen.launch import run_load
from benchmarks.loadgen.profiles import steady
from benchmarks.loadgen.spec import LoadReport, LoadSpec, OpenLoop, Protocol, Target
from benchmarks.models import FEATURES, SMALL
from benchmarks.noise import Limits, NoiseMonitor, is_quiet
from benchmarks.payloads import Payload, json_rows
from benchmarks.process import Server, free_port, running

RATES: dict[Protocol, float] = {"http": 20_000.0, "grpc": 2_000.0, "grpc_stream": 2_000.0}


@contextlib.contextmanager
def least_server(protocol: Protocol, folder: Path) -> Iterator[Server]:
    """The server that costs least, ready."""
    port = free_port()
    if protocol == "http":
        module, model = "benchmarks.floor.server", [str(SMALL.write(folder))]
    else:
        module, model = "benchmarks.floor.grpc_sink", []
    command = [sys.executable, "-m", module, *model, "--port", str(port)]
    with running(Server(module, command, port, folder / "server.log"), path=None) as server:
        yield server


def show(report: LoadReport, quiet: bool) -> Table:
    """What was asked for, what was driven, and at what cost."""
    health, total = report.health, report.total
    table = Table(title=f"{report.tool}, one process")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in (
        ("scheduled", f"{health.scheduled_per_s:,.0f}/s"),
        ("answered well", f"{total.ok_per_s:,.0f}/s"),
        ("generator CPU", f"{health.cpu_share:.0%} of a core"),
        ("generator CPU a request", f"{health.cpu_share / max(1.0, total.ok_per_s) * 1e6:.1f} µs"),
        ("send lag p99", f"{health.send_lag_ms.p99:.2f} ms"),
        ("latency p50 / p99", f"{total.latency_ms.p50:.2f} / {total.latency_ms.p99:.2f} ms"),
        ("machine", "quiet" if quiet else "used by others as well"),
        ("driven honestly", "yes" if not health.reasons else "; ".join(health.reasons)),
    ):
        table.add_row(name, value)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", choices=list(RATES), default="http")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    protocol: Protocol = arguments.protocol
    rate = arguments.rate or RATES[protocol]
    payload = json_rows(SMALL.name, 1, FEATURES)
    if protocol != "http":
        payload = Payload("empty", "ModelInfer", (), b"x" * 150, 1)
    with (
        tempfile.TemporaryDirectory(prefix="penstock-capacity-") as folder,
        NoiseMonitor() as noise,
        least_server(protocol, Path(folder)) as server,
    ):
        report = run_load(
            LoadSpec(
                target=Target(port=server.port, protocol=protocol),
                payloads=(payload,),
                load=OpenLoop(phases=steady(rate, arguments.seconds, warmup_s=1.0)),
                connections=arguments.connections,
            )
        )
        quiet = is_quiet(noise.samples, Limits())
    Console().print(show(report, quiet))
    return 3 if report.health.reasons else 0


if __name__ == "__main__":
    raise SystemExit(main())

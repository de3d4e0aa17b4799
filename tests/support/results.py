"""Results of runs, made up from measurements."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.gates.outcome import Contender, RunResult
from benchmarks.measurement import Measurement
from tests.support.fake_driver import PROVENANCE, FakeDriver, run
from tests.support.measurements import full_measurement, measurement, rounds

GATES = """\
schema: 1
name: example
description: What a pass of this file means, in a sentence of its own.
noise: {retries: 1}
baseline: {ref: auto}
scenarios:
  - name: headline
    scenario: server_fixed
    params: {protocol: http, rate: 1000}
    gates:
      - {metric: latency_ms.p99, op: "<", value: 100, method: early_stopping, why: the SLO}
      - {metric: error_rate, op: "<=", value: %s}
  - name: no_slower
    scenario: ab_cpu
    gates:
      - {metric: server_cpu_us_per_req, max_ratio: 1.05}
  - name: switching
    scenario: canary_switch
    if_unsupported: skip
    gates: [{metric: error_rate, op: "<=", value: 0}]
"""


def example(
    folder: Path,
    *,
    errors_allowed: float = 0.01,
    retried: bool = True,
    ratios: tuple[float, ...] = (1.01,),
) -> RunResult:
    """A run with an attempt that was repeated, a ratio, and an unsupported scenario.

    A ratio above the limit is measured again, and comes out as the second.
    """
    path = folder / "example.yaml"
    path.write_text(GATES % errors_allowed)
    left = iter(ratios)
    attempts = iter([measurement(invalid=("the generator was late",))] if retried else [])

    def headline(seed: int) -> Measurement:
        return next(attempts, full_measurement(1))

    def ab_cpu(seed: int) -> Measurement:
        ratio = next(left)
        taken = rounds("server_cpu_us_per_req", ratio, spread=0.012, seed=1)
        return measurement({"server_cpu_us_per_req": 31.0}, rounds=taken)

    driver = FakeDriver({"server_fixed": headline, "ab_cpu": ab_cpu})
    result, _ = run(path, driver)
    machine = {
        "cpu": "AMD EPYC 7R13",
        "cores": 2,
        "memory_gib": 7.6,
        "kernel": "6.1",
        "python": "3.11.7",
    }
    return msgspec.structs.replace(
        result,
        provenance=msgspec.structs.replace(
            PROVENANCE,
            commit="0123456789abcdef" * 2,
            lock_sha256="ab" * 32,
            machine=machine,
            preflight_busy=(0.04,),
            contenders=(
                Contender(name="candidate", command=("penstock", "serve", "models")),
                Contender(name="baseline", command=("penstock",), note="commit 3d8faf8"),
            ),
            configuration={"noise": {"foreign_max": 0.1}},
        ),
    )

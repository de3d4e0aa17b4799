"""From a loaded gate file to a result: what comes before the first scenario, then the run."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.gates import baseline
from benchmarks.gates.bench import make_bench
from benchmarks.gates.driver import Progress
from benchmarks.gates.files import LoadedGate
from benchmarks.gates.judge import Judge
from benchmarks.gates.noise import preflight
from benchmarks.gates.outcome import Provenance, RunResult
from benchmarks.gates.provenance import commit, hardware_difference, is_dirty, lock_sha256
from benchmarks.gates.runner import Runner
from benchmarks.gates.verdict import Verdict
from benchmarks.machine import facts

__all__ = ["run_gate"]


def run_gate(
    gate: LoadedGate,
    *,
    progress: Progress,
    save: Callable[[RunResult], None],
    with_baseline: bool = True,
    notes: tuple[str, ...] = (),
) -> RunResult:
    """Run a gate file. ``save`` is called before the first scenario and after each.

    Raises:
        BaselineError: the baseline cannot be had.
        OSError: the server's command or repository is not there.
    """
    spec = gate.spec
    provenance = _provenance(gate)
    begun = RunResult(
        name=spec.name,
        description=spec.description,
        verdict=Verdict.INVALID,
        interrupted=True,
        provenance=provenance,
        notes=(*notes, f"0 of {len(spec.scenarios)} scenarios ran"),
    )
    save(begun)
    try:
        progress.update("is the machine quiet?", None)
        busy = preflight(spec.noise)
        if busy[-1] > spec.noise.preflight_busy_max:
            progress.say(f"others use {busy[-1]:.0%} of the machine: noise will be watched")
        other = None
        if with_baseline and spec.baseline is not None and spec.relative_gates:
            other = baseline.prepare(spec.baseline, progress.say)
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            runner = Runner(
                spec=spec,
                driver=make_bench(spec, other, Path(folder), progress),
                judge=Judge(
                    noise=spec.noise,
                    ratios=max(1, spec.relative_gates),
                    with_baseline=other is not None,
                    other_hardware=hardware_difference(
                        spec.hardware, spec.profile, provenance.machine
                    ),
                ),
                provenance=msgspec.structs.replace(provenance, preflight_busy=busy),
                progress=progress,
                save=save,
                notes=notes,
            )
            return runner.run()
    except KeyboardInterrupt:
        return begun


def _provenance(gate: LoadedGate) -> Provenance:
    return Provenance(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["penstock", *sys.argv[1:]]),
        gate_file=str(gate.path),
        gate_sha256=gate.sha256,
        overrides=gate.overrides,
        configuration=gate.spec.model_dump(mode="json", by_alias=True),
        seed=gate.spec.defaults.seed,
        commit=commit(),
        is_dirty=is_dirty(),
        lock_sha256=lock_sha256(),
        machine=dict(facts()),
    )

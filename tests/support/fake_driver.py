"""A driver whose scenarios are functions from a seed to a measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gates.driver import Silent
from benchmarks.gates.files import load
from benchmarks.gates.judge import Judge
from benchmarks.gates.outcome import Contender, Provenance, RunResult
from benchmarks.gates.runner import Runner
from benchmarks.measurement import Measurement
from benchmarks.subject import UnsupportedError

Answer = Callable[[int], Measurement]


class FakeDriver:
    """Notes what it was asked for."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, int]] = []
        self.params: list[dict[str, Any]] = []

    def contenders(self) -> tuple[Contender, ...]:
        return (Contender(name="candidate"),)

    def summary(self, scenario: str) -> str:
        return f"What {scenario} measures."

    def parameters(self, scenario: str) -> Mapping[str, Any]:
        if scenario not in self._answers:
            raise UnsupportedError(f"there is no scenario {scenario}")
        return {"protocol": "http", "rate": 1000, "duration_s": 30.0, "warmup_s": 3.0}

    def measure(self, scenario: str, params: Mapping[str, Any], seed: int) -> Measurement:
        self.asked.append((scenario, seed))
        self.params.append(dict(params))
        return self._answers[scenario](seed)


PROVENANCE = Provenance(
    started="2026-11-24T12:00:00+00:00",
    command="penstock bench",
    gate_file="x.yaml",
    gate_sha256="0" * 64,
    seed=1,
)


def run(
    path: Path, driver: FakeDriver, *, with_baseline: bool = True, **changes: Any
) -> tuple[RunResult, list[RunResult]]:
    """Run a gate file; returns the result and what was saved on the way."""
    spec = load(str(path)).spec
    saved: list[RunResult] = []
    runner = Runner(
        spec=spec,
        driver=driver,
        judge=Judge(
            noise=spec.noise,
            ratios=max(1, spec.relative_gates),
            with_baseline=with_baseline,
        ),
        provenance=PROVENANCE,
        progress=Silent(),
        save=saved.append,
        **changes,
    )
    return runner.run(), saved

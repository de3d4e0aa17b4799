"""The real driver: the scenarios of ``benchmarks.scenarios`` against the servers of a gate file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.context import Context, penstock_command
from benchmarks.gates.driver import Progress
from benchmarks.gates.outcome import Contender
from benchmarks.gates.provenance import commit
from benchmarks.gates.spec import Baseline, GateFile, ServerSpec
from benchmarks.inputs.source import Inputs
from benchmarks.measurement import Measurement
from benchmarks.noise import Limits
from benchmarks.scenarios import catalogue
from benchmarks.subject import SERVE, Given, Launch, Subject, UnsupportedError

__all__ = ["Bench", "make_bench"]

DEFAULT_REPOSITORY = Path("models")


@dataclass(frozen=True, slots=True)
class Bench:
    """Scenarios by name, run in one context."""

    context: Context
    servers: tuple[Contender, ...]

    def contenders(self) -> tuple[Contender, ...]:
        return self.servers

    def summary(self, scenario: str) -> str:
        return " ".join(_found(scenario).about.partition("\n\n")[0].split())

    def parameters(self, scenario: str) -> Mapping[str, Any]:
        return _found(scenario).defaults

    def measure(self, scenario: str, params: Mapping[str, Any], seed: int) -> Measurement:
        _found(scenario)
        return catalogue.run(scenario, replace(self.context, seed=seed), params)


def _found(scenario: str) -> catalogue.Scenario:
    if scenario not in catalogue.SCENARIOS:
        raise UnsupportedError(
            f"there is no scenario {scenario} (there are {', '.join(catalogue.SCENARIOS)})"
        )
    return catalogue.SCENARIOS[scenario]


def make_bench(
    spec: GateFile, baseline: Contender | None, folder: Path, progress: Progress
) -> Bench:
    """Candidate and baseline of a gate file; ``baseline`` is ready to be started.

    Raises:
        FileNotFoundError: there is no ``penstock`` command, or no such repository.
        ValueError: an address is none.
    """
    subject, candidate = _candidate(spec.server)
    reference: Subject | None = None
    servers: tuple[Contender, ...] = (candidate,)
    if baseline is not None:
        assert spec.baseline is not None
        reference = _reference(spec.server, spec.baseline, baseline)
        servers = (candidate, _described(baseline, reference))
    context = Context(
        folder=folder,
        subject=subject,
        baseline=reference,
        model=spec.model or "",
        inputs=Inputs(recorded=spec.inputs.recorded, evaluation=spec.inputs.evaluation),
        seed=spec.defaults.seed,
        progress=progress.update,
        limits=Limits(
            foreign_share=spec.noise.foreign_max,
            psi_some=1.0 if spec.noise.psi_some_max is None else spec.noise.psi_some_max,
        ),
    )
    return Bench(context, servers)


def _described(contender: Contender, launch: Launch) -> Contender:
    """The contender with the command as it is run."""
    return Contender(
        name=f"baseline: {contender.name}",
        command=_shown(launch),
        commit=contender.commit,
        version=contender.version,
        note=contender.note,
    )


def _candidate(server: ServerSpec) -> tuple[Subject, Contender]:
    if server.url is not None:
        given = Given(server.url, server.grpc_url or "", server.admin_url or "", server.pid)
        return given, Contender(name="candidate", url=server.url)
    launch = _launch(server, server.repository or DEFAULT_REPOSITORY, server.flags)
    return launch, Contender(name="candidate", command=_shown(launch), commit=commit())


def _reference(server: ServerSpec, baseline: Baseline, contender: Contender) -> Launch:
    repository = baseline.repository or server.repository or DEFAULT_REPOSITORY
    flags = server.flags if baseline.flags is None else baseline.flags
    _require(repository)
    return Launch(repository=repository.resolve(), penstock=contender.command[0], flags=flags)


def _launch(server: ServerSpec, repository: Path, flags: tuple[str, ...]) -> Launch:
    _require(repository)
    if server.command is not None:
        if shutil.which(server.command[0]) is None and "{" not in server.command[0]:
            raise FileNotFoundError(f"server.command: there is no command {server.command[0]}")
        return Launch(repository=repository.resolve(), command=server.command, flags=flags)
    return Launch(
        repository=repository.resolve(), command=SERVE, penstock=penstock_command(), flags=flags
    )


def _require(repository: Path) -> None:
    if not repository.is_dir():
        raise FileNotFoundError(
            f"{repository} is no folder: name the model repository in the gate file"
            " (server.repository), or with --set server.repository=PATH"
        )


def _shown(launch: Launch) -> tuple[str, ...]:
    words = (*launch.command, *launch.flags)
    return tuple(
        word.replace("{penstock}", launch.penstock).replace("{repository}", str(launch.repository))
        for word in words
    )

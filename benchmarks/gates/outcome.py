"""A run as it is written to ``result.json``: what was asked, where, and every attempt."""

from __future__ import annotations

from typing import Any

import msgspec

from benchmarks.gates.findings import Finding
from benchmarks.gates.verdict import EXIT_CODES, INTERRUPTED, Verdict, combined
from benchmarks.measurement import Measurement

__all__ = ["Attempt", "Contender", "Provenance", "RunResult", "ScenarioOutcome", "encode"]

SCHEMA = 1


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one scenario. Those that were discarded are kept too."""

    number: int
    verdict: Verdict
    discarded: bool = False
    """Whether a later attempt took its place."""
    confirms: int = 0
    """The attempt whose missed ratio it measured again, so that both count; 0: it stands alone."""
    error: str = ""
    """Why there is no measurement, where there is none."""
    findings: tuple[Finding, ...] = ()
    measurement: Measurement | None = None


class ScenarioOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of the gate file, after all its attempts."""

    name: str
    scenario: str
    """Which one it is, of ``benchmarks.scenarios``."""
    summary: str = ""
    """What it measures, in a sentence."""
    params: dict[str, Any] = {}
    """All of them, built-in ones too."""
    chosen: tuple[str, ...] = ()
    """Names of those that the gate file set."""
    verdict: Verdict
    counts: bool = True
    """Whether its verdict decides: not where there are no gates, nor where the file says so."""
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    """Why nothing was tried, where nothing was."""

    @property
    def last(self) -> Attempt | None:
        """The attempt that counts."""
        return self.attempts[-1] if self.attempts else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.last.findings if self.last else ()

    @property
    def measurement(self) -> Measurement | None:
        return self.last.measurement if self.last else None


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """A server that was measured."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    commit: str = ""
    version: str = ""
    note: str = ""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """All that someone needs to repeat the run, and to know whether two can be compared."""

    started: str
    """UTC, ISO 8601."""
    command: str
    gate_file: str
    gate_sha256: str
    overrides: tuple[str, ...] = ()
    configuration: dict[str, Any] = {}
    """The gate file with its defaults and overrides."""
    seed: int
    commit: str = ""
    is_dirty: bool = False
    """Whether the working tree differed from the commit."""
    lock_sha256: str = ""
    """Of the names and versions of all installed packages."""
    machine: dict[str, Any] = {}
    contenders: tuple[Contender, ...] = ()
    preflight_busy: tuple[float, ...] = ()


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """A run, whole or as far as it came."""

    schema: int = SCHEMA
    name: str
    description: str = ""
    verdict: Verdict
    interrupted: bool = False
    duration_s: float = 0.0
    provenance: Provenance
    scenarios: tuple[ScenarioOutcome, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return INTERRUPTED if self.interrupted else EXIT_CODES[self.verdict]

    @staticmethod
    def verdict_of(scenarios: tuple[ScenarioOutcome, ...], *, complete: bool) -> Verdict:
        """The worst of those that count; an incomplete run is never green."""
        verdict = combined(one.verdict for one in scenarios if one.counts)
        return verdict if complete or verdict is not Verdict.PASS else Verdict.INVALID


def encode(result: RunResult) -> bytes:
    """Indented JSON; figures that are not numbers are null."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"

"""Run a gate file: scenario after scenario, every attempt kept.

An invalid attempt is tried again, and one that missed a ratio is measured once more
(``benchmarks.gates.confirmation``)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from benchmarks.attempt import Interrupted
from benchmarks.gates.confirmation import needs_second, settled
from benchmarks.gates.driver import Driver, Progress
from benchmarks.gates.judge import Judge
from benchmarks.gates.outcome import Attempt, Provenance, RunResult, ScenarioOutcome
from benchmarks.gates.plan import merged
from benchmarks.gates.spec import GateFile, Scenario
from benchmarks.gates.verdict import Verdict, combined
from benchmarks.measurement import Measurement
from benchmarks.scenarios.catalogue import ParamsError
from benchmarks.subject import UnsupportedError

__all__ = ["Runner"]

Save = Callable[[RunResult], None]


@dataclass(slots=True)
class Runner:
    """One run. ``save`` is given the result after each scenario, so that any end leaves one."""

    spec: GateFile
    driver: Driver
    judge: Judge
    provenance: Provenance
    progress: Progress
    save: Save
    notes: tuple[str, ...] = ()
    clock: Callable[[], float] = time.monotonic

    def run(self) -> RunResult:
        """All scenarios. SIGINT ends it with what was measured by then."""
        started_s = self.clock()
        until_s = started_s + self.spec.budget.max_minutes * 60
        done: list[ScenarioOutcome] = []
        attempts: list[Attempt] = []
        interrupted = False
        # All of the loop is inside, so that Ctrl-C between two scenarios loses nothing either.
        try:
            for number, scenario in enumerate(self.spec.scenarios, 1):
                attempts = []
                self.progress.scenario(scenario.name, number, len(self.spec.scenarios))
                done.append(self._scenario(scenario, attempts, until_s))
                self.save(self._result(done, self.clock() - started_s, interrupted))
        except KeyboardInterrupt as stop:
            interrupted = True
            if isinstance(stop, Interrupted):
                attempts.append(self._judged(scenario, stop.measurement, len(attempts) + 1))
            if attempts and (not done or done[-1].name != scenario.name):
                done.append(self._outcome(scenario, attempts))
        result = self._result(done, self.clock() - started_s, interrupted)
        self.save(result)
        return result

    def _result(self, done: list[ScenarioOutcome], took_s: float, interrupted: bool) -> RunResult:
        complete = len(done) == len(self.spec.scenarios) and not interrupted
        notes = self.notes
        if not complete:
            notes = (*notes, f"{len(done)} of {len(self.spec.scenarios)} scenarios ran")
        return RunResult(
            name=self.spec.name,
            description=self.spec.description,
            verdict=RunResult.verdict_of(tuple(done), complete=complete),
            interrupted=interrupted,
            duration_s=round(took_s, 1),
            provenance=msgspec.structs.replace(
                self.provenance, contenders=self.driver.contenders()
            ),
            scenarios=tuple(done),
            notes=notes,
        )

    def _scenario(
        self, scenario: Scenario, attempts: list[Attempt], until_s: float
    ) -> ScenarioOutcome:
        if self.clock() >= until_s:
            return self._not_tried(
                scenario,
                Verdict.INVALID,
                f"the budget of {self.spec.budget.max_minutes:g} minutes was used up",
            )
        not_again = ""
        try:
            params = self._params(scenario)
            took_s = self._until_valid(scenario, params, attempts, until_s)
            if needs_second(attempts[-1]):
                if self.clock() + took_s > until_s:
                    not_again = (
                        f"the budget of {self.spec.budget.max_minutes:g} minutes does not last"
                    )
                else:
                    self.progress.say(f"{scenario.name}: a ratio is missed: measured once more")
                    self._until_valid(scenario, params, attempts, until_s)
        except UnsupportedError as error:
            return self._not_tried(scenario, Verdict.UNSUPPORTED, str(error))
        except ValueError as error:
            return self._not_tried(scenario, Verdict.ERROR, str(error))
        return self._outcome(scenario, attempts, not_again)

    def _until_valid(
        self, scenario: Scenario, params: dict[str, Any], attempts: list[Attempt], until_s: float
    ) -> float:
        """Add attempts up to one that is not invalid, or the last that may be; seconds of it."""
        for retries_left in range(self.spec.noise.retries, -1, -1):
            start_s = self.clock()
            attempts.append(self._attempt(scenario, params, len(attempts) + 1))
            took_s = self.clock() - start_s
            if attempts[-1].verdict is not Verdict.INVALID:
                break
            self.progress.say(f"{scenario.name}: attempt {len(attempts)} is invalid")
            if not retries_left or self.clock() + took_s > until_s:
                break
        return took_s

    def _params(self, scenario: Scenario) -> dict[str, Any]:
        return merged(self.spec, scenario, self.driver.parameters(scenario.kind))

    def _attempt(self, scenario: Scenario, params: dict[str, Any], number: int) -> Attempt:
        """Whatever goes wrong in a scenario is that scenario's error, and the others still run."""
        seed = self.spec.defaults.seed + number - 1
        try:
            measured = self.driver.measure(scenario.kind, params, seed)
        except (UnsupportedError, ParamsError):
            raise
        except Exception as error:  # noqa: BLE001 - written down, and the run goes on
            text = f"{type(error).__name__}: {error}"
            self.progress.say(f"{scenario.name}: {text}")
            return Attempt(number=number, verdict=Verdict.ERROR, error=text)
        return self._judged(scenario, measured, number)

    def _judged(self, scenario: Scenario, measured: Measurement, number: int) -> Attempt:
        if measured.unsupported:
            raise UnsupportedError(measured.unsupported)
        findings = self.judge.findings(scenario.gates, measured)
        verdict = combined(finding.verdict for finding in findings)
        if not findings:
            undecided = Verdict.INCONCLUSIVE if measured.inconclusive else Verdict.PASS
            verdict = Verdict.INVALID if measured.invalid else undecided
        return Attempt(number=number, verdict=verdict, findings=findings, measurement=measured)

    def _outcome(
        self, scenario: Scenario, attempts: list[Attempt], not_again: str = ""
    ) -> ScenarioOutcome:
        all_of_them = settled(attempts, not_again=not_again)
        verdict = all_of_them[-1].verdict
        return ScenarioOutcome(
            name=scenario.name,
            scenario=scenario.kind,
            summary=self.driver.summary(scenario.kind),
            params=self._params(scenario),
            chosen=tuple(scenario.params),
            verdict=verdict,
            counts=bool(scenario.gates) or verdict is Verdict.ERROR,
            attempts=all_of_them,
        )

    def _not_tried(self, scenario: Scenario, verdict: Verdict, reason: str) -> ScenarioOutcome:
        self.progress.say(f"{scenario.name}: {verdict}: {reason}")
        skipped = verdict is Verdict.UNSUPPORTED and scenario.if_unsupported == "skip"
        return ScenarioOutcome(
            name=scenario.name,
            scenario=scenario.kind,
            params=scenario.params,
            verdict=verdict,
            counts=bool(scenario.gates) and not skipped,
            reason=reason,
        )

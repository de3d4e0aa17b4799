"""What a gate file would do, without doing it: the parameters, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from benchmarks.gates.spec import GateFile, Scenario
from benchmarks.scenarios import catalogue

__all__ = ["PREFLIGHT_S", "Plan", "PlannedScenario", "merged", "plan"]

PREFLIGHT_S = 2.0
"""Of a machine that is quiet; `noise.preflight_wait_s` more where it is not."""


class PlannedScenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario of the file."""

    name: str
    scenario: str
    params: dict[str, Any]
    """All of them, built-in ones too."""
    gates: tuple[str, ...]
    lasts_s: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The file as it would be run."""

    name: str
    scenarios: tuple[PlannedScenario, ...]
    lasts_s: float
    """About; attempts that are repeated for noise come on top, up to the budget."""
    budget_s: float


def plan(spec: GateFile) -> Plan:
    """What running the file would do.

    Raises:
        ValueError: there is no such scenario, or it has no such parameter.
    """
    planned = tuple(_planned(spec, scenario) for scenario in spec.scenarios)
    return Plan(
        name=spec.name,
        scenarios=planned,
        lasts_s=PREFLIGHT_S + sum(one.lasts_s for one in planned),
        budget_s=spec.budget.max_minutes * 60,
    )


def merged(spec: GateFile, scenario: Scenario, built_in: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario's own parameters, over the file's defaults where it has them, over the built-in.

    Raises:
        ValueError: the scenario has no such parameter.
    """
    unknown = sorted(scenario.params.keys() - built_in.keys())
    if unknown:
        raise ValueError(
            f"{scenario.kind} has no parameter {unknown[0]} (it has {', '.join(sorted(built_in))})"
        )
    defaults = spec.defaults.model_dump(exclude_none=True, exclude={"seed"})
    common = {name: value for name, value in defaults.items() if name in built_in}
    return {**built_in, **common, **scenario.params}


def _planned(spec: GateFile, scenario: Scenario) -> PlannedScenario:
    if scenario.kind not in catalogue.SCENARIOS:
        known = ", ".join(catalogue.SCENARIOS)
        raise ValueError(f"there is no scenario {scenario.kind} (there are {known})")
    params = merged(spec, scenario, catalogue.SCENARIOS[scenario.kind].defaults)
    return PlannedScenario(
        name=scenario.name,
        scenario=scenario.kind,
        params=params,
        gates=tuple(gate.text() for gate in scenario.gates),
        lasts_s=round(catalogue.planned_s(scenario.kind, params), 1),
    )

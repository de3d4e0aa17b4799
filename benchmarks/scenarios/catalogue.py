"""All scenarios by name, in the order in which they run; and how one of them is run by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import msgspec

from benchmarks.context import Context
from benchmarks.measurement import Measurement
from benchmarks.scenarios import (
    ab_cpu,
    batch_sweep,
    batch_transport,
    binary_and_rows,
    cache_hit,
    canary_switch,
    cold_start,
    heavy_batches,
    large_tensor,
    max_qps,
    metrics_cost,
    overload,
    ray_serve,
    remote_cost,
    replica_kill,
    rolling_update,
    rollout,
    saturation,
    sentences,
    server_fixed,
    single_stream,
    small_requests,
    soak,
    startup,
    step_burst,
)
from benchmarks.scenarios.params import describe
from benchmarks.subject import UnsupportedError

__all__ = ["SCENARIOS", "ParamsError", "Scenario", "planned_s", "run"]


class ParamsError(ValueError):
    """Parameters that the scenario does not have, or that do not fit."""


class Scenario(msgspec.Struct, frozen=True):
    """What a scenario module offers."""

    name: str
    about: str
    """What it measures; the first line is a summary."""
    params: type[msgspec.Struct]
    metrics: Mapping[str, str]
    """Name of each metric it yields, and what it means; ``{…}`` stands for a parameter's value."""
    measure: Callable[[Context, Any], Measurement]
    plan: Callable[[Any], float]
    """About how many seconds it takes with these parameters, once, on a quiet machine."""

    @property
    def defaults(self) -> dict[str, Any]:
        """Each parameter with its default."""
        return dict(msgspec.to_builtins(self.params()))

    @property
    def descriptions(self) -> dict[str, str]:
        """Each parameter with its description."""
        return describe(self.params)


def _scenario(module: ModuleType) -> Scenario:
    about = (module.__doc__ or "").strip()
    return Scenario(module.NAME, about, module.Params, module.METRICS, module.run, module.planned_s)


SCENARIOS: Mapping[str, Scenario] = {
    module.NAME: _scenario(module)
    for module in (
        # Of the user's own models
        cold_start,
        single_stream,
        server_fixed,
        saturation,
        max_qps,
        batch_sweep,
        step_burst,
        overload,
        ab_cpu,
        soak,
        canary_switch,
        replica_kill,
        rolling_update,
        rollout,
        # Of the server's own cost, on benchmark models
        startup,
        small_requests,
        heavy_batches,
        binary_and_rows,
        large_tensor,
        metrics_cost,
        # Of what it costs that models run in replicas
        remote_cost,
        batch_transport,
        ray_serve,
        cache_hit,
        # Of what optimising is worth
        sentences,
    )
}


def run(name: str, context: Context, params: Mapping[str, Any]) -> Measurement:
    """Run a scenario by its name; what a server cannot do is a measurement that says so.

    Raises:
        KeyError: there is no such scenario.
        ParamsError: it has no such parameter, or a value does not fit.
        Interrupted: Ctrl-C; carries what was measured.
    """
    scenario = SCENARIOS[name]
    converted = _converted(scenario, params)
    try:
        return scenario.measure(context, converted)
    except UnsupportedError as why:
        return Measurement(
            scenario=name,
            params=msgspec.to_builtins(converted),
            metrics={},
            unsupported=f"unsupported by this server: {why}",
        )


def planned_s(name: str, params: Mapping[str, Any]) -> float:
    """About how long a scenario takes, once, on a quiet machine.

    Raises:
        KeyError: there is no such scenario.
        ParamsError: it has no such parameter, or a value does not fit.
    """
    scenario = SCENARIOS[name]
    return scenario.plan(_converted(scenario, params))


def _converted(scenario: Scenario, params: Mapping[str, Any]) -> msgspec.Struct:
    try:
        return msgspec.convert(dict(params), scenario.params, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(scenario.defaults)
        raise ParamsError(f"{scenario.name}: {error} (parameters: {known})") from error

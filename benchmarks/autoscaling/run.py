"""One simulation from what the user named, and what a fixed number of replicas would cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from benchmarks.autoscaling.capacity import Capacity
from benchmarks.autoscaling.outcome import Figures, Machines, Slice, figures, fixed_replicas, slices
from benchmarks.autoscaling.simulate import Second, simulate
from benchmarks.autoscaling.trace import Trace
from benchmarks.cost.spec import Prices
from serve.config import ModelConfig

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """A model's settings on a trace. ``start_s``: from asking for a replica to its first answer."""

    model: str
    config: ModelConfig
    capacity: Capacity
    trace: Trace
    start_s: float
    machines: Machines
    prices: Prices

    @cached_property
    def scaled(self) -> Figures:
        """With the replicas that the settings ask for."""
        return figures(self._seconds, self.config, self.machines, self.prices)

    @cached_property
    def fixed(self) -> Figures:
        """With those that carry the peak, all along."""
        number = fixed_replicas(self.trace.peak_per_s, self.capacity, self.config)
        bounds = {"min_replicas": number, "max_replicas": number}
        autoscaling = self.config.autoscaling.model_copy(update=bounds)
        config = self.config.model_copy(update={"autoscaling": autoscaling})
        seconds = simulate(self.trace, config, self.capacity, self.start_s)
        return figures(seconds, config, self.machines, self.prices)

    @cached_property
    def slices(self) -> list[Slice]:
        """The course of it, with the replicas that the settings ask for."""
        return slices(self._seconds, self.capacity, self.machines)

    def as_json(self) -> dict[str, Any]:
        """Everything, for scripts."""
        return {
            "model": self.model,
            "trace": {
                "name": self.trace.name,
                "seconds": len(self.trace.rates),
                "peak_per_s": self.trace.peak_per_s,
            },
            "replica": {
                "per_s": self.capacity.per_s,
                "batch_rows": self.capacity.best_rows,
                "slots": self.capacity.slots,
                "origin": self.capacity.origin,
                "start_s": self.start_s,
            },
            "machines": {
                "instance": self.machines.instance.model_dump(mode="json"),
                "replicas": self.machines.replicas,
            },
            "autoscaling": self.config.autoscaling.model_dump(mode="json"),
            "slo": self.config.slo.model_dump(mode="json"),
            "scaled": msgspec.to_builtins(self.scaled),
            "fixed": msgspec.to_builtins(self.fixed),
            "timeline": msgspec.to_builtins(self.slices),
        }

    @cached_property
    def _seconds(self) -> list[Second]:
        return simulate(self.trace, self.config, self.capacity, self.start_s)

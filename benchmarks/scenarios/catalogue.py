"""All scenarios by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.context import Context
from benchmarks.result import Result
from benchmarks.scenarios import (
    binary_and_rows,
    heavy_batches,
    large_tensor,
    metrics_cost,
    overload,
    small_requests,
    startup,
)

__all__ = ["SCENARIOS"]

SCENARIOS: Mapping[str, Callable[[Context], Result]] = {
    module.NAME: module.run
    for module in (
        startup,
        small_requests,
        heavy_batches,
        overload,
        binary_and_rows,
        large_tensor,
        metrics_cost,
    )
}

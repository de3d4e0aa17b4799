"""A run as JSON: everything that was measured, for whoever wants to compute something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.result import Result

__all__ = ["render"]

SCHEMA = 1


def render(results: Sequence[Result], facts: Mapping[str, object], run: Mapping[str, Any]) -> bytes:
    """``run`` says how it was made: rounds, seconds a round, seed."""
    document = {
        "schema": SCHEMA,
        "machine": facts,
        "run": run,
        "scenarios": [
            {
                "name": result.scenario,
                "verdict": result.verdict,
                "invalid": result.invalid,
                "notes": result.notes,
                "checks": [
                    {
                        "figure": check.figure,
                        "op": check.op,
                        "limit": check.limit,
                        "passed": check.passed,
                    }
                    for check in result.checks
                ],
                "figures": result.figures,
                "details": result.details,
            }
            for result in results
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)

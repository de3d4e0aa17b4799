"""How long a scenario takes, from its parameters: what each module's ``planned_s`` adds up.

On a quiet machine like the reference (2 cores), with a server that is ready within a second;
attempts that noise has made invalid, and are repeated, come on top.
"""

from __future__ import annotations

__all__ = ["SERVER_S", "loads_s"]

SERVER_S = 1.0
"""A server's start and end."""
LOAD_S = 0.5
"""What a load takes beside its own time: starting generators, summing up."""


def loads_s(count: int, each_s: float) -> float:
    """So many loads one after the other."""
    return count * (each_s + LOAD_S)

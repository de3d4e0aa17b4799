"""The overview of a server as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from serve.commands.table import aligned
from serve.gateway.overview import Member, Overview, Row

__all__ = ["models_table"]

HEAD = ("MODEL", "VERSION", "STATE", "REPLICAS", "SLOTS", "REQUESTS", "P50 MS", "P99 MS", "WHERE")
NUMBERS = {4, 5, 6, 7}
"""Columns that are aligned on the right."""
NODE_CHARACTERS = 8
"""Of a node's name, which is as long as a hash."""


def models_table(overview: Overview, *, replicas: bool) -> str:
    """A line for each version, with why one is not served; and if wanted for each replica."""
    state = "ready" if overview.ready else "not ready"
    served = sum(row.state == "READY" for row in overview.models)
    text = [f"{overview.server}: {state}, serves {served} of {len(overview.models)} versions"]
    if not overview.models:
        return text[0]
    lines = aligned([HEAD, *(_cells(row) for row in overview.models)], NUMBERS)
    text += ["", lines[0]]
    for row, line in zip(overview.models, lines[1:], strict=True):
        text.append(line)
        if row.reason:
            text.append(f"    {row.reason}")
        members = row.replicas.members if row.replicas is not None else ()
        text += [f"    {_told(member)}" for member in members if replicas or member.problem]
    return "\n".join(text)


def _cells(row: Row) -> Sequence[str]:
    return (
        row.name,
        row.version or "-",
        row.state,
        _replicas(row),
        str(row.slots or "-"),
        str(row.requests),
        _ms(row.p50_ms),
        _ms(row.p99_ms),
        _where(row),
    )


def _replicas(row: Row) -> str:
    """Ready of those wanted, such as 1/2, or 1/0-4 where their number follows the load."""
    if (seen := row.replicas) is None:
        return "-"
    wanted = f"{seen.least}-{seen.most}" if seen.most > seen.least else f"{seen.least}"
    return f"{seen.ready}/{wanted}"


def _where(row: Row) -> str:
    if row.replicas is None:
        return "in the server" if row.slots else "-"
    nodes = Counter(_node(member) for member in row.replicas.members)
    return ", ".join(f"{node} x{number}" for node, number in sorted(nodes.items())) or "-"


def _node(member: Member) -> str:
    return member.node[:NODE_CHARACTERS] or "?"


def _told(member: Member) -> str:
    said = (
        f"{member.name}: {member.state}, {member.batches} batches in {member.slots} slots,"
        f" pid {member.pid} on node {_node(member)}"
    )
    return f"{said}: {member.problem}" if member.problem else said


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"

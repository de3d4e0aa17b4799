"""What a replica reserves of a node, and whether any node could ever have it. Imports no ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve.config.model import Resources

__all__ = ["actor_options", "unmet"]

MB = 10**6
ACCELERATOR = "accelerator_type:"
"""A node has a little of a resource of this name for the kind of accelerator in it."""

NodeResources = Mapping[str, float]


def actor_options(resources: Resources, default_cpus: float) -> dict[str, Any]:
    """Ray's options of a replica; ``default_cpus`` where the model does not say."""
    gpus = resources.gpus
    if gpus is None:
        gpus = 1.0 if resources.device.startswith("cuda") else 0.0
    cpus = default_cpus if resources.cpus is None else resources.cpus
    options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus}
    if resources.accelerator_type is not None:
        options["accelerator_type"] = resources.accelerator_type
    if resources.memory_mb is not None:
        options["memory"] = resources.memory_mb * MB
    if resources.custom:
        options["resources"] = dict(resources.custom)
    return options


def unmet(options: Mapping[str, Any], nodes: Sequence[NodeResources]) -> str:
    """Why no node could have a replica, though it were empty; "" if one could."""
    wanted = {
        "CPU": options["num_cpus"],
        "GPU": options["num_gpus"],
        "memory": options.get("memory", 0),
        **options.get("resources", {}),
    }
    if kind := options.get("accelerator_type"):
        wanted[f"{ACCELERATOR}{kind}"] = 0.001
    wanted = {name: amount for name, amount in wanted.items() if amount}
    if any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        return ""
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in wanted}
    lacking = [
        _said(name, amount, most[name]) for name, amount in wanted.items() if most[name] < amount
    ]
    if lacking:
        return f"no node has what a replica needs: {'; '.join(lacking)}"
    needs = ", ".join(_amount(name, amount) for name, amount in wanted.items())
    return f"no node has all that a replica needs at once: {needs}"


def _said(name: str, amount: float, most: float) -> str:
    if name.startswith(ACCELERATOR):
        return f"an accelerator of type {name.removeprefix(ACCELERATOR)}"
    return f"{_amount(name, amount)}, at most {_amount(name, most)} on one"


def _amount(name: str, amount: float) -> str:
    return f"{amount / MB:.0f} MB of memory" if name == "memory" else f"{amount:g} {name}"

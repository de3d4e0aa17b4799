"""Split thresholds of trees that were trained in FP64, in a graph that calculates in FP32.

The LightGBM converter rounds a threshold to the nearest FP32, which may be the value just above
it; a row with that value then goes the wrong way, silently. Rounded down, ``x <= threshold`` means
in FP32 what it means in FP64, for every FP32 ``x``.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["lightgbm_thresholds", "round_thresholds_down"]

LESS_OR_EQUAL = b"BRANCH_LEQ"


def lightgbm_thresholds(booster: Any) -> list[float]:
    """Every numeric split threshold of a LightGBM booster, ascending, each once."""
    found: set[float] = set()
    pending = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while pending:
        node = pending.pop()
        if "left_child" in node:
            pending += [node["left_child"], node["right_child"]]
            if node["decision_type"] == "<=":
                found.add(float(node["threshold"]))
    return sorted(found)


def round_thresholds_down(model: Any, exact: Sequence[float]) -> int:
    """Round the thresholds of all tree ensembles of a graph that stem from ``exact``, ascending.

    Returns how many were rounded up before.
    """
    changed = 0
    for node in model.graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_values" not in attributes:
            continue
        values, modes = attributes["nodes_values"].floats, attributes["nodes_modes"].strings
        for index, mode in enumerate(modes):
            if mode != LESS_OR_EQUAL:
                continue
            below = _below(values[index], exact)
            if below != values[index]:
                values[index] = below
                changed += 1
    return changed


def _below(value: float, exact: Sequence[float]) -> float:
    """The largest FP32 not above the FP64 threshold that ``value`` was rounded from."""
    place = bisect.bisect_left(exact, value)
    for candidate in exact[max(0, place - 1) : place + 1]:
        nearest = np.float32(candidate)
        if float(nearest) == value and value > candidate:
            return float(np.nextafter(nearest, np.float32(-np.inf)))
    return value

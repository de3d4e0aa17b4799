"""Which values an input may have by its settings: is a default or a range possible at all?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from serve.config import InputConfig
from serve.tensors import DATATYPES

__all__ = ["LARGEST", "default_problem", "range_problem"]

LARGEST: Mapping[str, float] = {
    "FP16": float(np.finfo(np.float16).max),
    "FP32": float(np.finfo(np.float32).max),
    "FP64": float(np.finfo(np.float64).max),
    "BF16": (2 - 2**-7) * 2.0**127,
}
"""The largest finite value of each floating-point datatype."""


def default_problem(datatype: str, setting: InputConfig) -> str:
    """What is wrong with ``default`` for this datatype; empty if nothing is."""
    value = setting.default
    if value is None:
        return ""
    if datatype == "BYTES":
        return "" if isinstance(value, str) else f"is {value!r}, which is not a string"
    if isinstance(value, str):
        return f"is the string {value[:40]!r}, but the input is {datatype}"
    if datatype == "BOOL":
        return "" if isinstance(value, bool) else f"is {value!r}, which is not true or false"
    if not _holds(datatype, value):
        return f"is {value!r}, which a {datatype} cannot hold"
    if setting.range is not None and not math.isnan(value):
        low, high = setting.range
        if (low is not None and value < low) or (high is not None and value > high):
            return f"is {value!r}, outside the range {list(setting.range)}"
    return ""


def range_problem(datatype: str, setting: InputConfig) -> str:
    """What is wrong with ``range`` for this datatype; empty if nothing is."""
    if setting.range is not None and datatype in ("BYTES", "BOOL"):
        return f"is set, but a {datatype} input has no order"
    return ""


def _holds(datatype: str, value: float) -> bool:
    dtype = DATATYPES[datatype].dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return float(value).is_integer() and limits.min <= value <= limits.max
    if math.isnan(value) or math.isinf(value):
        return True
    return abs(value) <= LARGEST[datatype]

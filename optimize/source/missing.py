"""What stands in for a missing string, as the fitted encoders know it.

A scikit-learn encoder that was fitted on a column with NaN has NaN among its categories, and the
ONNX converter writes that category as the *string* "nan". A client's null must then reach the
graph as "nan": as "" it would be an unknown category, and wrong on every such row without an
error. An encoder fitted on "" (or an imputer told that "" is missing) wants "".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["missing_string"]


def missing_string(model: Any, column: str) -> tuple[str, Any]:
    """What a null of a string column is in the graph, and what it is in the original's table.

    Where no encoder of the column has seen a gap, a null is one more unknown category.
    """
    for part, index in _parts(model, column):
        if hasattr(part, "categories_"):
            categories = list(part.categories_[index])
            if any(isinstance(item, float) and np.isnan(item) for item in categories):
                return "nan", np.nan
            if any(item is None for item in categories):
                return "None", None
        elif hasattr(part, "statistics_"):  # a SimpleImputer
            gap = part.missing_values
            if isinstance(gap, str):
                return gap, gap
    return "", ""


def _parts(model: Any, column: str) -> Iterator[tuple[Any, int]]:
    """The fitted transformers that a column goes through, each with the column's position."""
    for step in _steps(model):
        if hasattr(step, "transformers_"):
            for _, transformer, columns in step.transformers_:
                names = [columns] if isinstance(columns, str) else list(columns)
                if column in names:
                    for part in _steps(transformer):
                        yield part, names.index(column)
        elif hasattr(step, "feature_names_in_") and column in list(step.feature_names_in_):
            yield step, list(step.feature_names_in_).index(column)


def _steps(model: Any) -> list[Any]:
    if isinstance(model, str):  # "drop" and "passthrough"
        return []
    return [step for _, step in model.steps] if hasattr(model, "steps") else [model]

"""Reference statistics: how inputs and predictions were distributed when the version was judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optimize.rows import Input
from serve.tensors import Array

__all__ = ["reference_statistics"]

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BINS = 20
TOP_WORDS = 50
MAX_COLUMNS = 512


def reference_statistics(
    inputs: Sequence[Input], rows: Mapping[str, Array], answers: Mapping[str, Array]
) -> dict[str, Any]:
    """By tensor: of numbers quantiles, moments and a histogram of each column; of words counts."""
    missing = {spec.name: spec.missing for spec in inputs}
    return {
        "rows": len(next(iter(rows.values()))),
        "inputs": {name: _of(array, missing.get(name)) for name, array in rows.items()},
        "outputs": {name: _of(array, None) for name, array in answers.items()},
    }


def _of(array: Array, missing: Any) -> dict[str, Any]:
    flat = array.reshape(len(array), -1)
    if array.dtype == object:
        gap = missing.encode() if isinstance(missing, str) else None
        words = [item if isinstance(item, bytes) else str(item).encode() for item in flat[:, 0]]
        counts = Counter(words)
        top = counts.most_common(TOP_WORDS)
        return {
            "kind": "words",
            "missing_rate": counts.get(gap, 0) / len(words) if gap is not None else 0.0,
            "counts": {word.decode("utf-8", "replace"): count for word, count in top},
            "others": len(words) - sum(count for _, count in top),
        }
    columns = [
        _column(flat[:, index].astype(np.float64))
        for index in range(min(flat.shape[1], MAX_COLUMNS))
    ]
    return {"kind": "numbers", "columns": columns}


def _column(values: Array) -> dict[str, Any]:
    finite = values[np.isfinite(values)]
    described: dict[str, Any] = {"missing_rate": float(np.isnan(values).mean())}
    if len(finite) == 0:
        return described
    counts, edges = np.histogram(finite, BINS)
    return {
        **described,
        "mean": float(finite.mean()),
        "std": float(finite.std()),
        "quantiles": dict(
            zip(map(str, QUANTILES), np.quantile(finite, QUANTILES).tolist(), strict=True)
        ),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }

"""Rows as the server decodes them: one array an input, and what stands in where they were null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.tensors import DATATYPES, Array

__all__ = ["Input", "Mask", "Rows", "decode", "joined"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Input:
    """One input of the served signature. ``shape`` begins with -1, the rows.

    ``missing`` is what the server puts where a client sends null: a value, or None where null is
    refused. ``gap`` is what the original's own table has in that place.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    missing: float | str | None = None
    gap: Any = None

    def as_json(self) -> dict[str, Any]:
        """For ``signature.json`` and the manifest; NaN is a string there."""
        missing = self.missing
        if isinstance(missing, float) and not np.isfinite(missing):
            missing = str(missing)
        return {
            "name": self.name,
            "datatype": self.datatype,
            "shape": list(self.shape),
            "missing": missing,
        }


@dataclass(frozen=True)
class Rows:
    """What clients sent: arrays by input name (BYTES: object arrays of ``bytes``), masks of null.

    As in ``serve.tensors.Tensor``, an element that is null holds zero or an empty string.
    """

    arrays: Mapping[str, Array]
    missing: Mapping[str, Mask] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def take(self, index: Any) -> Rows:
        """Some of the rows, or some of them several times."""
        return Rows(
            {name: array[index] for name, array in self.arrays.items()},
            {name: mask[index] for name, mask in self.missing.items()},
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, which have the same inputs."""
    names = list(parts[0].arrays)
    masks = {name for part in parts for name in part.missing}
    return Rows(
        {name: np.concatenate([part.arrays[name] for part in parts]) for name in names},
        {
            name: np.concatenate(
                [
                    part.missing.get(name, np.zeros(part.arrays[name].shape, np.bool_))
                    for part in parts
                ]
            )
            for name in masks
        },
    )


def decode(rows: Rows, inputs: Sequence[Input]) -> dict[str, Array]:
    """The arrays that a backend is given, as the server fills them: null becomes ``missing``."""
    filled: dict[str, Array] = {}
    for spec in inputs:
        array = rows.arrays[spec.name]
        mask = rows.missing.get(spec.name)
        if mask is not None and mask.any() and spec.missing is not None:
            array = array.copy()
            text = isinstance(spec.missing, str)
            array[mask] = spec.missing.encode() if text else spec.missing  # type: ignore[union-attr]
        filled[spec.name] = np.ascontiguousarray(array, DATATYPES[spec.datatype].dtype)
    return filled

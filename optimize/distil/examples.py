"""Rows as students take them: prepared ones, or the arguments of the teacher's own network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from serve.tensors import Array

__all__ = ["Arguments", "Matrix"]


class Matrix:
    """Prepared rows [rows, width]."""

    lengths: Tensor | None = None

    def __init__(self, rows: Array) -> None:
        self._rows = torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """See ``Examples``."""
        return (self._rows[index],)


class Arguments:
    """Arrays by argument of a network; where rows differ in length they are padded with zeros.

    A batch is as long as the longest of its rows, whatever the others are padded to.
    """

    def __init__(self, arrays: Mapping[str, Array], variable: Mapping[str, Sequence[int]]) -> None:
        self._tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in arrays.values()]
        self._places = [tuple(variable.get(name, ())) for name in arrays]
        lengths = [
            _lengths(tensor, place)
            for tensor, places in zip(self._tensors, self._places, strict=True)
            for place in places
        ]
        self.lengths = torch.stack(lengths).amax(0) if lengths else None

    def __len__(self) -> int:
        return len(self._tensors[0])

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """See ``Examples``."""
        found = [tensor[index] for tensor in self._tensors]
        if self.lengths is None:
            return tuple(found)
        longest = int(self.lengths[index].max())
        for at, places in enumerate(self._places):
            for place in places:
                found[at] = found[at].narrow(place, 0, min(longest, found[at].shape[place]))
        return tuple(found)


def _lengths(tensor: Tensor, place: int) -> Tensor:
    """For each row the place after its last number that is not zero, and 1 at least."""
    used = (tensor != 0).movedim(place, 1).flatten(2).any(2) if tensor.ndim > 2 else tensor != 0
    after = torch.arange(1, used.shape[1] + 1)
    return (used * after).amax(1).clamp_min(1)

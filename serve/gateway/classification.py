"""The classification extension: the K largest elements of each row, as text."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from serve.errors import InvalidRequest
from serve.tensors import Array, datatype_of

__all__ = ["classify"]


def classify(array: Array, k: int, labels: Sequence[str], batched: bool) -> Array:
    """The ``k`` largest elements of an output, as BYTES ``value:index`` or ``value:index:label``.

    The result has shape [rows, K] if ``batched``, else [K], where K is ``k`` or the number of
    classes if that is less. Inner dimensions count as one. The largest comes first, the lower
    index first among equals, NaN last. Values are the shortest text that gives back the same
    number. An index beyond ``labels``, or with an empty label, has none.

    Raises:
        InvalidRequest: the output is not numeric.
    """
    if datatype_of(array) in ("BOOL", "BYTES"):
        raise InvalidRequest(
            f"classification needs a numeric output, this one is {datatype_of(array)}: "
            "ask for it without the classification parameter"
        )
    rows = array.shape[0] if batched else 1
    classes = prod(array.shape[1:]) if batched else array.size
    scores = array.reshape(rows, classes)
    top = np.empty((rows, min(k, classes)), dtype=np.intp)
    for row, keys in enumerate(_descending(scores)):
        top[row] = _smallest(keys, k)
    values = np.take_along_axis(scores, top, axis=1)
    entries = [
        _entry(value, index, labels)
        for value, index in zip(values.flat, top.ravel().tolist(), strict=True)
    ]
    result = np.array(entries, dtype=object).reshape(top.shape)
    return result if batched else result[0]


def _descending(scores: Array) -> npt.NDArray[np.generic]:
    """Keys whose ascending order is the scores' descending one, with NaN at the end."""
    if scores.dtype.kind in "iu":
        return ~scores  # unlike the negative, never overflows
    if scores.dtype.itemsize < 4:  # FP16 and BF16, exact in FP32
        return -scores.astype(np.float32)
    return -scores


def _smallest(keys: Array, k: int) -> npt.NDArray[np.intp]:
    """Indices of the ``k`` smallest, in order; what cannot be among them is not sorted."""
    if k < keys.size:
        candidates = np.flatnonzero(keys <= np.partition(keys, k - 1)[k - 1])
        if candidates.size >= k:  # fewer only if the k-th is NaN
            return candidates[np.argsort(keys[candidates], kind="stable")[:k]]
    return np.argsort(keys, kind="stable")[:k]


def _entry(value: object, index: int, labels: Sequence[str]) -> bytes:
    if index < len(labels) and labels[index]:
        return f"{value!s}:{index}:{labels[index]}".encode()
    return f"{value!s}:{index}".encode()

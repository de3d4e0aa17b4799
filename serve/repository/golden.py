"""Golden samples: a few real rows and their answers, in one file without pickle.

A ``.npz`` of plain arrays: ``inputs.<name>`` and ``outputs.<name>``. Strings, for which numpy has
only pickle, are their bytes end to end (``<key>.bytes``), the length of each (``<key>.lengths``,
of the tensor's shape).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from serve.errors import RepositoryError
from serve.tensors import Array

__all__ = ["difference", "read_golden", "write_golden"]

REMEDY = "build the version again with `penstock optimize`"


def write_golden(path: Path, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    """Write samples; arrays of one number of rows, strings as ``bytes`` or ``str``."""
    arrays: dict[str, Array] = {}
    for side, tensors in (("inputs", inputs), ("outputs", outputs)):
        for name, array in tensors.items():
            arrays.update(_packed(f"{side}.{name}", array))
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_golden(path: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs and outputs by name; strings are object arrays of ``bytes``.

    Raises:
        RepositoryError: the file cannot be read, or is not one of samples.
    """
    sides: dict[str, dict[str, Array]] = {"inputs": {}, "outputs": {}}
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                side, _, name = key.partition(".")
                if name.endswith(".lengths"):
                    name = name.removesuffix(".lengths")
                    text = file[f"{side}.{name}.bytes"].tobytes()
                    sides[side][name] = _unpacked(text, file[key])
                elif not name.endswith(".bytes"):
                    sides[side][name] = file[key]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RepositoryError(
            path=str(path), problem=f"holds no samples: {error}", remedy=REMEDY
        ) from error
    return sides["inputs"], sides["outputs"]


def difference(actual: Array, expected: Array, atol: float, rtol: float) -> str:
    """How an answer is not the one that was verified; empty if it is, within the tolerance."""
    if actual.shape != expected.shape:
        return f"has shape {list(actual.shape)} in place of {list(expected.shape)}"
    if expected.dtype.kind in "iub" or expected.dtype == object:
        if expected.dtype == object:
            actual = np.array([_as_bytes(item) for item in actual.ravel()], object)
            expected = expected.ravel()
        wrong = int((actual != expected).sum())
        return f"{wrong} of {expected.size} values differ" if wrong else ""
    got, wanted = actual.astype(np.float64), expected.astype(np.float64)
    if not np.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=True):
        with np.errstate(invalid="ignore"):
            worst = float(np.nanmax(np.abs(got - wanted)))
        return f"differs by up to {worst:.3g} (atol {atol:g}, rtol {rtol:g})"
    return ""


def _as_bytes(item: bytes | str) -> bytes:
    return item.encode() if isinstance(item, str) else item


def _packed(key: str, array: Array) -> dict[str, Array]:
    if array.dtype.kind not in "OUS":
        return {key: array}
    items = [_as_bytes(item) for item in array.ravel().tolist()]
    lengths = np.array([len(item) for item in items], np.int64).reshape(array.shape)
    return {
        f"{key}.bytes": np.frombuffer(b"".join(items), np.uint8),
        f"{key}.lengths": lengths,
    }


def _unpacked(text: bytes, lengths: Array) -> Array:
    items = np.empty(lengths.size, object)
    end = 0
    for index, length in enumerate(lengths.ravel().tolist()):
        items[index] = text[end : end + length]
        end += length
    return items.reshape(lengths.shape)

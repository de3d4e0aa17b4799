"""Between numpy's arrays and torch's tensors, sharing memory on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from serve.tensors import DATATYPES, Array

__all__ = ["TORCH_DTYPES", "to_numpy", "to_tensor"]

TORCH_DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "UINT8": torch.uint8,
    "UINT16": torch.uint16,
    "UINT32": torch.uint32,
    "UINT64": torch.uint64,
    "INT8": torch.int8,
    "INT16": torch.int16,
    "INT32": torch.int32,
    "INT64": torch.int64,
    "FP16": torch.float16,
    "FP32": torch.float32,
    "FP64": torch.float64,
    "BF16": torch.bfloat16,
}
"""The protocol's datatype to torch's; strings have none."""


def to_tensor(array: Array, datatype: str) -> torch.Tensor:
    """A CPU tensor over the memory of ``array``, or over a contiguous copy of it."""
    array = np.ascontiguousarray(array).reshape(array.shape)  # which keeps scalars scalar
    if datatype == "BF16":  # numpy's own protocol has no such type
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: torch.Tensor, datatype: str) -> Array:
    """A contiguous array over the memory of a CPU tensor, or of a copy from a device.

    Raises:
        ValueError: the tensor has another dtype than ``datatype``.
    """
    if tensor.dtype != TORCH_DTYPES[datatype]:
        raise ValueError(f"has dtype {tensor.dtype}, but the signature says {datatype}")
    tensor = tensor.detach().to("cpu").contiguous()
    if datatype == "BF16":
        return tensor.view(torch.int16).numpy().view(DATATYPES["BF16"].dtype)
    return tensor.numpy()


def _say_once() -> Any:
    """Have torch's warning of a read-only array over, which it gives once in a process.

    Batches are views of network buffers, and no compiled program that is served writes to its
    inputs (the step that compiles refuses those).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(np.frombuffer(b"\0", np.uint8))


_say_once()

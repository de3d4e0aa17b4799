"""Made-up batches that a version runs before its first real one."""

from __future__ import annotations

import math

import numpy as np

from serve.backends.input_values import LARGEST
from serve.config import InputConfig, ModelConfig
from serve.tensors import DATATYPES, Batch, Signature, TensorSpec

__all__ = ["warmup_batch"]

SENTENCE = b"A sentence of a length that callers may well send, so that it costs what theirs do."
"""For a model of texts: what an empty one takes would say nothing."""


def warmup_batch(signature: Signature, config: ModelConfig, rows: int) -> Batch:
    """A batch of ``rows`` equal rows (one, if the model is not batched) of plausible values.

    A value is the input's default, else the middle of its range, else zero, false or the empty
    string; a text is a sentence. A variable dimension within a row is 1: what is really sent is
    not known here.
    """
    rows = rows if signature.batched else 1
    arrays = []
    for spec in signature.inputs:
        shape = [1 if dimension == -1 else dimension for dimension in spec.shape]
        if signature.batched:
            shape[0] = rows
        value = _value(spec, config.inputs.get(spec.name, InputConfig()))
        if config.tokenizer is not None and spec.name == config.tokenizer.input:
            value = SENTENCE
        arrays.append(np.full(shape, value, DATATYPES[spec.datatype].dtype))
    return Batch(tuple(arrays), rows)


def _value(spec: TensorSpec, setting: InputConfig) -> float | bytes:
    default = setting.default
    if isinstance(default, str):
        return default.encode()
    if spec.datatype == "BYTES":
        return b""
    if default is not None and not math.isnan(default):
        return default
    return _within_range(spec.datatype, setting)


def _within_range(datatype: str, setting: InputConfig) -> float:
    low, high = (
        end if end is not None and math.isfinite(end) else None
        for end in setting.range or (None, None)
    )
    middle = (low + high) / 2 if low is not None and high is not None else low or high or 0
    dtype = DATATYPES[datatype].dtype
    if dtype.kind in "iu":
        whole = math.floor(middle)
        whole += low is not None and whole < low
        return min(max(whole, int(np.iinfo(dtype).min)), int(np.iinfo(dtype).max))
    if dtype.kind == "b":
        return 0
    return min(max(middle, -LARGEST[datatype]), LARGEST[datatype])

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from serve.backends.warmup import warmup_batch
from serve.config import ModelConfig
from serve.tensors import DATATYPES, Array, Signature, TensorSpec


def only_input(datatype: str, shape: tuple[int, ...], rows: int = 2, **setting: Any) -> Array:
    signature = Signature((TensorSpec("x", datatype, shape),), (), batched=shape[:1] == (-1,))
    config = ModelConfig.model_validate({"inputs": {"x": setting}})
    return warmup_batch(signature, config, rows).inputs[0]


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
def test_warmup_batch_makes_every_datatype(datatype: str) -> None:
    array = only_input(datatype, (-1, 3))
    assert array.dtype == DATATYPES[datatype].dtype
    assert array.shape == (2, 3)


def test_warmup_batch_has_one_row_when_the_model_is_not_batched() -> None:
    spec = TensorSpec("x", "FP32", (-1, 3))
    batch = warmup_batch(Signature((spec,), (), batched=False), ModelConfig(), 8)
    assert batch.rows == 1
    assert batch.inputs[0].shape == (1, 3)


def test_warmup_batch_makes_a_variable_dimension_one() -> None:
    assert only_input("FP32", (-1, 3, -1)).shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("datatype", "setting", "value"),
    [
        ("FP32", {}, 0.0),
        ("FP32", {"range": [0, 5]}, 2.5),
        ("FP32", {"range": [3, None]}, 3.0),
        ("FP32", {"range": [None, -3]}, -3.0),
        ("FP32", {"range": [0, math.inf]}, 0.0),
        ("FP32", {"range": [1, 2], "default": 1.25}, 1.25),
        ("FP32", {"range": [1, 2], "default": math.nan}, 1.5),
        ("FP16", {"range": [1e30, 1e31]}, 65504.0),
        ("INT32", {"range": [2, 3]}, 2),
        ("INT32", {"range": [2.5, None]}, 3),
        ("INT32", {"range": [None, -2.5]}, -3),
        ("INT8", {"range": [1000, 2000]}, 127),
        ("UINT8", {"default": 7}, 7),
        ("BOOL", {"default": True}, True),
        ("BYTES", {}, b""),
        ("BYTES", {"default": "é"}, "é".encode()),
    ],
)
def test_warmup_batch_prefers_the_default_then_the_middle_of_the_range(
    datatype: str, setting: dict[str, Any], value: object
) -> None:
    assert np.all(only_input(datatype, (-1,), **setting) == value)


def test_warmup_batch_sends_a_model_of_texts_a_sentence() -> None:
    signature = Signature((TensorSpec("text", "BYTES", (-1, 1)),), (), batched=True)
    config = ModelConfig.model_validate({"tokenizer": {}, "inputs": {"text": {"default": ""}}})
    (text,) = set(warmup_batch(signature, config, 3).inputs[0].ravel())
    assert len(text.split()) > 10

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve.backends.pt2_file import Pt2Signature
from serve.backends.pt2_inputs import InputCheck, signature_of_specs
from serve.errors import BackendError
from serve.tensors import TensorSpec

PROGRAM = Pt2Signature.model_validate(
    {
        "inputs": [
            {"name": "ids", "datatype": "INT64", "shape": ["batch", "length"]},
            {"name": "mask", "datatype": "FP32", "shape": ["batch", "length"]},
            {"name": "x", "datatype": "FP32", "shape": ["batch", 4]},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": ["batch"]}],
        "ranges": {"batch": [1, 64], "length": [1, 8]},
    }
)


def batch(rows: int = 2, length: int = 3, **changed: Any) -> list[Any]:
    arrays = {
        "ids": np.zeros((rows, length), np.int64),
        "mask": np.zeros((rows, length), np.float32),
        "x": np.zeros((rows, 4), np.float32),
    }
    return list({**arrays, **changed}.values())


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (64, 8), (2, 3)])
def test_check_lets_through_what_the_program_takes(rows: int, length: int) -> None:
    InputCheck(PROGRAM)(batch(rows, length))


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        (batch(x=np.zeros((2, 3), np.float32)), r"'x' has shape \[2, 3\]"),
        (batch(x=np.zeros((2, 4))), "'x' is float64"),
        (batch(x=np.zeros(4, np.float32)), r"'x' is float32 of shape \[4\]"),
        (batch(mask=np.zeros((2, 4), np.float32)), "'mask' has shape.*length is 3"),
        (batch(ids=np.zeros((1, 3), np.int64)), "'mask' has shape.*batch is 1"),
        (batch(length=9), "'length' is 9, but the program takes 1 to 8"),
        (batch(rows=65), "'batch' is 65, but the program takes 1 to 64"),
        (batch(rows=0), "'batch' is 0"),
    ],
)
def test_check_refuses_what_would_be_read_past_its_end(arrays: list[Any], problem: str) -> None:
    with pytest.raises(BackendError, match=problem):
        InputCheck(PROGRAM)(arrays)


def test_declared_specs_share_the_batch_and_nothing_else() -> None:
    specs = (TensorSpec("a", "INT64", (-1, -1)), TensorSpec("b", "FP32", (-1, -1, 2)))
    made = signature_of_specs(specs, (TensorSpec("y", "FP32", (-1,)),))
    assert [tensor.shape for tensor in made.inputs] == [("batch", "a_1"), ("batch", "b_1", 2)]

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from serve.backends.output_cast import cast_output
from serve.errors import BackendError
from serve.tensors import DATATYPES, TensorSpec


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("FP32", [0.1, 0.2]),
        ("FP32", np.array([1, 2])),
        ("FP32", [True, False]),
        ("FP16", np.array([1.5], np.float64)),
        ("BF16", np.array([1.5], np.float64)),
        ("FP32", np.array([1.5], ml_dtypes.bfloat16)),
        ("FP32", [float("nan"), float("inf")]),
        ("INT32", [1, -2]),
        ("UINT8", [0, 255]),
        ("INT8", []),
        ("INT64", [True]),
        ("BOOL", [True]),
    ],
)
def test_cast_output_converts_what_is_meant(datatype: str, value: Any) -> None:
    array = cast_output(TensorSpec("y", datatype, (-1,)), value)
    assert array.dtype == DATATYPES[datatype].dtype
    assert np.allclose(array.astype(np.float64), np.asarray(value, np.float64), equal_nan=True)


def test_cast_output_gives_back_what_needs_no_conversion() -> None:
    value = np.zeros(2, np.float32)
    assert cast_output(TensorSpec("y", "FP32", (-1,)), value) is value


@pytest.mark.parametrize(
    ("datatype", "value", "says"),
    [
        ("INT64", [0.5], "dtype float64"),
        ("BOOL", [1], "dtype int64"),
        ("FP32", ["a"], "dtype <U1"),
        ("FP32", [1j], "dtype complex128"),
        ("FP32", None, "dtype object"),
        ("FP32", [[1], [1, 2]], "not an array"),
        ("INT8", [128], "outside the range"),
        ("UINT64", [-1], "outside the range"),
        ("FP32", [1e300], "too large"),
        ("FP16", [1e6], "too large"),
        ("BYTES", [1], "has a int in it"),
        ("BYTES", [None], "has a NoneType in it"),
        ("BYTES", np.zeros(2), "dtype float64"),
    ],
)
def test_cast_output_names_the_output_that_would_lose_something(
    datatype: str, value: Any, says: str
) -> None:
    with pytest.raises(BackendError, match=f"output 'y' .*{says}"):
        cast_output(TensorSpec("y", datatype, (-1,)), value)


@pytest.mark.parametrize(
    "value", [["a\0", b"b"], np.array(["a\0", b"b"], object), np.array(["a", "b"])]
)
def test_cast_output_takes_strings_of_any_kind(value: Any) -> None:
    array = cast_output(TensorSpec("y", "BYTES", (-1,)), value)
    assert array.dtype == object
    assert array.tolist() == list(value)

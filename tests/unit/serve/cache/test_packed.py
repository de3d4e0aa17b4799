"""Answers as bytes, and bytes that are no answers."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.cache.packed import pack, unpack
from serve.tensors import DATATYPES, TensorSpec

Y = TensorSpec("y", "FP32", (-1, 2))
TEXT = TensorSpec("text", "BYTES", (-1, -1))


def array(datatype: str) -> Any:
    if datatype == "BYTES":
        return np.array([[b"a", b""], [b"\xff\0", "ä"]], object)
    if datatype == "BF16":
        return np.array([[1, 2], [3, 4]], ml_dtypes.bfloat16)
    return np.array([[0, 1], [1, 0]], DATATYPES[datatype].dtype)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_answer_comes_back_as_it_was(datatype: str) -> None:
    spec = TensorSpec("y", datatype, (-1, 2))
    got = unpack(pack([array(datatype)], [spec], 5, 7), [spec], 2)
    assert (got.made_ms, got.took_ns) == (5, 7)
    wanted = array(datatype)
    if datatype == "BYTES":
        wanted[1, 1] = "ä".encode()
    np.testing.assert_array_equal(got.outputs[0], wanted)
    assert got.outputs[0].dtype == DATATYPES[datatype].dtype


def test_answer_of_a_model_without_batches_has_its_own_shape() -> None:
    spec = TensorSpec("y", "FP64", ())
    assert unpack(pack([np.array(3.0)], [spec], 0, 0), [spec], None).outputs[0].item() == 3


@pytest.mark.parametrize(
    ("outputs", "specs", "rows"),
    [
        ([np.zeros((2, 2), np.float32)], [Y], 3),
        ([np.zeros((2, 2), np.float32)], [TensorSpec("y", "FP64", (-1, 2))], 2),
        ([np.zeros((2, 2), np.float32)], [TensorSpec("y", "FP32", (-1, 3))], 2),
        ([np.zeros((2, 2), np.float32)], [Y, Y], 2),
        ([np.zeros((2, 2), np.float32)], [TEXT], 2),
    ],
    ids=["rows", "datatype", "shape", "outputs", "bytes"],
)
def test_answer_of_another_version_is_refused(outputs: Any, specs: Any, rows: int) -> None:
    with pytest.raises(ValueError, match=r"another|output"):
        unpack(pack(outputs, [Y], 0, 0), specs, rows)


@pytest.mark.parametrize(
    "tensor",
    [
        ["FP32", [2, 2], b"\0" * 15],
        ["FP32", [2, 2], [b""] * 4],
        ["FP32", [-1, 2], b"\0" * 16],
        ["FP32", [2, 2, 1], b"\0" * 16],
        ["FP32", [2, 2**64 - 1], b"\0" * 16],
    ],
)
def test_tensor_that_is_not_whole_is_refused(tensor: Any) -> None:
    with pytest.raises(ValueError):
        unpack(msgspec.msgpack.encode([1, 0, 0, [tensor]]), [TensorSpec("y", "FP32", (-1, -1))], 2)


def test_bytes_tensor_with_other_contents_is_refused() -> None:
    for data in (b"ab", [b"a"]):
        with pytest.raises(ValueError):
            unpack(msgspec.msgpack.encode([1, 0, 0, [["BYTES", [2, 1], data]]]), [TEXT], 2)


def test_answer_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="another version"):
        unpack(msgspec.msgpack.encode([2, 0, 0, []]), [], 1)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an answer|another version|output"):
        unpack(data, [Y], 1)


@given(st.data())
def test_damaged_answer_is_refused_or_still_fits(data: st.DataObject) -> None:
    good = bytearray(pack([np.ones((1, 2), np.float32)], [Y], 1, 1))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = unpack(bytes(good), [Y], 1)
    except ValueError:
        return
    assert got.outputs[0].shape == (1, 2) and got.took_ns >= 0

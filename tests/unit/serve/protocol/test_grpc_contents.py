"""Typed contents: one field for each family of datatypes, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from serve.errors import InvalidRequest
from serve.protocol.grpc_contents import array_from_contents
from serve.tensors import DATATYPES

Contents = service_pb2.InferTensorContents

EXTREMES: list[tuple[str, str, list[Any]]] = [
    ("BOOL", "bool_contents", [True, False]),
    ("INT8", "int_contents", [-128, 127]),
    ("INT16", "int_contents", [-(2**15), 2**15 - 1]),
    ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
    ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
    ("UINT8", "uint_contents", [0, 255]),
    ("UINT16", "uint_contents", [0, 2**16 - 1]),
    ("UINT32", "uint_contents", [0, 2**32 - 1]),
    ("UINT64", "uint64_contents", [0, 2**64 - 1]),
    ("FP32", "fp32_contents", [-0.0, float("inf")]),
    ("FP64", "fp64_contents", [1e-300, -1e300]),
    ("BYTES", "bytes_contents", [b"", b"\x00\xff"]),
]


@pytest.mark.parametrize(("datatype", "field", "values"), EXTREMES)
def test_contents_keep_the_extremes_of_the_datatype(
    datatype: str, field: str, values: list[Any]
) -> None:
    array = array_from_contents("x", datatype, (2, 1), Contents(**{field: values}))
    assert array.shape == (2, 1)
    assert array.dtype == DATATYPES[datatype].dtype
    assert array.reshape(-1).tolist() == values


@pytest.mark.parametrize(("datatype", "field", "values"), EXTREMES)
def test_contents_may_be_empty_when_the_shape_is(
    datatype: str, field: str, values: list[Any]
) -> None:
    for contents in (Contents(), None):
        assert array_from_contents("x", datatype, (0, 3), contents).shape == (0, 3)


@pytest.mark.parametrize(("datatype", "field", "values"), EXTREMES)
def test_contents_of_another_datatype_are_refused(
    datatype: str, field: str, values: list[Any]
) -> None:
    other, stray = ("fp32_contents", 1.0) if datatype != "FP32" else ("fp64_contents", 1.0)
    with pytest.raises(InvalidRequest, match=rf"'x': {datatype} belongs in contents.{field}"):
        array_from_contents("x", datatype, (1,), Contents(**{other: [stray]}))


def test_contents_of_two_fields_are_refused() -> None:
    contents = Contents(fp32_contents=[1.0], int_contents=[1])
    with pytest.raises(InvalidRequest, match=r"fp32_contents, not in int_contents"):
        array_from_contents("x", "FP32", (1,), contents)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_contents_of_half_floats_are_refused_with_the_remedy(datatype: str) -> None:
    with pytest.raises(InvalidRequest, match=r"no typed contents.*raw_input_contents"):
        array_from_contents("x", datatype, (1,), Contents(fp32_contents=[1.0]))


@pytest.mark.parametrize(
    ("datatype", "field", "value"),
    [
        ("INT8", "int_contents", 128),
        ("INT8", "int_contents", -129),
        ("INT16", "int_contents", 2**15),
        ("UINT8", "uint_contents", 256),
        ("UINT16", "uint_contents", 2**16),
    ],
)
def test_element_that_does_not_fit_is_refused(datatype: str, field: str, value: int) -> None:
    with pytest.raises(InvalidRequest, match=f"does not fit in {datatype}"):
        array_from_contents("x", datatype, (2,), Contents(**{field: [0, value]}))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_elements_is_refused(count: int) -> None:
    with pytest.raises(InvalidRequest, match=rf"shape \[2\] needs 2 elements.*has {count}"):
        array_from_contents("x", "FP32", (2,), Contents(fp32_contents=[0.0] * count))


def test_absent_contents_are_refused_when_elements_are_due() -> None:
    with pytest.raises(InvalidRequest, match="needs 1 elements"):
        array_from_contents("x", "FP32", (1,), None)


def test_unknown_datatype_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="unknown datatype 'FP31'"):
        array_from_contents("x", "FP31", (1,), Contents())


@pytest.mark.parametrize("shape", [(-1,), (2**62, 8)])
def test_impossible_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match="'x': shape"):
        array_from_contents("x", "FP32", shape, Contents())


def test_unknown_fields_do_not_displace_the_elements() -> None:
    contents = Contents.FromString(Contents(fp64_contents=[1.5]).SerializeToString() + b"\x7a\x01z")
    assert array_from_contents("x", "FP64", (1,), contents).tolist() == [1.5]


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=300))
def test_floats_are_those_of_the_field(values: list[float]) -> None:
    array = array_from_contents("x", "FP32", (len(values),), Contents(fp32_contents=values))
    assert array.tobytes() == np.array(values, np.float32).tobytes()

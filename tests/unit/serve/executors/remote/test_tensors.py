from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import InternalError
from serve.executors.remote.tensors import Layout, pack_tensors, parse_layout, unpack_tensors
from serve.executors.remote.wire import FrameError
from serve.tensors import DATATYPES, Array


def sent(arrays: list[Array]) -> tuple[bytes, int, bytes]:
    packed = pack_tensors(arrays)
    payload = b"".join(bytes(memoryview(buffer)) for buffer in packed.buffers)
    assert len(payload) == packed.size
    return packed.meta, packed.tensors, payload


def round_trip(arrays: list[Array]) -> list[Array]:
    meta, count, payload = sent(arrays)
    return unpack_tensors(parse_layout(meta, count), payload)


def an_array(name: str) -> Array:
    if name == "BYTES":
        return np.array([[b"", b"a\x00b"], [b"\xff" * 40, b"x"]], dtype=object)
    return np.arange(6).reshape(2, 3).astype(DATATYPES[name].dtype)


@pytest.mark.parametrize("name", DATATYPES)
def test_every_datatype_comes_back(name: str) -> None:
    (array,) = round_trip([an_array(name)])
    assert array.dtype == DATATYPES[name].dtype
    assert array.tolist() == an_array(name).tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 0, 2), np.float32),
        np.float64(3.5) * np.ones(()),
        np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2],
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.zeros((2, 2), ml_dtypes.bfloat16)[:, :1],
        np.array([[], []], dtype=object),
        np.array(["é", "b"]),
    ],
    ids=["empty", "scalar", "strided", "transposed", "bf16 strided", "no elements", "text"],
)
def test_odd_arrays_come_back(array: Array) -> None:
    (got,) = round_trip([array])
    wanted = [text.encode() for text in array.tolist()] if array.dtype.kind == "U" else array
    assert got.shape == array.shape
    assert got.tolist() == (wanted if isinstance(wanted, list) else wanted.tolist())


def test_several_tensors_are_aligned_views_of_the_payload() -> None:
    meta, count, payload = sent([an_array("INT8"), an_array("FP64"), an_array("BYTES")])
    first, second, third = unpack_tensors(parse_layout(meta, count), payload)
    assert np.shares_memory(second, np.frombuffer(payload, np.uint8))
    assert second.flags.aligned
    assert (first.tolist(), second.tolist()) == (
        an_array("INT8").tolist(),
        an_array("FP64").tolist(),
    )
    assert third.tolist() == an_array("BYTES").tolist()


def test_contiguous_numbers_are_not_copied_to_be_sent() -> None:
    array = an_array("FP32")
    assert pack_tensors([array]).buffers[0] is array


def test_other_objects_are_refused() -> None:
    with pytest.raises(InternalError, match="type int"):
        pack_tensors([np.array([1, 2], dtype=object)])


def descriptor(code: int, shape: tuple[int, ...], nbytes: int) -> bytes:
    head = bytes((code, len(shape), 0, 0, 0, 0, 0, 0)) + nbytes.to_bytes(8, "little")
    data = head + b"".join(dim.to_bytes(8, "little") for dim in shape)
    return data.ljust(-(-len(data) // 16) * 16, b"\0")


FP32 = list(DATATYPES).index("FP32")
FP64 = list(DATATYPES).index("FP64")
BYTES = list(DATATYPES).index("BYTES")


@pytest.mark.parametrize(
    ("meta", "count", "complaint"),
    [
        (descriptor(200, (1,), 4), 1, "datatype number 200"),
        (descriptor(FP32, (1,) * 33, 4), 1, "rank 33"),
        (descriptor(FP32, (2,), 4), 1, "2 × 4 bytes has 4"),
        (descriptor(FP32, (2**40, 2**40, 0), 0), 1, "more elements"),
        (descriptor(FP32, (2**63,), 2**63), 1, "more elements"),
        (descriptor(FP64, (2**60, 0), 0), 1, "more elements"),
        (descriptor(BYTES, (2**30,), 8), 1, "1073741824 BYTES elements in 8 bytes"),
        (descriptor(FP32, (1,), 4), 2, "end too early"),
        (descriptor(FP32, (1,), 4) * 2, 1, "after the descriptors"),
        (b"", 1, "end too early"),
    ],
)
def test_layout_is_refused_when_it_cannot_be(meta: bytes, count: int, complaint: str) -> None:
    with pytest.raises(FrameError, match=complaint):
        parse_layout(meta, count)


def test_bytes_elements_are_refused_when_they_overrun() -> None:
    layout = parse_layout(descriptor(BYTES, (1,), 8), 1)
    with pytest.raises(FrameError, match="overruns"):
        unpack_tensors(layout, b"\x09\x00\x00\x00abcd" + bytes(8))


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("exponent", range(56, 64))
def test_any_shape_without_elements_is_an_array_or_refused(datatype: str, exponent: int) -> None:
    meta = descriptor(list(DATATYPES).index(datatype), (2**exponent, 0), 0)
    try:
        layout = parse_layout(meta, 1)
    except FrameError:
        return
    assert unpack_tensors(layout, b"")[0].shape == (2**exponent, 0)


@given(st.binary(max_size=96), st.integers(0, 4), st.binary(max_size=64))
def test_any_bytes_are_tensors_inside_the_payload_or_refused(
    meta: bytes, count: int, payload: bytes
) -> None:
    try:
        layout: Layout = parse_layout(meta, count)
        if layout.size > len(payload):
            return
        arrays: list[Any] = unpack_tensors(layout, payload)
    except FrameError:
        return
    assert sum(array.nbytes for array in arrays if array.dtype != object) <= len(payload)


@given(st.lists(st.tuples(st.integers(0, 13), st.lists(st.integers(0, 3), max_size=3)), max_size=4))
def test_all_shapes_come_back(kinds: list[tuple[int, list[int]]]) -> None:
    arrays: list[Array] = []
    for code, shape in kinds:
        array: Array = np.zeros(shape, DATATYPES[list(DATATYPES)[code]].dtype)
        if array.dtype == object:
            array.fill(b"z")
        arrays.append(array)
    got = round_trip(arrays)
    assert [a.shape for a in got] == [a.shape for a in arrays]
    assert [a.dtype for a in got] == [a.dtype for a in arrays]

import numpy as np
import pytest
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from serve.errors import InternalError, InvalidRequest
from serve.protocol.binary_data import array_from_bytes, bytes_from_array
from serve.tensors import DATATYPES

FIXED = sorted(name for name in DATATYPES if name != "BYTES")


def view(data: bytes) -> memoryview:
    return memoryview(data)


@pytest.mark.parametrize("datatype", FIXED)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (3,), (2, 3)])
def test_fixed_size_array_survives_the_round_trip(datatype, shape):
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(DATATYPES[datatype].dtype)
    data = bytes_from_array(array, datatype)
    back = array_from_bytes("x", datatype, shape, view(data))
    assert bytes(data) == array.tobytes()
    assert back.dtype == array.dtype and back.shape == shape
    assert np.array_equal(back, array)


def test_array_is_a_read_only_view_of_the_buffer():
    buffer = bytearray(8)
    array = array_from_bytes("x", "FP32", (2,), view(buffer))
    buffer[:4] = np.float32(1.5).tobytes()
    assert array[0] == 1.5
    assert not array.flags.writeable


def test_bytes_are_a_view_of_a_contiguous_array_and_a_copy_of_another():
    array = np.zeros((4, 4), np.float32)
    assert np.shares_memory(np.asarray(bytes_from_array(array, "FP32")), array)
    turned = np.arange(6, dtype=np.int16).reshape(2, 3).T
    assert bytes(bytes_from_array(turned, "INT16")) == turned.tobytes()


def test_bytes_are_little_endian_when_the_array_is_not():
    assert bytes(bytes_from_array(np.array([1], ">i4"), "INT32")) == b"\1\0\0\0"


def test_bytes_tensor_has_the_framing_of_tritonclient():
    array = np.array([[b"", b"ab"], [b"\xff\0", b"c" * 300]], dtype=object)
    data = bytes_from_array(array, "BYTES")
    assert bytes(data) == serialize_byte_tensor(array).item()
    assert deserialize_bytes_tensor(data).tolist() == array.ravel().tolist()
    back = array_from_bytes("x", "BYTES", (2, 2), view(data))
    assert back.dtype == object and np.array_equal(back, array)


@pytest.mark.parametrize(
    "array",
    [
        np.array(["é", "b"]),
        np.array(["é".encode(), b"b"]),
        np.array(["é", b"b"], dtype=object),
        np.array([bytearray("é".encode()), np.str_("b")], dtype=object),
    ],
)
def test_bytes_tensor_takes_every_kind_of_string(array):
    assert bytes_from_array(array, "BYTES") == b"\2\0\0\0\xc3\xa9\1\0\0\0b"


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP32", (1, 3), bytes(8), "'x': shape [1,3] of FP32 needs 12 bytes, got 8"),
        ("FP32", (1,), bytes(5), "needs 4 bytes, got 5"),
        ("INT64", (2**40,), b"", "needs 8796093022208 bytes, got 0"),
        ("INT64", (-1,), b"", "negative dimension"),
        ("BOOL", (2,), b"\1\2", "'x': a BOOL byte is neither 0 nor 1"),
        ("FP33", (1,), bytes(4), "unknown datatype 'FP33', use one of BF16, BOOL"),
        ("BYTES", (2**40,), b"", "1099511627776 BYTES elements need at least 4398046511104 bytes"),
        ("BYTES", (1,), b"\5\0\0\0abc", "BYTES element 0 overruns the data by 2 bytes"),
        ("BYTES", (1,), b"\xff\xff\xff\xff", "BYTES element 0 overruns the data by 4294967295"),
        ("BYTES", (2,), b"\1\0\0\0a\0\0\0", "2 BYTES elements are due, the data ends after 1"),
        ("BYTES", (1,), b"\1\0\0\0ab", "1 bytes are left over after 1 BYTES elements"),
        ("BYTES", (0,), b"a", "1 bytes are left over after 0 BYTES elements"),
    ],
)
def test_array_from_bytes_refuses(datatype, shape, data, message):
    with pytest.raises(InvalidRequest) as error:
        array_from_bytes("x", datatype, shape, view(data))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.zeros(1, np.float64), "FP32"),
        (np.zeros(1, np.int64), "BOOL"),
        (np.array([None], dtype=object), "BYTES"),
        (np.array([1.5], dtype=object), "BYTES"),
    ],
)
def test_bytes_from_array_refuses_what_a_backend_must_not_return(array, datatype):
    with pytest.raises(InternalError):
        bytes_from_array(array, datatype)

import numpy as np
import pytest

from serve.errors import InvalidRequest
from serve.protocol.json_data import array_from_json
from serve.tensors import DATATYPES

VALUES = {
    "BOOL": [True, False, True, True, False, False],
    "UINT8": [0, 1, 2, 253, 254, 255],
    "UINT16": [0, 1, 2, 3, 4, 2**16 - 1],
    "UINT32": [0, 1, 2, 3, 4, 2**32 - 1],
    "UINT64": [0, 1, 2, 3, 2**53 + 1, 2**64 - 1],
    "INT8": [-128, -1, 0, 1, 2, 127],
    "INT16": [-(2**15), -1, 0, 1, 2, 2**15 - 1],
    "INT32": [-(2**31), -1, 0, 1, 2, 2**31 - 1],
    "INT64": [-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1],
    "FP32": [0.1, -0.0, 1e-45, 3.4028235e38, 1.0, -2.5],
    "FP64": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1.0, -2.5],
    "BYTES": ["", "a", "é", "\0", "日本", "longer"],
}


def expected(datatype: str) -> np.ndarray:
    values = VALUES[datatype]
    if datatype == "BYTES":
        values = [value.encode() for value in values]
    return np.array(values, DATATYPES[datatype].dtype).reshape(2, 3)


@pytest.mark.parametrize("datatype", VALUES)
def test_data_is_the_same_flat_and_nested(datatype):
    values = VALUES[datatype]
    for data in (values, [values[:3], values[3:]]):
        array, missing = array_from_json("x", datatype, (2, 3), data)
        assert missing is None
        assert array.dtype == DATATYPES[datatype].dtype
        assert array.tolist() == expected(datatype).tolist()


@pytest.mark.parametrize("datatype", VALUES)
def test_null_sets_the_mask_and_leaves_an_empty_element(datatype):
    values = [*VALUES[datatype][:4], None, VALUES[datatype][5]]
    for data in (values, [values[:3], values[3:]]):
        array, missing = array_from_json("x", datatype, (2, 3), data)
        assert missing.tolist() == [[False, False, False], [False, True, False]]
        wanted = expected(datatype)
        wanted[1, 1] = b"" if datatype == "BYTES" else 0
        assert array.tolist() == wanted.tolist()


@pytest.mark.parametrize("datatype", VALUES)
def test_all_elements_may_be_null(datatype):
    array, missing = array_from_json("x", datatype, (2,), [None, None])
    assert missing.all()
    assert not array.any()


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((0,), []),
        ((2, 0), []),
        ((2, 0), [[], []]),
        ((0, 3), []),
        ((2, 0, 3), [[], []]),
        ((), [1.0]),
        ((3, 1), [[1.0], [2.0], [3.0]]),
        ((1, 1, 2), [[[1.0, 2.0]]]),
        ((1, 3), [1.0, 2.0, 3.0]),
    ],
)
def test_shapes_at_the_edge_are_taken(shape, data):
    array, _ = array_from_json("x", "FP32", shape, data)
    assert array.shape == shape


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        ((1, 3), [1.0] * 4, "'x': shape [1,3] needs 3 elements, data has 4"),
        ((1, 3), [], "shape [1,3] needs 3 elements, data has 0"),
        ((2, 2), [[1.0, 2.0], [3.0]], "needs 2 entries in each list at depth 2 of data, one has 1"),
        ((2, 2), [[1.0, 2.0], 3.0], "data is ragged, nest it by the shape [2,2] or send it flat"),
        ((2, 1), [1.0, [2.0]], "data is ragged"),
        ((2,), [[1.0, 2.0]], "needs 2 entries in each list at depth 1 of data, one has 1"),
        ((2,), [[1.0], [2.0]], "data is ragged, nest it by the shape [2]"),
        ((3, 1), [[1.0, 2.0, 3.0]], "needs 3 entries in each list at depth 1 of data, one has 1"),
        ((2, 2), [[1.0, 2.0, 3.0, 4.0]], "depth 1 of data, one has 1"),
        ((), [[1.0]], "data is ragged"),
        ((0,), [1.0], "shape [0] needs 0 elements, data has 1"),
        ((0,), [[]], "needs 0 entries in each list at depth 1 of data, one has 1"),
        ((1, 1), [[None, [1.0]]], "one has 2"),
        ((-1,), [1.0], "negative dimension"),
    ],
)
def test_data_that_is_not_of_the_shape_is_refused(shape, data, message):
    with pytest.raises(InvalidRequest) as error:
        array_from_json("x", "FP32", shape, data)
    assert message in str(error.value)


@pytest.mark.parametrize("datatype", VALUES)
def test_lists_among_elements_are_refused_for_every_datatype(datatype):
    value = VALUES[datatype][1]
    for data in ([value, [value]], [[value], value], [None, [value]]):
        with pytest.raises(InvalidRequest, match="ragged"):
            array_from_json("x", datatype, (2, 1), data)


@pytest.mark.parametrize(
    ("datatype", "value", "message"),
    [
        ("UINT8", 256, "data element 1 is 256, out of range for UINT8"),
        ("UINT8", -1, "data element 1 is -1, out of range for UINT8"),
        ("INT8", 128, "out of range for INT8"),
        ("UINT16", 2**16, "out of range for UINT16"),
        ("INT16", 2**15, "out of range for INT16"),
        ("UINT32", 2**32, "out of range for UINT32"),
        ("INT32", 2**31, "out of range for INT32"),
        ("UINT64", 2**64, "an integer beyond 64 bits, out of range for UINT64"),
        ("INT64", 2**63, "data element 1 is 9223372036854775808, out of range for INT64"),
        ("INT64", 1.0, "data element 1 is 1.0, INT64 takes integers only"),
        ("FP32", 1e39, "data element 1 is 1e+39, out of range for FP32"),
        ("FP32", -1e39, "out of range for FP32"),
    ],
)
def test_elements_that_do_not_fit_are_named(datatype, value, message):
    for filler in (0, None):
        with pytest.raises(InvalidRequest) as error:
            array_from_json("x", datatype, (2,), [filler, value])
        assert message in str(error.value)

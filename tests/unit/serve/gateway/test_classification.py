import ml_dtypes
import numpy as np
import pytest

from serve.errors import InvalidRequest
from serve.gateway.classification import classify

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)


def texts(array: np.ndarray) -> list:
    assert array.dtype == object
    return np.char.decode(array.astype(bytes)).tolist() if array.size else array.tolist()


def test_classify_gives_the_largest_of_each_row_when_batched():
    result = classify(SCORES, 2, [], batched=True)
    assert texts(result) == [["0.7:1", "0.2:2"], ["0.5:0", "0.25:1"]]


def test_classify_flattens_all_dimensions_when_not_batched():
    assert texts(classify(SCORES, 2, [], batched=False)) == ["0.7:1", "0.5:3"]


def test_classify_counts_inner_dimensions_as_one_when_batched():
    assert texts(classify(SCORES.reshape(1, 2, 3), 1, [], batched=True)) == [["0.7:1"]]


def test_classify_adds_labels_where_there_are_any():
    result = classify(SCORES[0], 3, ["cat", "hündin"], batched=False)
    assert [entry.decode() for entry in result] == ["0.7:1:hündin", "0.2:2", "0.1:0:cat"]
    assert texts(classify(SCORES[0], 1, ["cat", ""], batched=False)) == ["0.7:1"]


def test_classify_gives_all_classes_when_k_is_larger():
    assert classify(SCORES, 100, [], batched=True).shape == (2, 3)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_classify_takes_empty_outputs(shape):
    assert classify(np.zeros(shape, np.float32), 2, [], batched=True).shape == (
        shape[0],
        min(2, shape[1]),
    )


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([1, 3, 3, 2], np.float32), ["3.0:1", "3.0:2", "2.0:3", "1.0:0"]),
        (np.array([np.nan, 1, np.nan, -np.inf]), ["1.0:1", "-inf:3", "nan:0", "nan:2"]),
        (np.array([-128, 127, 0, -128], np.int8), ["127:1", "0:2", "-128:0", "-128:3"]),
        (np.array([0, 2**64 - 1, 1], np.uint64), ["18446744073709551615:1", "1:2", "0:0"]),
        (np.array([-(2**63), 2**63 - 1], np.int64), [f"{2**63 - 1}:1", f"{-(2**63)}:0"]),
        (np.array([0.5, -1, 2, np.nan], np.float16), ["2.0:2", "0.5:0", "-1.0:1", "nan:3"]),
        (np.array([0.5, -1, 2], ml_dtypes.bfloat16), ["2:2", "0.5:0", "-1:1"]),
        (np.array([1e-7, 0.1], np.float32), ["0.1:1", "1e-07:0"]),
    ],
)
def test_classify_orders_by_the_datatype(array, expected):
    assert texts(classify(array, 10, [], batched=False)) == expected


@pytest.mark.parametrize("k", range(1, 8))
def test_classify_gives_the_first_of_the_whole_order_when_k_is_small(k):
    array = np.array([2, np.nan, 5, 2, 5, -np.inf, np.nan], np.float32)
    order = [2, 4, 0, 3, 5, 1, 6]
    result = texts(classify(array, k, [], batched=False))
    assert [int(entry.split(":")[1]) for entry in result] == order[:k]


@pytest.mark.parametrize(
    "array", [np.array([True]), np.array([b"a"], dtype=object), np.array(["a"])]
)
def test_classify_refuses_what_is_not_numeric(array):
    with pytest.raises(InvalidRequest, match="classification needs a numeric output"):
        classify(array, 1, [], batched=False)

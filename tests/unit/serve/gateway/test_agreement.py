"""Answers compared, and signatures."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from serve.gateway.agreement import Agreement, compare, misfit
from serve.tensors import Signature, TensorSpec
from tests.support.endpoints import SIGNATURE, SPEC, Bench

INF, NAN = np.inf, np.nan


def column(values: Any, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.array(values, dtype).reshape(len(values), -1)


@pytest.mark.parametrize(
    ("expected", "got", "disagreed", "distances"),
    [
        ([1, 2, 3], [1, 2, 3], 0, [0]),
        ([1, 2, 1000], [1.0005, 2.5, 1000.5], 1, [0.0005, 0.5, 0.5]),  # relative from 1 on
        ([0.0001], [0.001], 0, [0.0009]),
        ([NAN, INF, -INF, NAN], [NAN, INF, -INF, 1], 1, [0]),
        ([INF, INF, 0], [-INF, 5, NAN], 3, [0]),
    ],
)
def test_floats_agree_within_the_tolerance(
    expected: list[float], got: list[float], disagreed: int, distances: list[float]
) -> None:
    rows = [1] * len(expected)
    found = compare([column(expected)], [column(got)], rows, 1e-3)
    assert (found.compared, found.disagreed) == (len(expected), disagreed)
    assert found.distance_sum == pytest.approx(sum(distances), rel=1e-3)
    assert found.distance_max == pytest.approx(max(distances), rel=1e-3)


def test_whole_numbers_have_to_be_equal() -> None:
    large = 2**60
    one, other = column([1, large, 7], np.int64), column([1, large + 1, 7], np.int64)
    found = compare([one], [other], [1, 1, 1], 0.5)
    assert (found.disagreed, found.distance_max) == (1, 0.0)  # too near for a float to tell
    labels = compare([column([1, 9], np.uint8)], [column([3, 9], np.int32)], [1, 1], 0.5)
    assert labels == Agreement(2, 1, 2.0, 2.0)
    truths = compare([column([True, False], bool)], [column([True, True], bool)], [1, 1], 0.5)
    assert truths == Agreement(2, 1, 1.0, 1.0)


def test_text_has_to_be_equal_in_whatever_form() -> None:
    one = column([b"ann", "bö", b"c"], object)
    other = np.array([["ann"], ["bö"], ["d"]])
    assert compare([one], [other], [1, 1, 1], 1) == Agreement(3, 1, 0.0, 0.0)


def test_precisions_may_differ() -> None:
    one = column([0.1, 5.0], np.float32)
    assert compare([one], [one.astype(ml_dtypes.bfloat16)], [1, 1], 0.01).disagreed == 0
    assert compare([one], [one.astype(np.float16)], [1, 1], 1e-9).disagreed == 1


def test_request_disagrees_once_however_many_of_its_rows_and_outputs_do() -> None:
    expected = [column([0, 0, 0, 0, 0]), np.zeros((5, 2, 2), np.int64)]
    got = [column([0, 1, 2, 0, 0]), np.zeros((5, 2, 2), np.int64)]
    got[1][1, 1, 0] = 9
    got[1][4] = 1
    assert compare(expected, got, [1, 3, 1], 0.1) == Agreement(3, 2, 10.0, 9.0)


def test_shapes_have_to_be_equal() -> None:
    assert compare([np.zeros((2, 3))], [np.zeros((2, 4))], [1, 1], 1).disagreed == 2
    assert compare([np.zeros((2, 0))], [np.zeros((2, 0))], [1, 1], 1).disagreed == 0
    assert compare([np.zeros(3)], [np.ones(3)], [1], 0.1) == Agreement(1, 1, 1.0, 1.0)
    assert compare([np.array(2.0)], [np.array(2.0)], [1], 0.1).disagreed == 0


def spec(name: str, datatype: str = "FP32", shape: tuple[int, ...] = (-1, 1)) -> TensorSpec:
    return TensorSpec(name, datatype, shape)


def signature(*inputs: TensorSpec, output: TensorSpec | None = None) -> Signature:
    return Signature(inputs, (output or spec("y"),), batched=True)


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (SIGNATURE, ""),
        (signature(spec("x", shape=(-1, -1))), ""),
        (signature(SPEC, output=spec("y", "FP16")), ""),
        (signature(SPEC, output=spec("y", shape=(-1, -1))), ""),
        (signature(), "it has no input 'x', as version 3 has"),
        (signature(SPEC, spec("z")), "input 'z' is not one of version 3"),
        (signature(spec("x", "FP64")), "input 'x' is FP64 [-1,1], of version 3 FP32 [-1,1]"),
        (signature(spec("x", shape=(-1, 2))), "input 'x' is FP32 [-1,2], of version 3 FP32"),
        (signature(SPEC, output=spec("p")), "it has no output 'y', as version 3 has"),
        (signature(SPEC, output=spec("y", "BYTES")), "output 'y' is BYTES [-1,1], of version 3"),
        (signature(SPEC, output=spec("y", shape=(-1,))), "output 'y' is FP32 [-1], of version 3"),
        (Signature((SPEC,), (spec("y"),), batched=False), "version 3 has a batch dimension"),
    ],
)
async def test_signatures_fit_or_it_is_said_why(theirs: Signature, says: str) -> None:
    found = misfit(Bench("3").live, Bench("4", signature=theirs).live)
    assert found.startswith(says)
    assert bool(found) == bool(says)

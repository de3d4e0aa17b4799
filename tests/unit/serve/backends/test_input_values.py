from __future__ import annotations

import math

import pytest

from serve.backends.input_values import LARGEST, default_problem, range_problem
from serve.config import InputConfig
from serve.tensors import DATATYPES


@pytest.mark.parametrize(
    ("datatype", "default"),
    [
        ("FP32", 1.5),
        ("FP32", math.nan),
        ("FP16", -65504.0),
        ("BF16", 3e38),
        ("INT8", -128),
        ("INT64", 3.0),
        ("UINT64", 2**64 - 1),
        ("BOOL", True),
        ("BYTES", ""),
    ],
)
def test_default_problem_is_empty_when_the_datatype_holds_it(
    datatype: str, default: bool | float | str
) -> None:
    assert default_problem(datatype, InputConfig(default=default)) == ""


@pytest.mark.parametrize(
    ("datatype", "default"),
    [
        ("FP32", "1"),
        ("FP16", 70000.0),
        ("INT8", 128),
        ("UINT8", -1),
        ("INT64", 0.5),
        ("INT64", math.nan),
        ("INT64", math.inf),
        ("BOOL", 1),
        ("BYTES", 0),
    ],
)
def test_default_problem_names_what_does_not_fit(
    datatype: str, default: bool | float | str
) -> None:
    assert default_problem(datatype, InputConfig(default=default))


def test_default_problem_lets_nan_pass_a_range() -> None:
    setting = InputConfig(default=math.nan, range=(0.0, 1.0))
    assert default_problem("FP32", setting) == ""


@pytest.mark.parametrize(("datatype", "wrong"), [("BYTES", True), ("BOOL", True), ("FP32", False)])
def test_range_problem_is_only_where_there_is_no_order(datatype: str, wrong: bool) -> None:
    assert bool(range_problem(datatype, InputConfig(range=(0.0, 1.0)))) is wrong


def test_largest_is_finite_in_its_datatype() -> None:
    for name, value in LARGEST.items():
        assert math.isfinite(float(DATATYPES[name].dtype.type(value)))

from __future__ import annotations

import numpy as np
import pytest

from optimize.profile.buckets import Bucket, buckets_of, cut, row_lengths, varying_inputs
from serve.tensors import Signature, TensorSpec

LENGTHS = np.array([3, 4, 4, 5, 4, 20])
IDS = np.where(np.arange(20) < LENGTHS[:, None], 7, 0)


def test_varying_inputs_have_an_open_second_dimension() -> None:
    inputs = (TensorSpec("ids", "INT64", (-1, -1)), TensorSpec("x", "FP32", (-1, 4)))
    assert varying_inputs(Signature(inputs, (), batched=True)) == ("ids",)


def test_row_lengths_are_without_padding() -> None:
    assert row_lengths({"ids": IDS}, ["ids"]).tolist() == LENGTHS.tolist()
    padded = {"ids": IDS + 1, "mask": IDS > 0}
    assert row_lengths(padded, ["ids", "mask"]).tolist() == LENGTHS.tolist()
    assert row_lengths({"x": np.zeros((2, 3, 1))}, ["x"]).tolist() == [1, 1]
    assert row_lengths({"x": IDS}, []) is None


def test_buckets_are_the_median_and_a_long_row_by_default() -> None:
    assert [each.length for each in buckets_of(6, LENGTHS, [])] == [4, 16]
    assert [each.length for each in buckets_of(6, np.full(6, 4), [])] == [4]
    assert [each.length for each in buckets_of(6, None, [16])] == [None]


def test_buckets_are_as_long_as_the_settings_say_the_typical_first() -> None:
    found = buckets_of(6, LENGTHS, [2, 16, 64])
    assert [(each.length, each.typical) for each in found] == [(2, True), (16, False), (20, False)]


@pytest.mark.parametrize(("length", "first"), [(4, 1), (20, 5)])
def test_bucket_takes_the_rows_of_about_its_length(length: int, first: int) -> None:
    (bucket,) = buckets_of(6, LENGTHS, [length], ("ids",))
    assert bucket.batch(3)[0] == first
    assert len(bucket.batch(17)) == 17
    assert cut({"ids": IDS[bucket.batch(3)]}, bucket)["ids"].shape == (3, length)


def test_cut_leaves_rows_that_do_not_vary() -> None:
    assert cut({"ids": IDS}, Bucket(None, True, np.arange(6)))["ids"] is IDS

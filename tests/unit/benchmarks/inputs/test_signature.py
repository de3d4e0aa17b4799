"""Tensors are made to fit what a server says of its model."""

import numpy as np
import pytest

from benchmarks.inputs.signature import Signature, TensorSpec, extensions, fetch, generate
from benchmarks.subject import UnsupportedError

RNG = np.random.default_rng(0)
WHOLE = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
DATATYPES = ["BOOL", *WHOLE, "FP16", "BF16", "FP32", "FP64", "BYTES"]


def signature(datatype, *shape):
    return Signature("m", [TensorSpec("x", datatype, list(shape))])


def test_fetch_finds_the_first_model_that_is_ready(toy_server):
    assert fetch(toy_server) == fetch(toy_server, "toy")
    assert [spec.name for spec in fetch(toy_server).inputs] == ["x", "word"]


def test_fetch_says_what_the_server_answered(toy_server):
    with pytest.raises(UnsupportedError, match="404 to /v2/models/none"):
        fetch(toy_server, "none")


def test_extensions_are_what_the_server_lists(toy_server):
    assert extensions(toy_server) == []


@pytest.mark.parametrize("datatype", DATATYPES)
def test_generate_knows_every_datatype(datatype):
    tensor = generate(signature(datatype, -1, 4), 3, RNG)["x"]

    assert tensor.shape == (3, 4)
    if datatype == "BYTES":
        assert all(isinstance(text, str) for text in tensor.flat)
    else:
        assert ((tensor >= 0) & (tensor <= 1)).all()


def test_generate_fills_other_open_dimensions():
    assert generate(signature("INT64", -1, -1, 2), 5, RNG)["x"].shape == (5, 16, 2)


def test_generate_gives_a_model_without_a_batch_one_row_only():
    fixed = signature("FP32", 2, 3)

    assert generate(fixed, 1, RNG)["x"].shape == (2, 3)
    with pytest.raises(UnsupportedError, match="one row"):
        generate(fixed, 2, RNG)


def test_generate_refuses_a_datatype_it_does_not_know():
    with pytest.raises(UnsupportedError, match="FP4"):
        generate(signature("FP4", -1), 1, RNG)

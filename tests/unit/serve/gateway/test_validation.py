from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from serve.config import ModelConfig
from serve.errors import InvalidRequest, RepositoryError
from serve.gateway.validation import Validator
from serve.tensors import Array, InferRequest, Signature, Tensor, TensorSpec, datatype_of

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("s", "BYTES", (-1, -1))),
    (TensorSpec("y", "FP32", (-1, 1)),),
    batched=True,
)


def validator(utf8: bool = True, **inputs: Any) -> Validator:
    config = ModelConfig.model_validate({"inputs": inputs})
    return Validator(SIGNATURE, config, 4, utf8=utf8)


def request(**arrays: Any) -> InferRequest:
    tensors = []
    for name, value in arrays.items():
        array: Array = value if isinstance(value, np.ndarray) else np.array(value, np.float32)
        tensors.append(Tensor(name, datatype_of(array), array))
    return InferRequest("m", "", tensors)


def text(*rows: list[bytes]) -> Array:
    return np.array(rows, object)


GOOD_X = [[1, 2]]


def test_bind_gives_arrays_in_the_signatures_order() -> None:
    arrays, rows, group = validator().bind(request(s=text([b"a", b"b"]), x=GOOD_X).inputs)
    assert (arrays[0].tolist(), arrays[1].tolist()) == ([[1, 2]], [[b"a", b"b"]])
    assert (rows, group) == (1, ((2,), (2,)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": GOOD_X}, "missing input 's'"),
        ({"x": GOOD_X, "s": text([b""]), "z": GOOD_X}, "unexpected input 'z'.*x, s"),
        ({"x": np.ones((1, 2)), "s": text([b""])}, "'x' has datatype FP64.*expects FP32"),
        ({"x": [[1, 2, 3]], "s": text([b""])}, r"'x' has shape \[1,3\].*\[-1,2\]"),
        ({"x": [1, 2], "s": text([b""])}, r"'x' has shape \[2\]"),
        ({"x": 1, "s": text([b""])}, r"'x' has shape \[\]"),
        ({"x": np.zeros((0, 2), np.float32), "s": text([b""])}, "'x' has no rows"),
        ({"x": [[1, 2]] * 5, "s": text([b""])}, "5 rows.*at most 4.*max_batch_size"),
        ({"x": [[1, 2]] * 2, "s": text([b""])}, "'s' has 1 rows.*before it 2"),
        ({"x": GOOD_X, "s": text([b"\xff"])}, "'s' has an element that is not UTF-8"),
    ],
)
def test_bind_refuses_and_names_the_input(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        validator().bind(request(**arrays).inputs)


def test_bind_takes_any_bytes_when_the_backend_does() -> None:
    arrays, _, _ = validator(utf8=False).bind(request(x=GOOD_X, s=text([b"\xff"])).inputs)
    assert arrays[1].tolist() == [[b"\xff"]]


@pytest.mark.parametrize("value", [-1, 11, float("nan"), float("inf")])
def test_bind_refuses_values_outside_the_range(value: float) -> None:
    with pytest.raises(InvalidRequest, match=r"at \[0,1\].*0.0 to 10.0"):
        validator(x={"range": [0, 10]}).bind(request(x=[[5, value]], s=text([b""])).inputs)


def test_bind_fills_nulls_and_left_out_inputs_with_defaults() -> None:
    subject = validator(x={"default": float("nan"), "range": [0, 10]}, s={"default": "?"})
    sent = request(x=[[5, 0], [1, 2]])
    sent.inputs[0].missing = np.array([[False, True], [False, False]])
    arrays, rows, _ = subject.bind(sent.inputs)
    assert rows == 2
    assert np.isnan(arrays[0][0, 1]) and arrays[0][1].tolist() == [1, 2]
    assert arrays[1].tolist() == [[b"?"], [b"?"]]


def test_bind_refuses_nulls_without_a_default() -> None:
    sent = request(x=GOOD_X, s=text([b""]))
    sent.inputs[0].missing = np.array([[False, True]])
    with pytest.raises(InvalidRequest, match=r"'x' has null elements.*inputs\.x\.default"):
        validator().bind(sent.inputs)


@pytest.mark.parametrize(("name", "default"), [("x", "text"), ("s", 3)])
def test_default_of_another_datatype_is_refused_at_load(name: str, default: object) -> None:
    with pytest.raises(RepositoryError, match=rf"inputs\.{name}\.default"):
        validator(**{name: {"default": default}})

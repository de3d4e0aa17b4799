"""What makes requests the same."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from serve.cache import Keys

KEYS = Keys(b"fraud 3")


def floats(*values: float) -> Any:
    return np.array(values, np.float32).reshape(-1, 1)


def texts(*values: bytes) -> Any:
    return np.array(values, object).reshape(-1, 1)


def test_key_is_the_same_for_the_same_inputs() -> None:
    again = np.asfortranarray(np.array([[1, 2], [3, 4]], np.float32))
    one = np.array([[1, 2], [3, 4]], np.float32)
    assert KEYS.of((one, texts(b"a", b"b")), None) == KEYS.of((again, texts(b"a", b"b")), {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((floats(1),), (floats(2),)),
        ((floats(0.0),), (floats(-0.0),)),
        ((floats(1, 2),), (floats(1, 2).reshape(1, 2),)),
        ((floats(1), floats(2)), (floats(2), floats(1))),
        ((texts(b"ab", b"c"),), (texts(b"a", b"bc"),)),
        ((texts(b"a", b""),), (texts(b"", b"a"),)),
        ((floats(1, 2),), (floats(1, 2, 3),)),
        ((texts(b""), texts(b"\0" * 8)), (texts(b"\0" * 8), texts(b""))),
    ],
    ids=["value", "sign of zero", "shape", "input", "border", "order", "rows", "between inputs"],
)
def test_key_differs_where_inputs_do(one: Any, other: Any) -> None:
    assert KEYS.of(one, None) != KEYS.of(other, None)


def test_key_differs_by_version() -> None:
    assert KEYS.of((floats(1),), None) != Keys(b"fraud 4").of((floats(1),), None)


def test_key_differs_by_parameters_and_their_types() -> None:
    asked: list[dict[str, Any]] = [{}, {"k": 1}, {"k": 1.0}, {"k": True}, {"k": "1"}, {"j": 1}]
    assert len({KEYS.of((floats(1),), parameters) for parameters in asked}) == len(asked)
    one = KEYS.of((floats(1),), {"a": 1, "b": 2})
    assert one == KEYS.of((floats(1),), {"b": 2, "a": 1})


@pytest.mark.parametrize("rows", [1, 3])
def test_keys_of_a_block_are_those_of_its_requests(rows: int) -> None:
    random = np.random.default_rng(0)
    total = rows * 5
    inputs: tuple[Any, ...] = (
        random.normal(size=(total, 2, 3)).astype(np.float32),
        random.normal(size=(total, 4)).astype(ml_dtypes.bfloat16),
        np.array([b"x" * n for n in range(total * 2)], object).reshape(total, 2),
        np.zeros((total, 0), np.int64),
        np.arange(total * 4).reshape(total, 4)[:, ::2],  # not in one piece
        random.normal(size=(total,)) > 0,
    )
    alone = [
        KEYS.of(tuple(array[start : start + rows] for array in inputs), None)
        for start in range(0, total, rows)
    ]
    assert KEYS.of_block(inputs, rows, 5) == alone
    assert len(set(alone)) == 5
